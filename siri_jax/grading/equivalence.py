"""Equality in value, by math-verify and sympy. Imports them on first use.

math-verify's time limits are off: they need the main thread, count whole
seconds and do not stop a computation in C. The caller must set a time limit.
"""

import functools
import re

from siri_jax.grading import latex_value

DIGITS = 30  # Digits of exact numbers when they are subtracted.
MOST_DIGITS = 400  # Decimals; a smaller number counts as zero.
_LETTER = re.compile(r'\\[a-zA-Z]+|[a-zA-Z]')


def searched(gold, text, *, verify_kw):
  """Whether math-verify finds equal answers in two texts.

  Args:
    gold: a text with the reference answer.
    text: a text with the answer to grade.
    verify_kw: math-verify options that differ from its defaults; see `options`.
  """
  import math_verify

  types, settings = options(**verify_kw)
  gold, text = (list(search(each, types)[0]) for each in (gold, text))
  if len(gold) == len(text) == 2 and _is_number(gold[0], text[0]):
    return numbers_equal(gold[0], text[0], settings['float_rounding'])
  return math_verify.verify(gold, text, timeout_seconds=None, **settings)


def equal(gold, answer, *, verify_kw):
  """Whether two answers are equal; False if one cannot be read completely.

  Args:
    gold: the reference answer, in the spelling of siri_jax/grading/latex.py.
    answer: the answer to grade, in the same spelling.
    verify_kw: math-verify options that differ from its defaults.
  """
  import math_verify
  import sympy

  _, settings = options(**verify_kw)
  # Case matters only if a letter occurs in both cases.
  cased = _has_both_cases(gold) or _has_both_cases(answer)
  real = not any(
    map(math_verify.grader.should_treat_as_complex, (gold, answer))
  )
  gold, answer = (latex_value.read(x, real, cased) for x in (gold, answer))
  if gold is None or answer is None:
    return False
  if _is_number(gold, answer):
    return numbers_equal(gold, answer, settings['float_rounding'])
  gold, answer = exact(gold), exact(answer)
  if gold in (sympy.true, sympy.false) or answer in (sympy.true, sympy.false):
    return False  # Two true relations of numbers are not equal.
  if settings['strict'] and _is_formula(gold) and _is_formula(answer):
    return _formulas_equal(gold, answer)
  if isinstance(gold, sympy.Eq) and isinstance(answer, sympy.Eq):
    if _is_multiple(gold, answer):
      return True
    if not _has_solution(gold):
      return False  # math-verify finds two empty solution sets equal.
  return math_verify.verify(
    gold,
    answer,
    timeout_seconds=None,
    numeric_precision=MOST_DIGITS,
    **settings,
  )


def numbers_equal(one, other, decimals):
  """Whether two numbers are equal, exactly or after rounding.

  Two exact numbers must be equal at any size, and so must two numbers that
  finite decimals can express. Otherwise a decimal may be rounded: the numbers
  may differ by one in the last of `decimals`, small ones in proportion to
  their size.
  """
  import sympy

  if one == other:
    return one not in (sympy.zoo, sympy.nan)
  rounded = one.has(sympy.Float) or other.has(sympy.Float)
  one, other = exact(one), exact(other)
  are_exact = not rounded or all(
    each.is_Rational and _ends(each) for each in (one, other)
  )
  if one.is_Rational and other.is_Rational and are_exact:
    return one == other
  a, b = (each.evalf(DIGITS) for each in (one, other))
  if not (a.is_finite and b.is_finite):
    return one == other
  apart, size = abs(a - b), max(abs(a), abs(b))
  if rounded:
    step = sympy.Float(10) ** -decimals
    near = size if size < 0.01 else min(1, 5 * size)
    far = step * max(near, step * size)
    return bool(apart <= far * (1 + step))
  if apart > size * sympy.Float(10) ** (8 - DIGITS):
    return False
  left = (one - other).evalf(5).as_real_imag()  # sympy adds digits as needed.
  return all(part == 0 or part._prec == 1 for part in left)


def exact(value):
  """A value with its decimals as fractions."""
  import sympy

  if isinstance(value, sympy.Basic) and value.has(sympy.Float):
    value = value.xreplace(
      {each: sympy.Rational(str(each)) for each in value.atoms(sympy.Float)}
    )
  if isinstance(value, sympy.Expr) and value.is_number:
    value = sympy.sympify(value.doit())
  return value


