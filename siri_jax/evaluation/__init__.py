"""Evaluation of policies on held-out sets."""
