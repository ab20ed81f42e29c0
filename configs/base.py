"""Every setting, re-exported from siri_jax/config/base.py.

A run's config changes only some of these settings.
"""

from siri_jax.config.base import get_config

__all__ = ['get_config']
