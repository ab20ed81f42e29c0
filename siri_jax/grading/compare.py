r"""Compares two answers by kind, then by parts, then by value or as text.

An answer that the parser cannot read completely is compared as text, and so is
each of its parts: 1, 2, \ldots, 2008 equals 1,2,\dots,2008, but not 2008.
"""

import functools
import re

from siri_jax.grading import by_kind, by_parts, equivalence

_FORMAT = re.compile(
  r'\\text\s*\{([^{}]*)\}|(?<=[_^])\{([\w+*-])\}|(?<!\d)\s+|\s+(?!\d)'
)
_WORDS = re.compile(r"[A-Za-z\s.']+")
_PLURAL = re.compile(r'(?<=solution)s|(?<=answer)s')


def same(gold, answer, verify_kw):
  """Whether an answer is equal to the gold.

  Args:
    gold: the reference answer, in the spelling of siri_jax/grading/latex.py.
    answer: the answer to grade, in the same spelling.
    verify_kw: math-verify options that differ from its defaults.
  """
  if written(gold) == written(answer):
    return True

  def alike(gold, answer, **options):
    return same(gold, answer, verify_kw | options)

  precision = equivalence.options(**verify_kw)[1]['float_rounding']
  for comparison in by_kind.COMPARISONS + by_parts.COMPARISONS:
    result = comparison(gold, answer, alike, precision)
    if result is not None:
      return result
  return equivalence.equal(gold, answer, verify_kw=verify_kw)


@functools.lru_cache(4096)
def written(answer):
  """An answer's text without spaces and fonts; words are in lower case."""
  text = _FORMAT.sub(lambda m: m[1] or m[2] or '', answer)
  if _WORDS.fullmatch(text):
    text = _PLURAL.sub('', text.lower())
  return text
