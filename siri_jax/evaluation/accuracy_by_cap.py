"""Accuracy under every lower cap, by grading prefixes of responses.

A prefix is graded by the same rule as a response. One evaluation under a high
cap therefore gives the accuracy under all lower caps.
"""

import numpy as np

from siri_jax.grading.verdict import UNFINISHED


def correct_under_caps(ctx, rows, caps):
  """Whether each sample of a problem is right under each cap.

  It grades prefixes from the longest to the first that ends within the thought;
  all shorter ones also do, and are wrong.

  Args:
    ctx: context.Context.
    rows: records of samples with their `response_ids`, none longer than the
      highest cap.
    caps: int [K], tokens, ascending.
  Returns:
    bool [samples, K].
  """
  right = np.zeros((len(rows), len(caps)), bool)
  shorter = np.searchsorted(caps, [row['length'] for row in rows])
  for i, row in enumerate(rows):
    right[i, shorter[i] :] = row['correct']
  looks = [(i, place - 1) for i, place in enumerate(shorter) if place]
  while looks:
    golds = [rows[i]['answer'] for i, _ in looks]
    texts = [
      ctx.task.decode(rows[i]['response_ids'][: caps[place]])
      for i, place in looks
    ]
    verdicts = ctx.graders.grade(golds, texts)
    for (i, place), verdict in zip(looks, verdicts, strict=True):
      right[i, place] = verdict.correct
    looks = [
      (i, place - 1)
      for (i, place), verdict in zip(looks, verdicts, strict=True)
      if place and verdict.why != UNFINISHED
    ]
  ctx.graders.disagreements.clear()  # Only whole responses are recorded.
  return right
