r"""PLUG-IN grading rules: (gold, response) -> Verdict.

A rule is a public function `(gold, response, *, settings)` of this module.
`gold` is a reference answer or a list of accepted ones. A rule runs in a worker
process, which is killed at its time limit. No JAX here.

Every rule takes `kind`, the type of response (siri_jax/grading/extract.py):
'continuation' of a thought that the prompt opened, as in training; 'response',
a whole reply; 'answer', a bare answer; 'text', prose without a box. A rule
that compares values takes `verify_kw`, math-verify options that differ from its
defaults (siri_jax/grading/equivalence.py).
"""

import dataclasses
import re

from siri_jax.grading import (
  compare,
  equivalence,
  extract,
  kinds,
  latex,
  normalize,
  units,
)
from siri_jax.grading.limits import LONGEST, too_costly
from siri_jax.grading.verdict import (
  DEEPSCALER_ONLY,
  MATH_VERIFY_ONLY,
  UNFINISHED,
  Verdict,
)

LONGEST_SHOWN = 1000  # Characters of an answer in a verdict.
_MONEY = re.compile(r'\\\$(?=\s*[\d.])')  # A price, not the end of a formula.
LONGEST_PROSE = 8000  # Characters searched, at the end of prose.


def exact(gold, response, *, kind):
  """The text after the thought is the gold; the rule of the built-in task."""
  said = extract.after_thought(response, kind)
  if said is None:
    return Verdict(False, '', UNFINISHED)
  said = said.strip()
  right = said in [each.strip() for each in _golds(gold)]
  return Verdict(right, said[:LONGEST_SHOWN], 'equal' if right else 'not equal')


def deepscaler(gold, response, *, kind, verify_kw):
  r"""DeepScaleR's: the last \boxed{} after the thought, by spelling or value.

  Except in prose, it refuses on purpose: a reply without a box; a box in the
  thought; an unfinished thought; for an integer, an expression to be worked
  out (2^{10} for 1024); for a fraction, one that is not in lowest terms.

  Source: agentica-project/deepscaler, deepscaler/rewards/math_reward.py. Our
    comparison by kind, part and value replaces its comparison by sympy. It
    reads more LaTeX and runs no text as code. It also accepts sets and bare
    lists in another order, and an inequality for its interval.
  """
  compare = _prose if kind == 'text' else _strict
  return _grade(gold, response, kind, verify_kw, compare)


def math_verify(gold, response, *, kind, verify_kw):
  r"""The value of the last \boxed{} after the thought, worked out or not.

  Hugging Face's math-verify reads and compares the values. The whole answer
  must be readable: the last number in it is not enough.
  """
  compare = _prose if kind == 'text' else _lenient
  return _grade(gold, response, kind, verify_kw, compare)


def either(gold, response, *, kind, verify_kw):
  """Right if `deepscaler` or `math_verify` is; records disagreements."""
  ours = deepscaler(gold, response, kind=kind, verify_kw=verify_kw)
  theirs = math_verify(gold, response, kind=kind, verify_kw=verify_kw)
  if ours.correct == theirs.correct:
    return ours
  why = DEEPSCALER_ONLY if ours.correct else MATH_VERIFY_ONLY
  return Verdict(True, ours.extracted, why)


def _golds(gold):
  return [gold] if isinstance(gold, str) else list(gold)


def _grade(gold, response, kind, verify_kw, compare):
  """Extracts the answer and compares it with each gold until one matches."""
  said = extract.after_thought(response, kind)
  if said is None:
    return Verdict(False, '', UNFINISHED)
  answer = extract.answer(said, kind)
  if not answer:
    return Verdict(False, '', 'no box' if answer is None else 'no answer')
  verdict = Verdict(False, answer[:LONGEST_SHOWN], 'no gold')
  for each in _golds(gold):
    if kind != 'text':
      each = extract.bare(each)
    # A choice with a letter and a value, (B) 12, may match by either.
    either = () if _choice(each) else _choice(answer)
    for part in (answer, *either) if each.strip() else ():
      verdict = compare(each.strip(), part, verify_kw)
      if part in either:
        verdict = dataclasses.replace(verdict, extracted=answer[:LONGEST_SHOWN])
      if verdict.correct:
        return verdict
  return verdict


def _choice(answer):
  return kinds.choice(answer) or kinds.choice(latex.spell(answer))


def _strict(gold, answer, verify_kw):
  if max(len(gold), len(answer)) > LONGEST or gold == answer:
    return _lenient(gold, answer, verify_kw)
  given, (gold, answer) = answer, map(latex.spell, (gold, answer))
  if units.differ(units.split(gold)[1], units.split(answer)[1]):
    return _verdict(given, False, 'another unit')
  if normalize.normalize(gold) == normalize.normalize(answer):
    return _verdict(given, True)
  wanted, found = normalize.number(gold), normalize.number(answer)
  if wanted is not None:
    if wanted.denominator == 1 and normalize.is_unfinished(answer):
      return _verdict(given, False, 'to be worked out')
    if wanted.denominator > 1 and normalize.is_unreduced(answer):
      return _verdict(given, False, 'not in lowest terms')
    if found is not None:
      return _verdict(given, wanted == found)
  # math-verify equates x > 5 and (5, \\infty) only with this option.
  return _lenient(gold, given, {'allow_set_relation_comp': True} | verify_kw)


def _lenient(gold, answer, verify_kw):
  if normalize.without_spaces(gold) == normalize.without_spaces(answer):
    return _verdict(answer, True)
  given, (gold, answer) = answer, map(latex.spell, (gold, answer))
  costly = too_costly(gold) or too_costly(answer)
  if costly:
    return _verdict(given, False, costly)
  return _verdict(given, compare.same(gold, answer, verify_kw))


def _prose(gold, text, verify_kw):
  if gold.strip() == text.strip():
    return _verdict(text.strip(), True)
  gold, text = (_MONEY.sub('', each[-LONGEST_PROSE:]) for each in (gold, text))
  types, _ = equivalence.options(**verify_kw)
  _, wanted = equivalence.search(gold, types)
  _, found = equivalence.search(text, types)
  costly = too_costly(wanted) or too_costly(found)
  if costly:
    return _verdict(found, False, costly)
  same = equivalence.searched(gold, text, verify_kw=verify_kw)
  return _verdict(found, same)


def _verdict(answer, correct, why=''):
  why = why or ('equal' if correct else 'not equal')
  return Verdict(correct, answer[:LONGEST_SHOWN], why)
