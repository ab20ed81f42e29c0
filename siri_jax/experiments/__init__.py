"""Many runs: ablations, grids, branches."""
