"""The policy: Qwen2 as functions over a pytree, and its way in and out."""
