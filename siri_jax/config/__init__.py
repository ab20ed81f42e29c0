"""What a config means, before anything runs."""
