"""Outcome efficiency: the share of a response up to its first right solution.

Solutions are found by the rules of siri_jax/grading/solutions.py and graded by
the config's rule. A right reply after the thought counts as the last solution,
at the end of the response. A response without a right solution has an
efficiency of 0, so the mean over responses is at most the share of responses
with a right solution.

Source: OverThink, section 2.2, arxiv.org/abs/2412.21187.
"""

import bisect

from siri_jax.algorithm.training_sets import Solutions
from siri_jax.grading import solutions


def found(ctx, rows):
  """The training_sets.Solutions of each sample.

  Args:
    ctx: context.Context; its task has `solutions`.
    rows: records of samples with their `response_ids`.
  """
  texts = [ctx.task.decode(row['response_ids']) for row in rows]
  seen = [ctx.task.solutions(text) for text in texts]
  verdicts = iter(
    ctx.graders.grade(
      [row['answer'] for row, own in zip(rows, seen, strict=True) for _ in own],
      [each.reply for own in seen for each in own],
    )
  )
  ctx.graders.disagreements.clear()  # Only whole responses are recorded.
  out = []
  for row, text, own in zip(rows, texts, seen, strict=True):
    ends = [
      (_tokens(ctx.task, row['response_ids'], each.end), next(verdicts).correct)
      for each in own
    ]
    close = text.find(solutions.CLOSE)
    size = len(row['response_ids'])
    before = (
      size if close < 0 else _before(ctx.task, row['response_ids'], close)
    )
    out.append(Solutions(ends, before))
  return out


def efficiencies(ctx, rows):
  """The outcome efficiency of each sample, 0 to 1.

  Args:
    ctx: context.Context; its task has `solutions`.
    rows: records of samples with their `response_ids`.
  Returns:
    list of floats.
  """
  return [
    _efficiency(row, own)
    for row, own in zip(rows, found(ctx, rows), strict=True)
  ]


def _efficiency(row, own):
  """The outcome efficiency of a sample with these Solutions."""
  right = [end for end, good in own.ends if good]
  right += [row['length']] * bool(row['correct'])
  return min(right, default=0) / row['length']


def _tokens(task, ids, characters):
  """The fewest tokens of a response whose text has so many characters."""
  return bisect.bisect_left(
    range(len(ids)), characters, key=lambda n: len(task.decode(ids[:n]))
  )


def _before(task, ids, characters):
  """The most tokens of a response whose text has at most so many characters."""
  sizes = range(len(ids) + 1)
  return (
    bisect.bisect_right(
      sizes, characters, key=lambda n: len(task.decode(ids[:n]))
    )
    - 1
  )
