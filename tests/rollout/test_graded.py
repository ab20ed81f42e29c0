"""Sampling and grading of problem sets, with a scripted engine."""

import functools
import math
import types as std

import builders
import numpy as np
import pytest

from siri_jax import types
from siri_jax.evaluation import held_out
from siri_jax.grading.verdict import Verdict
from siri_jax.rollout import budgets, engines, graded
from siri_jax.runtime import stopwatch
from siri_jax.runtime.stopwatch import Stopwatch
from tests.helpers import tiny


class Engine:
  """Problem pN gets samples of N + 1, N + 2, ... tokens; the last is first."""

  def __init__(self):
    self.asked = []

  def sample(self, prompts, sampling, progress):
    self.asked.append((prompts, sampling))
    for done, prompt in enumerate(reversed(prompts)):
      progress(done, len(prompts))
      number = int(prompt.problem_id[1:])
      yield [
        builders.make_sample(
          prompt.ids,
          np.arange(number + 1 + index),
          problem_id=prompt.problem_id,
          index=index,
          finish_reason='stop' if index else 'length',
        )
        for index in range(sampling.n)
      ]


class Ticket(list):
  """Answers with their texts; those of odd problems are slow."""

  def is_done(self):
    return self[0][0] != '1'


class Graders:
  """A text is right if its last word is the answer."""

  def submit(self, answers, texts):
    return Ticket(zip(answers, texts, strict=True))

  def collect(self, ticket):
    return [
      Verdict(text.split()[-1] == answer, text.split()[-1], 'last word')
      for answer, text in ticket
    ]


@pytest.fixture
def ctx():
  """Three held-out problems p0 p1 p2 with the answers 0 1 2."""
  c = tiny.get_config()
  c.eval_kw.update(samples=2, cap=5, temperature=0.6, top_p=0.9)
  problems = [builders.make_problem(i) for i in range(3)]
  task = types.Task(
    train=[],
    evals={'first': problems, 'second': problems[:1]},
    encode=lambda problem: [7, int(problem.answer)],
    decode=lambda ids: ' '.join(map(str, ids)),
    eos_ids=(0,),
    vocab=8,
    fingerprints={},
  )
  said = []
  return std.SimpleNamespace(
    sampled_tokens=0,
    plan=std.SimpleNamespace(
      c=c, evals={4: 'compressed'}, find={'budget': budgets.step_cap}
    ),
    task=task,
    engine=Engine(),
    graders=Graders(),
    signals=stopwatch.Signals(print, secs=1.0),
    terminal=std.SimpleNamespace(working=lambda *words: said.append(words)),
    said=said,
    note_disagreements=lambda: None,
  )


def gather(ctx, cap=5, budget=budgets.step_cap):
  sampling = engines.SamplingParams(2, cap, 1.0, 1.0, 0, (0, 0, 0))
  return graded.sample_groups(
    ctx,
    ctx.task.evals['first'],
    sampling,
    'sampling',
    budget=budget,
    cap=cap,
    watch=Stopwatch(),
  )


def test_a_group_is_yielded_when_graded_or_when_all_are_sampled(ctx):
  asked = engines.SamplingParams(2, 5, 1.0, 1.0, 0, (0, 0, 0))
  problems = ctx.task.evals['first']
  groups = graded.sample_and_grade(
    ctx, problems, asked, '', budget=budgets.step_cap, cap=5, watch=Stopwatch()
  )
  sampled_when_given = [
    (g.problem.id, sum(word == '' for word, *_ in ctx.said)) for g in groups
  ]
  # p1 is still being graded when p0, the last one, is sampled.
  assert sampled_when_given == [('p2', 1), ('p1', 3), ('p0', 3)]


def test_groups_come_back_in_the_order_of_the_problems(ctx):
  groups = gather(ctx)
  assert [g.problem.id for g in groups] == ['p0', 'p1', 'p2']
  for group in groups:
    assert {s.problem_id for s in group.samples} == {group.problem.id}
    assert [s.index for s in group.samples] == [0, 1]


def test_the_engine_gets_the_tasks_tokens(ctx):
  gather(ctx)
  ((prompts, _),) = ctx.engine.asked
  assert [p.problem_id for p in prompts] == ['p0', 'p1', 'p2']
  np.testing.assert_array_equal(
    [p.ids for p in prompts], [[7, 0], [7, 1], [7, 2]]
  )
  assert [s for s in ctx.said if s[0] == 'sampling'] == [
    ('sampling', i, 3) for i in range(3)
  ]


