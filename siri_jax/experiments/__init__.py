"""Several runs: ablations, grids and branches."""
