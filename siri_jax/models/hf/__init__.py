"""The policy's way in and out: Hugging Face folders."""