def test_each_text_is_graded_against_its_own_problem(ctx):
  # pN's samples end in the tokens N and N + 1; the first is the answer.
  for group in gather(ctx):
    assert [v.correct for v in group.verdicts] == [True, False]


def test_the_grader_reads_no_further_than_the_cap(ctx):
  read = [[v.extracted for v in g.verdicts] for g in gather(ctx, cap=2)]
  assert read == [['0', '1'], ['1', '1'], ['1', '1']]


def test_the_grader_reads_no_further_than_the_samples_own_cap(ctx):
  def unequal(problem, cap, uniforms):
    return [types.Budget(cap=1, target=1), types.Budget(cap=cap)]

  # The engine gives both samples of a problem at a time, whatever their caps.
  ctx.engine.sample = functools.partial(one_by_one, ctx.engine.sample)
  groups = gather(ctx, budget=unequal)
  assert [[v.extracted for v in g.verdicts] for g in groups] == [
    *(['0', '1'], ['0', '2'], ['0', '3'])
  ]
  rows = graded.rows(groups[0], ctx.task, 7)
  assert [row.get('target') for row in rows] == [1, None]
  assert rows[0]['cap'] == 1
  (asked, _), *_ = ctx.engine.asked
  assert [(p.first, p.samples, p.cap) for p in asked[:2]] == [
    *((0, 1, 1), (1, 1, 5))
  ]


def one_by_one(sample, prompts, sampling, progress):
  """Yields each prompt's samples alone."""
  whole = {g[0].problem_id: g for g in sample(prompts, sampling, progress)}
  for prompt in prompts:
    yield whole[prompt.problem_id][prompt.first :][: prompt.samples]


def test_every_set_is_evaluated_with_its_settings(ctx):
  found = {
    name: record for name, record, _ in held_out.evaluate(ctx, 4, 'compressed')
  }
  assert list(found) == ['first', 'second']
  _, sampling = ctx.engine.asked[0]
  assert sampling == engines.SamplingParams(
    n=2,
    cap=5,
    temperature=0.6,
    top_p=0.9,
    top_k=0,
    seeds=(0, engines.SeedPurpose.MEASURING, 4),
  )
  record = found['first']
  assert (record['step'], record['kind']) == (4, 'compressed')
  assert record['secs'] >= 0


def found(ctx):
  return [graded.rows(group, ctx.task, 7) for group in gather(ctx)]


def test_a_summary_is_over_problems_with_errors_of_their_means(ctx):
  # One of two samples is right; mean lengths are 1.5, 2.5, 3.5.
  assert held_out.summary(found(ctx)) == {
    'accuracy': 0.5,
    'accuracy_se': 0.0,
    'length': 2.5,
    'length_se': pytest.approx(1 / math.sqrt(3)),
    'truncated_frac': 0.5,
    'truncated_frac_se': 0.0,
    'pass@2': 1.0,
    'pass@2_se': 0.0,
    'maj@2': 0.5,
    'maj@2_se': 0.0,
    'problems': 3,
    'samples': 2,
  }


def verdict_rows(*answers, right='7'):
  return [
    {'correct': a == right, 'extracted': a, 'length': 1, 'finish_reason': ''}
    for a in answers
  ]


def test_one_wrong_answer_in_two_spellings_outvotes_the_right_one():
  apart = verdict_rows('7', '7', '8', '9', '')
  one = verdict_rows('7', '7', '\\frac12', '\\dfrac{1}{2}', '1/2')
  assert held_out.powers(5) == [2, 4]
  # Without a 7: three ties, or three against one. With a 7: 2 to 1, or 2:2.
  assert held_out.summary([apart])['maj@4'] == pytest.approx((2 / 3 + 3) / 5)
  assert held_out.summary([one])['maj@4'] == pytest.approx((0 + 3 / 2) / 5)


def test_every_sample_is_a_row_with_its_text_and_further_columns(ctx):
  group = gather(ctx)[1]
  rows = graded.rows(group, ctx.task, 7, reward=[0.2, 0.3])
  assert [row['reward'] for row in rows] == [0.2, 0.3]
  assert rows[1] == {
    'step': 7,
    'problem_id': 'p1',
    'index': 1,
    'length': 3,
    'finish_reason': 'stop',
    'correct': False,
    'extracted': '2',
    'why': 'last word',
    'reward': 0.3,
    'problem': 'What is 1?',
    'answer': '1',
    'response': '0 1 2',
  }
