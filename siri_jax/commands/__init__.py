"""The commands of siri-jax; thin."""
