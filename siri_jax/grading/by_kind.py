r"""Compares answers of special kinds: times, bases, units, congruences.

A comparison takes (gold, answer, alike, precision). Both answers are in the
spelling of siri_jax/grading/latex.py. `alike` compares two parts and takes
math-verify's options. `precision` is the number of decimals of a rounded
number. It returns whether both are equal, or None if it does not apply.
"""

import fractions
import math
import re

from siri_jax.grading import by_parts, kinds, normalize, structure, units

_NUMBER = re.compile(r'[-+]?\d+(?:\.\d+)?')
_DECIMAL = re.compile(r'\s*[-+]?\d*\.\d+\s*')


def _numbers(gold, answer, alike, precision):
  """Compares plain numbers and number words."""
  one, other = kinds.count(gold), kinds.count(answer)
  if one is not None and other is not None:
    return one == other
  if one is not None or other is not None:
    pair = (gold, answer), (one, other)
    return alike(
      *(t if n is None else str(n) for t, n in zip(*pair, strict=True))
    )
  if _NUMBER.fullmatch(gold) and _NUMBER.fullmatch(answer):
    return normalize.same_decimal(gold, answer, precision)
  return None


def _times(gold, answer, alike, precision):
  one, other = kinds.time(gold), kinds.time(answer)
  if one and other:
    return one.agrees(other)
  if one or other:  # 1:20 may also be a ratio; 1 p.m. is not.
    return None if ':' in gold + answer else False
  return None


def _bases(gold, answer, alike, precision):
  """Compares numbers with a base, which one side may omit."""
  one, other = kinds.base(gold), kinds.base(answer)
  if one and other:
    return one == other
  if one or other:
    rest = answer if one else gold
    return (one or other)[0] == rest.strip().upper()
  return None


def _ratios(gold, answer, alike, precision):
  """Compares ratios: 2:4:6 equals 1:2:3; 3:1 equals 3/1 but not 3."""
  if '=' in gold + answer or any(
    len(structure.items(each)) > 1 for each in (gold, answer)
  ):
    return None
  pair = [structure.split(each, {':'}) for each in (gold, answer)]
  lengths = sorted(map(len, pair))
  if lengths == [1, 2]:
    alone, parts = sorted(pair, key=len)
    return False if alone[0].strip() in map(str.strip, parts) else None
  if lengths[1] < 3:
    return None
  return by_parts.all_alike(*map(_reduced, pair), alike)


def _reduced(ratio):
  numbers = [part.strip() for part in ratio]
  if not all(part.isdigit() for part in numbers):
    return numbers
  shared = math.gcd(*map(int, numbers)) or 1
  return [str(int(part) // shared) for part in numbers]


def _periods(gold, answer, alike, precision):
  """Compares recurring decimals exactly: neither side may be rounded."""
  if not (kinds.has_period(gold) or kinds.has_period(answer)):
    return None
  if _DECIMAL.fullmatch(gold) or _DECIMAL.fullmatch(answer):
    one, other = (
      fractions.Fraction(each.strip())
      if _DECIMAL.fullmatch(each)
      else normalize.number(kinds.without_periods(each))
      for each in (gold, answer)
    )
    return one == other
  return alike(*map(kinds.without_periods, (gold, answer)))


def _congruences(gold, answer, alike, precision):
  """Compares congruences: equal moduli, and equal residues in any order."""
  one, other = (
    kinds.congruence(each, structure.items) for each in (gold, answer)
  )
  if not (one or other):
    return None
  if not (one and other):
    return None if '\\pmod' in gold and '\\pmod' in answer else False
  if not alike(one.modulus, other.modulus):
    return False
  if one.what and other.what and not alike(one.what, other.what):
    return False
  modulus = normalize.number(one.modulus)
  pair = ([_residue(v, modulus) for v in each.values] for each in (one, other))
  return by_parts.matched(*pair, alike)


def _residue(value, modulus):
  number = normalize.number(value)
  if modulus and number is not None and number.denominator == 1:
    return str(number % modulus)
  return value


def _measures(gold, answer, alike, precision):
  """Compares values with units: one side may omit the unit."""
  (one, its), (other, others) = units.split(gold), units.split(answer)
  if (one, other) == (gold, answer):
    return None
  if any(len(structure.items(each)) > 1 for each in (one, other)):
    return None  # Each item has its own unit.
  if units.differ(its, others):
    return False
  if alike(one, other):
    return True
  if (its == 'percent') == (others == 'percent'):
    return False
  if its == 'percent':
    return alike(rf'\frac{{{one}}}{{100}}', other)
  return alike(one, rf'\frac{{{other}}}{{100}}')


COMPARISONS = (
  _numbers,
  _times,
  _bases,
  _ratios,
  _periods,
  _congruences,
  _measures,
)
