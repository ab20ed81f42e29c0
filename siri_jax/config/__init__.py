"""Configs: the settings, their checks, and the plan of a run."""
