"""Sampling: the interface of engines, and two engines."""
