"""LIMR's selection of training problems, by how the policy learns them.

Source: LIMR, section 3.2, arxiv.org/abs/2502.11886; its lim/lim_selection.py.
"""

import dataclasses
import json

import numpy as np

from siri_jax.data import problems
from siri_jax.runtime import files


def scores(accuracy):
  """How closely each problem's accuracy follows the average, epoch by epoch.

  s_i = 1 - sum_k (r_ik - rbar_k)^2 / sum_k (1 - rbar_k)^2, with the accuracy
  r_ik of problem i in epoch k and its mean rbar_k over the problems. An epoch
  without an accuracy has that of the next one; a problem whose next one has
  none either is left out of the means too.

  Args:
    accuracy: float64 [P, K], 0 to 1; NaN where a problem was not sampled.
  Returns:
    float64 [P], 1 for the average itself; NaN for a problem that is left out.
  Raises:
    ValueError: no problem is left, or every one is right in every epoch.
  """
  filled = np.array(accuracy, np.float64)
  for k in range(filled.shape[1] - 1):
    missing = np.isnan(filled[:, k])
    filled[missing, k] = filled[missing, k + 1]
  whole = ~np.isnan(filled).any(axis=1)
  if not whole.any():
    raise ValueError('no problem has an accuracy in every epoch')
  mean = filled[whole].mean(axis=0)
  if (mean == 1).all():
    raise ValueError('every problem is right in every epoch')
  apart = np.sum((filled - mean) ** 2, axis=1)
  return 1 - apart / np.sum((1 - mean) ** 2)


def by_epoch(rows, ids, epoch_steps, epochs):
  """The accuracy of each problem in each epoch.

  Args:
    rows: records of samples, as of rollout/graded.py.
    ids: ids of the P problems.
    epoch_steps: steps of an epoch.
    epochs: K; later samples are ignored.
  Returns:
    float64 [P, K], NaN where a problem was not sampled.
  Raises:
    ValueError: a sample is of another problem.
  """
  place = {name: i for i, name in enumerate(ids)}
  right, count = np.zeros((2, len(place), epochs))
  for row in rows:
    if row['problem_id'] not in place:
      raise ValueError(
        f'the run sampled problem {row["problem_id"]!r}, which the config does '
        "not have; take the run's own config"
      )
    at = place[row['problem_id']], row['step'] // epoch_steps
    if at[1] < epochs:
      right[at] += row['correct']
      count[at] += 1
  with np.errstate(invalid='ignore'):
    return right / count


def write(path, chosen, summary):
  """Writes a problem file, and its summary to NAME.card.json before it.

  Args:
    path: pathlib.Path of the file.
    chosen: list of types.Problem.
    summary: dict of JSON values.
  """
  lines = (
    {
      **p.columns,
      **{'id': p.id, 'problem': p.text, 'answer': p.answer, 'source': p.source},
    }
    for p in chosen
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write_json(path.with_suffix('.card.json'), summary)
  body = ''.join(json.dumps(line) + '\n' for line in lines)
  files.write_atomically(path, body.encode())


def only(task, path):
  """The task with the training problems of a problem file alone.

  Args:
    task: types.Task.
    path: a problem file; '' keeps all.
  Raises:
    ValueError: the file is invalid, or has a problem that the task does not
      have.
  """
  if not path:
    return task
  wanted = {problem.id for problem in problems.read(path)}
  kept = [problem for problem in task.train if problem.id in wanted]
  if unknown := wanted - {problem.id for problem in kept}:
    raise ValueError(
      f'train_only={path!r} has {len(unknown):,} problems that the task does '
      f'not have, such as {min(unknown)!r}; take the file of a run of this task'
    )
  prints = {**task.fingerprints, 'data': problems.fingerprint(kept)}
  return dataclasses.replace(task, train=kept, fingerprints=prints)
