"""The pure part of GRPO and SIRI."""
