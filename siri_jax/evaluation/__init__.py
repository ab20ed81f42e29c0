"""Accuracy and length of policies."""
