"""Outcome efficiency of known responses of the built-in task."""

import types as std

import pytest

from siri_jax.algorithm.training_sets import Solutions
from siri_jax.data import arithmetic, arithmetic_words
from siri_jax.evaluation import outcome
from siri_jax.grading import pool

LANGUAGE = arithmetic_words.Language(7)


@pytest.fixture(scope='module')
def ctx():
  task = arithmetic.task(seed=0, problems=1, held_out=1)
  kw = dict(workers=1, secs=5.0, memory_gb=4.0)
  with pool.GraderPool('exact', dict(kind='continuation'), **kw) as graders:
    yield std.SimpleNamespace(task=task, graders=graders)


def row(text, correct):
  ids = LANGUAGE.ids_of(text)
  return dict(response_ids=ids, length=len(ids), correct=correct, answer='9')


RIGHT_AT_ONCE = '#1 3 7 9 wait 9 0 9 wait 9 0 9 </think> 9 <eos>'
RIGHT_LATER = '#1 3 7 0 wait 9 0 9 </think> 9 <eos>'
UNLEARNED = '#1 3 7 9 wait 9 0 8 </think> 8 <eos>'
WRONG = '#1 3 7 0 </think> 0 <eos>'
BY_LUCK = '</think> 9 <eos>'


@pytest.mark.parametrize(
  ('text', 'correct', 'ends', 'close', 'expected'),
  [
    (RIGHT_AT_ONCE, True, [(4, True), (8, True), (12, True)], 12, 4 / 15),
    (RIGHT_LATER, True, [(4, False), (8, True)], 8, 8 / 11),
    (UNLEARNED, False, [(4, True), (8, False)], 8, 4 / 11),
    (WRONG, False, [(4, False)], 4, 0.0),
    (BY_LUCK, True, [], 0, 1.0),
  ],
)
def test_tokens_up_to_the_first_right_solution(
  ctx, text, correct, ends, close, expected
):
  own = row(text, correct)
  assert outcome.found(ctx, [own]) == [Solutions(ends, close)]
  assert outcome.efficiencies(ctx, [own]) == [expected]


def test_a_thought_without_an_end_closes_after_its_last_token(ctx):
  own = row('#1 3 7 9 wait 9', correct=False)
  assert outcome.found(ctx, [own]) == [Solutions([(4, True)], 6)]
