"""Every setting, from the package: siri_jax/config/base.py.

A run's file derives from this one only and says what differs.
"""

from siri_jax.config.base import get_config

__all__ = ['get_config']
