"""GRPO and SIRI as pure functions of arrays."""
