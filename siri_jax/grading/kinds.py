r"""Reads answers of special kinds: times, bases, periods, choices, words.

Each reader takes an answer in the spelling of siri_jax/grading/latex.py. It
returns the answer's content, or None for an answer of another kind.
"""

import fractions
import re
from typing import NamedTuple

LONGEST_TIME = 60  # Characters.
_FILL = r'(?:\s|\\(?:text|math)(?:rm|sc|bf|it)?\s*\{|\\mbox\s*\{|[{}])*'
_TIME = re.compile(
  rf'{_FILL}(?:at\s)?{_FILL}(\d\d?)(?:\s*(?::|h|\.(?=\d\d\s*\D))\s*([0-5]\d))?'
  rf'(?:\s*:\s*([0-5]\d))?{_FILL}'
  r"(?:(a|p)\s*\.?\s*m\s*\.?|(o'?\s?clock)|(noon|midnight)|"
  r'(?:in the|at) (morning|afternoon|evening|night))?'
  rf'\.?{_FILL}(?:in the (?:morning|afternoon|evening))?{_FILL}',
  re.IGNORECASE,
)
_WORD_TIMES = {'noon': (12, 0, 0, 'p'), 'midnight': (12, 0, 0, 'a')}
_PART_OF_DAY = {'morning': 'a', 'afternoon': 'p', 'evening': 'p', 'night': 'p'}
_SMALL = re.findall(
  r'\w+',
  'zero one two three four five six seven eight nine ten eleven twelve thirteen'
  ' fourteen fifteen sixteen seventeen eighteen nineteen',
)
_TENS = re.findall(
  r'\w+', 'twenty thirty forty fifty sixty seventy eighty ninety'
)
_COUNTS = {
  **{word: n for n, word in enumerate(_SMALL)},
  **{word: 10 * n for n, word in enumerate(_TENS, 2)},
}
_BASE = re.compile(
  r'\s*(?:\(\s*)?(-?\d[\dA-Fa-f]*(?:\.[\dA-Fa-f]+)?)\s*\)?\s*(?:_\s*\{?\s*\(?\s*'
  rf'(?:\\text\s*\{{)?\s*(-?\d+|[a-z]|{"|".join(_COUNTS)})\s*\)?\s*\}}?\s*\}}?'
  r'|,?\s*(?:\\text\s*\{\s*)?\(?\s*(?:in\s+)?base[ -](?:\s*\})?\s*'
  rf'(\d+|{"|".join(_COUNTS)})\s*\)?\s*\}}?)\s*'
)
_PERIOD = re.compile(
  r'(?<![\d.])(\d*)\.(\d*)(?:'
  r'\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))(?!\d*\s*\\dot)'
  r'|\\dot\s*(?:\{(\d)\}|(\d))(\d*)\\dot\s*(?:\{(\d)\}|(\d))'
  r'|\((\d+)\)'
  r'|(\d+?)(\11{2,}|(?<=\d\d)\11)\\ldots)'
)
_CHOICE = re.compile(
  r'\s*(?:\\(?:text|math)(?:bf|rm|it)?\s*\{\s*\(?([A-H])\)?[.:]?\s*\}'
  r'|\(([A-H])\)|([A-H])[.:]\s)'
  r'(?:\s|~|\\[ ,;:!]|\\q?quad(?![a-z]))*([^\s_^=].*)',
  re.DOTALL,
)
_COUNT = re.compile(
  rf'\s*(?:({"|".join(_TENS)})[ -]?)?({"|".join(_COUNTS)})?\s*', re.IGNORECASE
)
_CONGRUENCE = re.compile(
  r'(?:(?P<what>.*?)\s*(?:\\equiv|=)\s*)?(?P<left>[^=]*?)\s*,?\s*'
  r'\\pmod\s*\{(?P<modulus>(?:[^{}]|\{[^{}]*\})*)\}\s*',
  re.DOTALL,
)


