r"""Normalizes the spelling of an answer: \dfrac12 becomes \frac{1}{2}.

Rewrites text and computes no value. Follows Hendrycks' normalization for MATH
("mathd" in DeepScaleR), with prm800k's treatment of numbers.
"""

import fractions
import functools
import math
import re

_TEXT = r'\\(?:text|textbf|textit|textnormal|textrm|mbox|mathrm|mathbf)\s*'
_UNITS = (
  r'cm|(?:degree|(?:centi)?meter|mile|foot|feet|inch|yard'
  r'|second|minute|hour|day|week|month|year)(?:e?s)?'
)
_SPACE = r'(?<!\d)\s+|\s+(?!\d)'  # Spaces, except between two numbers.
# Applied in order: each pattern rewrites the result of those before it.
_REWRITES = [
  (re.compile(pattern), spelt)
  for pattern, spelt in (
    (r'\\!\s*', ''),
    (r'\\[,;: ]|~|\\q?quad(?![a-z])|\\displaystyle(?![a-z])|\s+', ' '),
    (r'\\\$|\$|\\[()\[\]]', ''),
    (r'\\?%|\^\s*\{?\s*\\circ\s*\}?|\\degree|°', ''),
    (r'\\(?:left|right)(?![a-z])', ''),
    (rf'{_TEXT}\{{([^{{}}]*)\}}', r'\1'),
    (r'\\[dtc]frac', r'\\frac'),
    (r'\\frac\s*(\w)\s*(\w)', r'\\frac{\1}{\2}'),
    (r'\\frac\s*(\w)\s*\{', r'\\frac{\1}{'),
    (r'(\\frac\s*\{[^{}]*\})\s*(\w)', r'\1{\2}'),
    (r'\\frac\s*\{\s*-\s*(\d)', r'-\\frac{\1'),
    (r'\\sqrt\s*(\w)', r'\\sqrt{\1}'),
    (rf'(?<=[\d}}\s])(?:{_UNITS})(?:\s*\^\s*\{{?\d\}}?)?\s*\.?\s*$', ''),
    (r'\{,\}', ','),
    (
      r'(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])',
      lambda m: m[0].replace(',', ''),
    ),
    (r'^\s*\+?(-?)\s*(\d+)\s*/\s*(\d+)\s*$', r'\1\\frac{\2}{\3}'),
    (rf'{_SPACE}|(?<!\.)\.\s*$', ''),
    # A lone number: no leading zeros, no zeros alone after the point.
    (r'^\+?(-?)0*(\d+?)(?:\.0*)?$', r'\1\2'),
  )
]
_WORDS = re.compile(r'[A-Za-z()]+')
_NUMBER = re.compile(r'(-?)(?:(\d+)|\\frac\{(\d+)\}\{(\d+)\})')
_SCIENTIFIC = re.compile(r'-?[\d.]+\\(?:times|cdot)10\^\{?-?\d+\}?')
_TO_BE_DONE = re.compile(r'[\d)}\]!][-+*/^!]|[×·÷√]|\\[a-z]')


@functools.lru_cache(4096)
def normalize(answer):
  """The normalized spelling of an answer.

  Source: hendrycks/math, modeling/math_equivalence.py; openai/prm800k,
    grading/grader.py. Unlike them, it keeps the name in 'x = 5'. The
    comparison by parts decides when to remove it.
  """
  for pattern, spelt in _REWRITES:
    answer = pattern.sub(spelt, answer)
  return answer.lower() if _WORDS.fullmatch(answer) else answer


def without_spaces(answer):
  """An answer without insignificant white space."""
  return re.sub(_SPACE, '', answer)


def number(answer):
  """The value of an answer that is a whole number or plain fraction, or None.

  A percentage gives None: it may also mean the number divided by 100.
  """
  match = _NUMBER.fullmatch(normalize(answer))
  if not match or '%' in answer:
    return None
  sign, top, bottom = match[1], int(match[2] or match[3]), int(match[4] or 1)
  return fractions.Fraction(-top if sign else top, bottom) if bottom else None


def same_decimal(one, other, places):
  """Whether two plain numbers are equal, or one is the other rounded.

  A rounded number has at least `places` decimals: 0.3333333 equals 0.33333333,
  and 0.999999 does not equal 1.
  """
  if fractions.Fraction(one) == fractions.Fraction(other):
    return True
  one, other = sorted((one, other), key=_decimals)
  kept = _decimals(one)
  if kept < places or len(one.partition('.')[2].lstrip('0')) < places - 1:
    return False
  step = fractions.Fraction(1, 10**kept)
  return (
    fractions.Fraction(one) == round(fractions.Fraction(other) / step) * step
  )


def _decimals(number):
  return len(number.partition('.')[2])


def is_unreduced(answer):
  """Whether an answer is a plain fraction whose terms share a factor."""
  match = _NUMBER.fullmatch(normalize(answer))
  return bool(match and match[4] and math.gcd(int(match[3]), int(match[4])) > 1)


def is_unfinished(answer):
  r"""Whether an answer is not worked out: 2+3, 10/2, 2^5, \binom{5}{2}."""
  value = normalize(answer).rpartition('=')[2]
  if _SCIENTIFIC.fullmatch(value):
    return False
  return bool(_TO_BE_DONE.search(value))
