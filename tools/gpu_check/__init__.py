"""All checks that need a GPU, in one command; see __main__.py."""
