"""SIRI on a laptop, re-exported from siri_jax/config/quickstart.py.

  python -m siri_jax.main --config=configs/quickstart.py

An argument replaces the cosine cap: `:constant`, `:short`, `:stair`, ...
"""

from siri_jax.config.quickstart import get_config

__all__ = ['get_config']
