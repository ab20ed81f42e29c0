"""Runs one part and prints its findings as JSON lines; for __main__.py.

python -m tools.gpu_check.child MODULE.FUNCTION CACHE [--tiny]
"""

import importlib
import json
import sys

from siri_jax.runtime import xla_flags


def main(part, cache, *flags):
  """Prints each finding when it is known; returns 0."""
  xla_flags.set_up(cache)  # As a run does, before JAX uses a device.
  module, function = part.split('.')
  check = getattr(
    importlib.import_module(f'tools.gpu_check.{module}'), function
  )
  for finding in check(tiny='--tiny' in flags):
    print(json.dumps(finding, allow_nan=False), flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(main(*sys.argv[1:]))
