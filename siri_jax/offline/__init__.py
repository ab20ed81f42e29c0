"""Learning from samples that were taken once."""
