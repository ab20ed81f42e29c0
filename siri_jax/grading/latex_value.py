"""Reads the value of a whole formula with math-verify's parser.

The parser fails on unknown commands, and drops or misreads some known ones.
This module rejects or rewrites those first. Imports sympy on first use.
"""

import functools
import re

# The parser would drop or misread these; they are compared as text.
_UNREADABLE = re.compile(
  r"\\ldots|'|\"|!!|\\p?mod|\\approx|\\sim|\\text\s*\{[^{}]*[ \d]|\\%"
  r'|(?<=\d)\s+(?=\d)|\\pm.*\\pm|\\overline\{\d|\\(?:dot|bar)\s*\{?\d'
  r'|\\(?:forall|exists|neg|angle|triangle|parallel|perp|Rightarrow|to)(?![a-z])'
)
_APPROXIMATION = re.compile(r'(?<=\S)\s*\\approx\s*[-+]?[\d.]+\s*$')
# Points, digits or a name: their order matters; they are not a product.
_CAPITALS = re.compile(
  r'(?<![A-Za-z\\{])(?:\\text\s*\{\s*)?([A-Z]{2,})\s*\}?(?![A-Za-z}])'
)
# The parser adds a whole number to the next factor: 2(3) would be 5.
_PRODUCTS = [
  (re.compile(pattern), spelt)
  for pattern, spelt in (
    (
      r'(?<![\w.}^])(\d+)\s*(\\frac\s*\{(\d+)\}\s*\{(\d+)\})',
      lambda m: (
        f'({m[1]}+{m[2]})' if int(m[3]) < int(m[4]) else rf'{m[1]}\cdot {m[2]}'
      ),
    ),
    (
      r'(?<![\w.^\\])(\d+)\s*'
      r'(?=\(|\\(?:binom|gcd|lcm|max|min|lfloor|lceil)(?![a-z]))',
      r'\1\\cdot ',
    ),
    (r'\)\s*(?=[(\d])', r')\\cdot '),
  )
]
_WORD = re.compile(
  r'\s*(?:\\text\s*\{[^{}]*\}|no|[A-Za-z]{3,}(?:[\s,]+[A-Za-z]+)*)\s*'
)
_INDEXED = re.compile(r'\\(?:sum|prod|mathbf)|_')
_JOINED = {' or ': 'Union', ' and ': 'Intersection'}


def read(text, real, cased):
  """The value of a text, or None if any part of it cannot be read.

  Args:
    text: an answer in the spelling of siri_jax/grading/latex.py.
    real: letters are real numbers; otherwise i is the imaginary unit.
    cased: letters that differ in case are two variables.
  """
  for word, of_sets in _JOINED.items():
    parts = text.split(word)
    if len(parts) > 1:
      return _joined([_read(part, real, cased) for part in parts], of_sets)
  return _read(text, real, cased)


def _joined(relations, of_sets):
  """The set that several relations in one variable describe, or None."""
  import sympy

  try:
    return getattr(sympy, of_sets)(*(each.as_set() for each in relations))
  except Exception:  # Not relations, or sympy cannot solve them.
    return None


@functools.lru_cache(2048)
def _read(text, real, cased):
  from latex2sympy2_extended import latex2sympy2, math_normalization

  text = _APPROXIMATION.sub('', text)
  if _UNREADABLE.search(text) or _WORD.fullmatch(text):
    return None
  text = _CAPITALS.sub(r'\\mathrm{\1}', text)
  for pattern, spelt in _PRODUCTS:
    text = pattern.sub(spelt, text)
  normal = math_normalization.NormalizationConfig(
    malformed_operators=True, nits=True, boxed='none'
  )
  try:
    value = latex2sympy2.latex2sympy(
      math_normalization.normalize_latex(text, normal),
      is_real=real,
      convert_degrees=False,
      normalization_config=None,
      conversion_config=latex2sympy2.ConversionConfig(
        lowercase_symbols=not cased
      ),
    )
    return value if real or _INDEXED.search(text) else _complex(value)
  except Exception:  # The parser raises any type on unknown input.
    return None


def _complex(value):
  """A value with its letter i as the imaginary unit."""
  import sympy

  units = {each: sympy.I for each in value.free_symbols if each.name == 'i'}
  return value.xreplace(units).doit() if units else value
