"""SIRI in JAX: GRPO with a scheduled response-length cap (arXiv 2509.25176).

The public API is loaded on first use, so that importing the package does not
import JAX: grading workers start without it.
"""

__version__ = '0.1.0'
__all__ = [
  'ablate',
  'branch',
  'caps',
  'contrast',
  'costs',
  'dry_run',
  'evaluate',
  'load_ablation',
  'load_config',
  'load_run',
  'plot',
  'table',
  'train',
]


def __getattr__(name):
  """Loads a function of the API; raises AttributeError for another name."""
  if name not in __all__:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  from siri_jax import api  # Here, because grading workers need no JAX.

  return getattr(api, name)


def __dir__():
  return sorted([*globals(), *__all__])
