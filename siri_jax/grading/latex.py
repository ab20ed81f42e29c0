r"""Answers respelt where math-verify would read something else, or nothing.

It takes last letters for units ('a + b c' for 'a + b', '\log t' for '\log'),
7 3/4 for 10/4 and \langle 1, 2 \rangle for 1.2, and does not know some
commands. Text only: nothing here computes a value but a recurring decimal's.
"""

import fractions
import functools
import math
import re

_LARGE = {'thousand': 3, 'million': 6, 'billion': 9, 'trillion': 12}
# In order: each rewrites what those before it left.
_REWRITES = [
  (re.compile(pattern), spelt)
  for pattern, spelt in (
    (r'\\[Bb]igg?[lrm]?(?![a-z])', ''),
    (r'(?:\\left\s*)?\\langle(?![a-z])', '('),
    (r'(?:\\right\s*)?\\rangle(?![a-z])', ')'),
    (r'~', ' '),
    (r'(?<!\\)\\\s*$|(?<!\.)\.\s*$', ''),
    (r'\\colon(?![a-z])', ':'),
    (r'°|\\degree(?![a-z])', r'^\\circ'),
    (r'(\\circ\s*\}?)\s*(?:\\text\s*\{\s*[CF]\s*\}|[CF])\s*$', r'\1'),
    (r'\\varnothing(?![a-z])', r'\\emptyset'),
    (r'\\mathbb\s*([A-Z])', r'\\mathbb{\1}'),
    (r'\\sqrt\[(\w)\]\s*(\w)', r'\\sqrt[\1]{\2}'),
    (r'\\[dt]?binom\s*(\d)\s*(\d)', r'\\binom{\1}{\2}'),
    (r'\\p?mod(?![a-z])', r'\\mod '),
    (r'(?<=\d)\\[,!]\s*(?=\d{3}(?!\d))', ''),
    (r'\\frac\s+([a-zA-Z])([a-zA-Z])(?![a-zA-Z])', r'\\frac{\1}{\2}'),
    (r',?\s*\\text\s*\{\s*(?:,\s*(?:and|or)?|and|or)\s*\}', ','),
    (r'^\s*\(?\s*([A-Za-z])\s*\)\s*$', r'\1'),
    # A sentence in the box, up to what it says.
    (r'^\s*\\text\s*\{[^{}]*(?:\b(?:is|are)|[:=])\s*\}', ''),
    # Numbers with their parts, in powers of ten, in groups and in words.
    (r'^(\s*[-+]?\d+)\s+(\d+)\s*/\s*(\d+)\s*$', r'\1\\frac{\2}{\3}'),
    (r'^\s*([-+]?\d+(?:\.\d+)?)[eE]([-+]?\d+)\s*$', r'\1\\times 10^{\2}'),
    (r'^\s*[-+]?\d{1,3}(?: \d{3})+\s*$', lambda m: m[0].replace(' ', '')),
    *(
      (rf'(?<=\d)\s*(?:\\text\{{\s*{word}\s*\}}|{word})', rf'\\cdot 10^{{{n}}}')
      for word, n in _LARGE.items()
    ),
  )
]
_RECURRING = re.compile(
  r'\s*(-?)(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{?(\d+)\}?\s*'
)
_RATIO = re.compile(r'\s*\d+(?:\s*:\s*\d+){2,}\s*')
_TIME = re.compile(r'\s*(?:\\text\s*\{)?\s*(\d\d?):([0-5]\d)\s*\}?\s*')
_CHOICE = re.compile(
  r'\s*\\text(?:bf|rm)?\s*\{\s*\(?([A-H])\)?[.:]?\s*\}'
  r'(?:\s|~|\\[ ,;:!]|\\q?quad(?![a-z]))*(\S.*)',
  re.DOTALL,
)
_COMMAND = re.compile(r'\\[a-zA-Z]+')
_LAST_LETTERS = re.compile(r'(?<![a-zA-Z\\])([a-zA-Z]{1,2})\s*$')
# Of the units that it takes off, those that are variables at least as often.
_MISREAD = frozenset(
  [*'cdghlmost', *('ab', 'bc', 'cc', 'th', 'st', 'rd', 'lt', 'mt', 'mp', 'rs')]
  + [letter + 's' for letter in 'cdghlot']
)
_PAIR = re.compile(r'(?<![a-zA-Z\\])[a-hqs]\s$')  # And then any letter.
# What goes before a variable, and not before the unit of a number.
_OPERATOR = re.compile(
  r'(?:[-+*/^=<>|,;([{]|\\(?:cdot|times|sqrt|exp|log|ln|sin|cos|tan|cot|sec|csc'
  r'|arc\w+|le|ge|leq|geq|ne|neq|in))\s*$'
)
_RELATION = re.compile(r'[=<>,;]')
_BASE = re.compile(r'\s*\(?[0-9A-Za-z.]+\)?_\s*\{?\s*(\d+)\s*\}?\s*')


@functools.lru_cache(4096)
def fix_latex(answer):
  """An answer as it is to be handed to math-verify."""
  for pattern, spelt in _REWRITES:
    answer = pattern.sub(spelt, answer)
  if found := _RECURRING.fullmatch(answer):
    return _fraction(*found.groups())
  if found := _RATIO.fullmatch(answer):
    return _tuple(found[0])
  last = _LAST_LETTERS.search(answer)
  if last and _is_variable(answer[: last.start()], last[1]):
    letters = ''.join(f'{{{letter}}}' for letter in last[1])
    return answer[: last.start()] + letters
  return answer


def base(answer):
  """The base in which a number is written, as '2' in 1011_2, or ''."""
  found = _BASE.fullmatch(answer)
  return found[1] if found else ''


def time(answer):
  """A time of day as (hours, minutes), such as 6:00, or None."""
  found = _TIME.fullmatch(answer)
  return (int(found[1]), int(found[2])) if found else None


def choice(answer):
  r"""(letter, value) of a choice with both, as in \textbf{(B)}\ 12, or ()."""
  found = _CHOICE.fullmatch(answer)
  return found.groups() if found else ()


def _is_variable(before, letters):
  """Whether last letters are variables and no unit, by what is before them."""
  misread = letters in _MISREAD or _PAIR.search(before)
  if not misread or not before.strip():
    return False
  if _OPERATOR.search(before) or not before[-1].isspace():
    return True
  side = _RELATION.split(before)[-1]
  return bool(re.search('[a-zA-Z]', _COMMAND.sub('', side)))


def _tuple(ratio):
  """A ratio of three and more, which would be read as a division, reduced."""
  parts = [int(part) for part in ratio.split(':')]
  shared = math.gcd(*parts) or 1
  return f'({", ".join(str(part // shared) for part in parts)})'


def _fraction(sign, whole, once, again):
  """The fraction of a recurring decimal."""
  nines = (10 ** len(again) - 1) * 10 ** len(once)
  top = int(f'{whole}{once}{again}') - int(f'0{whole}{once}')
  value = fractions.Fraction(top, nines)
  return rf'{sign}\frac{{{value.numerator}}}{{{value.denominator}}}'
