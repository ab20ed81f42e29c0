"""Sampling: one interface, the engines behind it."""
