"""AdaptThink's rewards: right answers against a reference policy's accuracy.

Source: github.com/THU-KEG/AdaptThink; arxiv.org/abs/2505.13417.
"""

import json
import pathlib


def rewards(batch, reference, close, bonus, where):
  """AdaptThink's rewards of a types.TextBatch.

  Args:
    batch: types.TextBatch.
    reference: problem id -> accuracy of the reference policy.
    close: end of a thought.
    bonus: of a response that begins with it.
    where: what has the reference, for a message.
  Raises:
    ValueError: the reference lacks a problem.
  """
  if lacking := [p.id for p in batch.problems if p.id not in reference]:
    raise ValueError(f'problem {lacking[0]!r} is not in {where}')
  return [
    float(right) - reference[problem.id] + bonus * text.startswith(close)
    for problem, text, right in zip(
      batch.problems, batch.completions, batch.arrays.correct, strict=True
    )
  ]


def accuracies(table):
  """Problem id -> accuracy, of the lines of a reference.jsonl.

  Raises:
    ValueError: it cannot be read.
  """
  try:
    rows = map(json.loads, pathlib.Path(table).read_text().splitlines())
    return {row['problem_id']: row['accuracy'] for row in rows}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f'table={table!r} cannot be read ({error!r}): `siri-jax presample` with '
      "this run's flags writes one; text reward against_start needs none"
    ) from error
