"""Problems, prompts, packing, and the small built-in task."""
