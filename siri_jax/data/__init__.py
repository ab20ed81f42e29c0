"""Problems, prompts and the built-in task."""
