"""Equality of answers in value, by math-verify. Imports sympy when first used.

Its own time limits are off: they need the main thread, count whole seconds
and do not stop a computation in C. Whoever calls this holds the clock.
"""

import functools


def equal(gold, answer, *, prose, verify_kw):
  """Whether math-verify finds the two equal.

  Args:
    gold: the reference answer.
    answer: the answer to grade.
    prose: both are text to be searched for an answer, not bare answers.
    verify_kw: options of math-verify that differ from its defaults, see
      `options`.
  """
  import math_verify

  types, settings = options(**verify_kw)
  gold, answer = (list(parse(t, prose, types)[0]) for t in (gold, answer))
  if _are_apart(gold, answer, settings['float_rounding']):
    return False
  return math_verify.verify(gold, answer, timeout_seconds=None, **settings)


def _are_apart(gold, answer, decimals):
  """Whether both are one number each, which differ in a decimal that counts.

  It spares most wrong answers sympy's simplification, which takes four times
  as long as all the rest.
  """
  import sympy

  # As math-verify leaves them: a value and its text. A percentage, which is
  # unevaluated, may be equal to its hundredfold.
  odd = sympy.UnevaluatedExpr, sympy.Integral, sympy.Sum, sympy.Product
  for found in (gold, answer):
    value = found[0] if len(found) == 2 else None
    if not (isinstance(value, sympy.Expr) and value.is_number):
      return False
    if value.has(*odd):
      return False
  try:
    a, b = complex(gold[0].evalf()), complex(answer[0].evalf())
    return abs(a - b) > 10.0 ** (1 - decimals) * max(1.0, abs(a))
  except (TypeError, OverflowError):  # Infinite, undefined or beyond a float.
    return False


def options(
  match_types=('latex', 'expr'),
  precision=6,
  strict=True,
  allow_set_relation_comp=False,
):
  """math-verify's options by the names that its own tests give them.

  Args:
    match_types: what may be an answer: 'latex', 'expr' (a plain number or
      expression) or both.
    precision: decimals at which two floats are equal.
    strict: variables must have the same names, and a set is no tuple.
    allow_set_relation_comp: 1 < x < 2 may answer (1, 2).
  Returns:
    (match_types as a tuple, keyword arguments of math_verify.verify).
  """
  return tuple(match_types), dict(
    float_rounding=precision,
    strict=strict,
    allow_set_relation_comp=allow_set_relation_comp,
  )


@functools.lru_cache(1024)
def parse(text, prose, match_types):
  """The values that an answer may stand for, and its text, '' if none."""
  import math_verify

  configs = {
    'latex': math_verify.LatexExtractionConfig(boxed_match_priority=0),
    'expr': math_verify.ExprExtractionConfig(),
  }
  found = math_verify.parse(
    text if prose else f'\\boxed{{{text}}}',
    [configs[each] for each in match_types],
    parsing_timeout=None,
  )
  text = next((each for each in found if isinstance(each, str)), '')
  return tuple(found), text
