"""Rules for the values of settings, and the check of a group of settings.

A module that owns a group of settings lists them in SETTINGS, name -> Rule.
"""

import difflib
import math
from typing import Any, NamedTuple


class Rule(NamedTuple):
  """A test of a value, and the allowed values as text."""

  holds: Any
  wanted: str


LARGEST = 2**31 - 1  # Of an int32.
MANY = 10**7  # Larger bounds are left out of messages.


def whole(least, most=LARGEST):
  """A whole number from `least` to `most`."""
  upto = ' or more' if most >= MANY else f' to {most}'
  return Rule(
    lambda v: type(v) is int and least <= v <= most,
    f'a whole number of {least}{upto}',
  )


def real(low, high=math.inf):
  """A finite number above `low`, up to `high`."""
  upto = '' if high == math.inf else f', up to {high}'
  return Rule(
    lambda v: finite(v) and low < v <= high, f'a number above {low}{upto}'
  )


def from_zero(below=math.inf):
  """A finite number of 0 or more, and below `below`."""
  limit = '' if below == math.inf else f' and below {below}'
  return Rule(
    lambda v: finite(v) and 0 <= v < below, f'a number of 0 or more{limit}'
  )


def one_of(*names):
  """One of these values."""
  return Rule(lambda v: v in names, f'one of {", ".join(names)}')


def finite(value):
  """Whether a value is an int or a float, and neither infinite nor NaN."""
  return type(value) in (int, float) and math.isfinite(value)


TEXT = Rule(lambda v: isinstance(v, str), 'text')
NAME = Rule(lambda v: isinstance(v, str) and v, 'a name')
FOLDER = Rule(
  lambda v: isinstance(v, str) and v and v.isprintable() and '\\' not in v,
  'a folder (without a backslash)',
)
BINDINGS = Rule(lambda v: hasattr(v, 'items'), 'settings by name')
NAMES = Rule(
  lambda v: isinstance(v, (tuple, list)) and all(isinstance(n, str) for n in v),
  'a tuple of names',
)
SHARE = Rule(lambda v: finite(v) and 0 <= v <= 1, 'a share from 0 to 1')
FLAG = Rule(lambda v: type(v) is bool, 'True or False')


def errors(values, rules, prefix='', other_names=None):
  """Finds missing, unknown and invalid settings of a group.

  Args:
    values: mapping of settings.
    rules: name -> Rule.
    prefix: prefix of the names in messages, such as 'mesh_kw.'.
    other_names: name elsewhere -> the name here, for suggestions; or None.
  Returns:
    dict, full name -> message.
  """
  found = {
    prefix + key: f'{prefix}{key} is missing; set it to {rule.wanted}'
    for key, rule in rules.items()
    if key not in values
  }
  for key, value in values.items():
    name = prefix + key
    if key not in rules:
      near = difflib.get_close_matches(key, rules, n=1)
      near = (other_names or {}).get(key) or (near and prefix + near[0])
      hint = f'; did you mean {near}?' if near else ''
      found[name] = f'{name} is not a setting{hint}'
    elif not rules[key].holds(value):
      shown = value.to_dict() if hasattr(value, 'to_dict') else value
      found[name] = f'{name}={shown!r} is not {rules[key].wanted}'
  return found
