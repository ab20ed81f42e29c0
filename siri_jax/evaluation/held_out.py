"""Evaluation of held-out sets in training, and the scores of a set."""

import collections

import numpy as np

from siri_jax.grading import normalize, pass_at_k
from siri_jax.rollout import engines, graded
from siri_jax.runtime.stopwatch import Stopwatch


def sampling_params(c, samples, done):
  """The sampling settings of held-out problems after `done` updates."""
  return engines.SamplingParams(
    n=samples,
    cap=c.eval_kw.cap,
    temperature=c.eval_kw.temperature,
    top_p=c.eval_kw.top_p,
    top_k=0,
    seeds=(c.seed, engines.SeedPurpose.MEASURING, done),
  )


def evaluate(ctx, done, kind):
  """Samples and grades every held-out set in training.

  Args:
    ctx: context.TrainContext; its engine has the weights to evaluate.
    done: updates done.
    kind: the reason, one of plan.Plan.evals or a turn.
  Yields:
    (name of the set, record for eval.jsonl, rows with every sample).
  """
  c = ctx.plan.c
  asked = sampling_params(c, c.eval_kw.samples, done)
  for name, problems in ctx.task.evals.items():
    watch = Stopwatch()
    word = f'evaluating {name}'
    groups = graded.sample_groups(
      ctx,
      problems,
      asked,
      word,
      budget=ctx.plan.find['budget'],
      cap=c.eval_kw.cap,
      watch=watch,
    )
    found = [graded.rows(group, ctx.task, done) for group in groups]
    record = {
      'step': done,
      'kind': kind,
      'set': name,
      **summary(found),
      'secs': watch.total(),
    }
    yield name, record, [row for own in found for row in own]


def summary(problems):
  """Accuracy and length over problems, each with its standard error.

  Args:
    problems: the `graded.rows` of each problem, with equally many samples.
  Returns:
    dict: lengths in tokens, shares from 0 to 1; pass@k and maj@k for each
    power of two up to the number of samples.
  """
  samples = len(problems[0])
  found = {
    'accuracy': [_mean(rows, 'correct') for rows in problems],
    'length': [_mean(rows, 'length') for rows in problems],
    'truncated_frac': [
      np.mean([row['finish_reason'] == 'length' for row in rows])
      for rows in problems
    ],
  }
  passes = np.array([pass_at_k.pass_at_k(_right(r), samples) for r in problems])
  votes = np.array([_maj_at(rows, samples) for rows in problems])
  for k in powers(samples):
    found |= {f'pass@{k}': passes[:, k - 1], f'maj@{k}': votes[:, k - 1]}
  record = {}
  for name, values in found.items():
    record[name], record[f'{name}_se'] = pass_at_k.mean_and_error(values)
  return {**record, 'problems': len(problems), 'samples': samples}


def powers(samples):
  """The k of pass@k and maj@k: 2, 4, ... up to the number of samples."""
  return [2**i for i in range(1, samples.bit_length())]


def _mean(rows, name):
  return np.mean([row[name] for row in rows])


def _right(rows):
  return sum(row['correct'] for row in rows)


def _maj_at(rows, samples):
  """maj@k; equal answers in different spellings are counted together."""
  wrong = [
    normalize.normalize(row['extracted'])
    for row in rows
    if row['extracted'] and not row['correct']
  ]
  counts = list(collections.Counter(wrong).values())
  return pass_at_k.maj_at_k(_right(rows), counts, samples)
