"""Grading: answers compared in killable worker processes. No JAX here."""
