"""Grading: compares answers in worker processes. No JAX here."""
