"""The tiny config with changes: --config=tests/faults/fuzzed.py:'{"seed": 7}'.

A value may be any JSON, also of a type that a command line does not accept.
"""

import json

from ml_collections import ConfigDict

from tests.helpers import tiny


def get_config(changes='{}'):
  nested = tiny.get_config().to_dict()
  for name, value in json.loads(changes).items():
    *above, last = name.split('.')
    place = nested
    for key in above:
      place = place.setdefault(key, {}) if isinstance(place, dict) else {}
    if isinstance(place, dict):
      place[last] = value
  return ConfigDict(nested)