class Time(NamedTuple):
  """A time of day. `half` is 'a' (a.m.), 'p' (p.m.) or '' (not given)."""

  hours: int
  minutes: int
  seconds: int
  half: str

  def agrees(self, other):
    """Whether both can be the same time; a missing half matches both."""
    if self.half and other.half:
      return self._of_day() == other._of_day()
    return self._of_day() == other._of_day() or (
      (self.hours % 12, self.minutes, self.seconds)
      == (other.hours % 12, other.minutes, other.seconds)
      and max(self.hours, other.hours) <= 12
    )

  def _of_day(self):
    hours = self.hours
    if self.half and hours <= 12:
      hours = hours % 12 + 12 * (self.half == 'p')
    return hours, self.minutes, self.seconds


class Congruence(NamedTuple):
  """A congruence. `what` is its left side, '' if that is missing."""

  what: str
  values: tuple[str, ...]
  modulus: str


def time(answer):
  """The Time of an answer such as 7:55 p.m., 17:30 or 5 pm, or None."""
  if answer.lower() in _WORD_TIMES:
    return Time(*_WORD_TIMES[answer.lower()])
  found = _TIME.fullmatch(answer) if len(answer) <= LONGEST_TIME else None
  said = found and any(found.groups()[3:])
  if not found or not (said or (found[2] and '.' not in answer)):
    return None
  half = (found[4] or '').lower() or _PART_OF_DAY.get(
    (found[7] or '').lower(), ''
  )
  if found[6]:
    half = _WORD_TIMES[found[6].lower()][3]
  time = Time(int(found[1]), int(found[2] or 0), int(found[3] or 0), half)
  return time if time.hours <= 24 else None


def base(answer):
  """(digits, base) of a number with a base, such as 1011_2, or None."""
  found = _BASE.fullmatch(answer)
  if not found:
    return None
  named = found[2] or found[3]
  return found[1].upper(), str(_COUNTS.get(named, named))


def has_period(answer):
  """Whether an answer has a recurring decimal: a bar, dots or an ellipsis."""
  return bool(_PERIOD.search(answer))


def without_periods(answer):
  r"""Replaces recurring decimals, such as 0.\overline{3}, by fractions."""
  return _PERIOD.sub(_fraction, answer)


def choice(answer):
  r"""(letter, value) of a choice with both, such as \textbf{(B)}\ 12, or ()."""
  found = _CHOICE.fullmatch(answer)
  return (found[1] or found[2] or found[3], found[4]) if found else ()


def count(answer):
  """The number, at most 99, that an answer writes in words, or None."""
  found = _COUNT.fullmatch(answer)
  if not found or not (found[1] or found[2]):
    return None
  tens, ones = (
    _COUNTS.get((each or 'zero').lower(), 0) for each in found.groups()
  )
  return tens + ones if not tens or ones < 10 else None


def congruence(answer, split):
  """The Congruence of an answer, or None.

  Args:
    answer: an answer.
    split: splits a text at commas and 'or'.
  """
  if answer.count('\\pmod') != 1:
    return _several(answer, split)
  found = _CONGRUENCE.fullmatch(answer)
  if not found or '\\equiv' in found['left']:
    return None
  what = found['what'] or ''
  if len(split(what)) > 1:
    return None
  return Congruence(what, tuple(split(found['left'])), found['modulus'])


def _several(answer, split):
  """Joins congruences with the same modulus into one, or returns None."""
  parts = split(answer)
  if len(parts) < 2 or answer.count('\\pmod') != len(parts):
    return None
  found = [congruence(part, split) for part in parts]
  if None in found or len({(each.what, each.modulus) for each in found}) > 1:
    return None
  values = tuple(value for each in found for value in each.values)
  return found[0]._replace(values=values)


def _fraction(found):
  """A recurring decimal as a fraction."""
  whole, once, *ways = found.groups()
  if ways[2] or ways[3]:  # Dots over the first and the last digit.
    again = ''.join(filter(None, ways[2:7]))
  else:
    again = ways[0] or ways[1] or ways[7] or ways[8]
  nines = (10 ** len(again) - 1) * 10 ** len(once)
  top = int(f'{whole}{once}{again}') - int(f'0{whole}{once}')
  value = fractions.Fraction(top, nines)
  return rf'\frac{{{value.numerator}}}{{{value.denominator}}}'