def options(
  match_types=('latex', 'expr'),
  precision=6,
  strict=True,
  allow_set_relation_comp=False,
):
  """math-verify's options, by the names in its own tests.

  Args:
    match_types: kinds of answer to find in prose: 'latex', 'expr' (a plain
      number or expression) or both.
    precision: decimals at which a rounded number equals its exact value.
    strict: variables must have the same names, and a set is not a tuple.
    allow_set_relation_comp: 1 < x < 2 equals (1, 2).
  Returns:
    (match_types as a tuple, keyword arguments of math_verify.verify).
  """
  return tuple(match_types), dict(
    float_rounding=precision,
    strict=strict,
    allow_set_relation_comp=allow_set_relation_comp,
  )


@functools.lru_cache(1024)
def search(text, match_types):
  """The possible values of a text's answer, and its text ('' if none)."""
  import math_verify

  configs = {
    'latex': math_verify.LatexExtractionConfig(boxed_match_priority=0),
    'expr': math_verify.ExprExtractionConfig(),
  }
  found = math_verify.parse(
    text, [configs[each] for each in match_types], parsing_timeout=None
  )
  text = next((each for each in found if isinstance(each, str)), '')
  return tuple(found), text


def _is_formula(value):
  import sympy

  return isinstance(value, sympy.Expr) and not isinstance(
    value, (sympy.Symbol, sympy.MatrixExpr)
  )


def _formulas_equal(gold, answer):
  """Whether two formulas are equal for all values of their letters."""
  import sympy

  if gold == answer:
    return True
  try:
    return _are_near(gold, answer) and bool(
      sympy.simplify(gold - answer).is_zero
    )
  except Exception:  # sympy fails on some malformed formulas.
    return False


def _are_near(gold, answer):
  """Whether two formulas have the same value at a point.

  Most wrong answers fail this check, so sympy need not simplify them.
  """
  import sympy

  letters = sorted(gold.free_symbols | answer.free_symbols, key=str)
  odd = sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit, sympy.Derivative
  if gold.has(*odd) or answer.has(*odd):
    return True
  a, b = (each.subs(_point(letters)).evalf(DIGITS) for each in (gold, answer))
  if not (a.is_number and b.is_number and a.is_finite and b.is_finite):
    return True
  size = max(abs(a), abs(b))
  return bool(abs(a - b) <= size * sympy.Float(10) ** (8 - DIGITS))


def _is_number(*values):
  """Whether all values are numbers without unevaluated operations."""
  import sympy

  odd = sympy.UnevaluatedExpr, sympy.Integral, sympy.Sum, sympy.Product
  return all(
    isinstance(value, sympy.Expr) and value.is_number and not value.has(*odd)
    for value in values
  )


def _ends(number):
  """Whether a fraction is a finite decimal."""
  bottom = number.q
  for prime in (2, 5):
    while bottom % prime == 0:
      bottom //= prime
  return bottom == 1


def _has_both_cases(text):
  letters = {each for each in _LETTER.findall(text) if len(each) == 1}
  return any(each.upper() in letters for each in letters if each.islower())


def _is_multiple(gold, answer):
  """Whether one equation is the other, times a nonzero number."""
  import sympy

  try:
    one, other = gold.lhs - gold.rhs, answer.lhs - answer.rhs
    letters = sorted(one.free_symbols | other.free_symbols, key=str)
    if not letters:
      return False
    factors = [
      (one / other).subs(_point(letters, n)).evalf(DIGITS) for n in range(2)
    ]
    if abs(factors[0] - factors[1]) > 1e-20 * abs(factors[0]):
      return False
    factor = sympy.simplify(one / other)
    return bool(factor.is_number and factor.is_finite and factor != 0)
  except (TypeError, AttributeError):  # Sets, or undefined at the point.
    return False


def _has_solution(equation):
  import sympy

  if not equation.free_symbols:
    return False
  try:
    return bool(sympy.solve(equation, equation.free_symbols))
  except Exception:  # math-verify cannot solve it either.
    return True


def _point(letters, n=0):
  """A different rational number for each letter, never 0 or 1."""
  import sympy

  return {
    each: sympy.Rational(7 * i + 11 + n, 5 * i + 7)
    for i, each in enumerate(letters)
  }
