"""Findings: the numbers that a part measures, with their limits."""

import math


def measured(name, value, unit=''):
  """A finding without a limit.

  Args:
    name: what was measured.
    value: number or text.
    unit: of the number.
  """
  if isinstance(value, float) and not math.isfinite(value):
    value = str(value)  # JSON has no NaN.
  return {'finding': name, 'value': value, 'unit': unit}


def checked(name, value, unit='', *, at_least=-math.inf, at_most=math.inf):
  """A finding with limits; a value that is not finite fails.

  Args:
    name: what was measured.
    value: number.
    unit: of the number.
    at_least: lowest number that passes.
    at_most: highest number that passes.
  """
  value = float(value)
  limits = {'at_least': at_least, 'at_most': at_most}
  return {
    **measured(name, value, unit),
    **{key: x for key, x in limits.items() if math.isfinite(x)},
    'passed': math.isfinite(value) and at_least <= value <= at_most,
  }


def failed(name, why):
  """A finding that could not be measured because of an error."""
  return {'finding': name, 'value': why, 'unit': '', 'passed': False}


def left_out(name, why):
  """A finding that was not measured, with the reason."""
  return {'finding': name, 'left_out': why}
