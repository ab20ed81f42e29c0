"""SIRI in JAX: GRPO whose response-length cap swings (arXiv 2509.25176)."""
