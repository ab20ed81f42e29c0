r"""Finds answers that would cost sympy seconds or gigabytes.

A cheap check of the text alone, for the output of a policy that has diverged.
The time limit of the worker catches the rest. The limits are well above the
answers of real problem sets: 1,222 characters, 5 nested brackets, 41 items,
2022!, \binom{4030}{2015}, 3^{-999}.
"""

import itertools
import re

LONGEST = 1500  # Characters.
DEEPEST = 12  # Nested brackets.
MOST_ITEMS = 100  # Commas; each takes milliseconds to parse.
MOST_UNIONS = 8  # Each union after the second doubles the time to compare.
MOST_EQUATIONS = 30
LARGEST_POWER = 10_000  # Exponent of a number.
LARGEST_EXPANSION = 100  # Exponent of anything else, which sympy may expand.
LARGEST_FACTORIAL = 3000
LARGEST_CHOICE = 10_000  # Smaller number of a binomial coefficient.
LARGEST_BOUND = 100  # Upper bound of a sum or product.

_IDLE = re.compile(
  r'\\(?:left|right|[Bb]igg?[lr]?)(?![a-z])'
  r'|(?<![a-zA-Z])\s+|\s+(?![a-zA-Z])'
)
_THOUSANDS = re.compile(r'(?<![\d^,])\d{1,3}(?:,\d{3})+(?!\d)')
_TOWER = re.compile(r'\^\{[^{}^]*\d\^|\^\d+\^')
_POWER = re.compile(r'(\d?)(?:\^|\*\*)[{(]?[-+]?(\d+)')
_FACTORIAL = re.compile(r'(\d+)!')
_FACTORIAL_OF_SOME = re.compile(r'[({][^(){}a-zA-Z]*[)}]!')
_CHOICE = re.compile(
  r'binom\{([^{}]*)\}\{([^{}]*)\}'
  r'|\{([^{}]*)\\choose([^{}]*)\}'
  r'|\(([^()]*)\)_\{?([^{}]*)'
)
_BOUND = re.compile(r'\\(?:sum|prod)[^\d]*(?:\d+[^\d^]*)?\^\{?([^{}]*)')
_OPERATION = re.compile(r'\\(?:i*int|lim|det)(?![a-z])')


def too_costly(answer):
  """The reason not to compute with an answer, '' if there is none.

  Args:
    answer: the content of a box, or a piece of prose.
  """
  if len(answer) > LONGEST:
    return 'too long'
  if answer.count(',') > MOST_ITEMS:
    return 'too many items'
  answer = _IDLE.sub('', answer)
  answer = _THOUSANDS.sub(lambda m: m[0].replace(',', ''), answer)
  found = (why for why, costly in _REASONS.items() if costly(answer))
  return next(found, '')


def _depth(answer):
  steps = ((c in '({[') - (c in ')}]') for c in answer)
  return max(itertools.accumulate(steps), default=0)


def _number(text):
  """The largest number in a text; infinity if the text has a power."""
  if '^' in text:
    return float('inf')
  return max(map(int, re.findall(r'\d+', text)), default=0)


def _power(answer):
  return any(
    int(exponent) > (LARGEST_POWER if number else LARGEST_EXPANSION)
    for number, exponent in _POWER.findall(answer)
  )


def _factorial(answer):
  large = any(int(n) > LARGEST_FACTORIAL for n in _FACTORIAL.findall(answer))
  return large or bool(_FACTORIAL_OF_SOME.search(answer))


def _choice(answer):
  return any(
    min(_number(each) for each in pair if each) > LARGEST_CHOICE
    for pair in _CHOICE.findall(answer)
    if any(pair)
  )


def _bound(answer):
  return any(_number(each) > LARGEST_BOUND for each in _BOUND.findall(answer))


_REASONS = {
  'too deep': lambda a: _depth(a) > DEEPEST,
  'too many unions': lambda a: a.count('\\cup') > MOST_UNIONS,
  'too many equations': lambda a: a.count('=') > MOST_EQUATIONS,
  'tower of powers': _TOWER.search,
  'sum or product too long': _bound,
  'power too large': _power,
  'factorial too large': _factorial,
  'binomial too large': _choice,
  'calculus to be done': _OPERATION.search,
}
