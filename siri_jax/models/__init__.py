"""The policy: Qwen2 as functions over a pytree, and Hugging Face folders."""
