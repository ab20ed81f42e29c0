"""Checks in responses to the built-in task: which were needed, which not."""

import functools

import pandas as pd

from siri_jax.analysis import dataframes
from siri_jax.data import arithmetic_audit
from siri_jax.data.arithmetic_words import ID

KINDS = {'eval': 'evaluation', 'rollouts': 'training'}
_KEPT = (*dataframes.NAMES, 'of', 'step', 'cap', 'length', 'correct')


def table(read):
  """The checks of every recorded response to the built-in task.

  A first check of a hard step is needed, because a guess at such a step may be
  wrong. Every other check is redundant: of an easy step, or a further one.

  Args:
    read: list of runs.Run.
  Returns:
    DataFrame, a row a response: run, setting, seed; `of`, 'evaluation' or
    'training'; `step`, updates done before it; `cap`, that of the newest step
    that was trained or, of a sample in training, its own, tokens; `length`,
    tokens; `correct`; then counts: `steps` of the problem, `hard_steps` that
    the response came to, `needed`, those of them with a check, `redundant`
    checks, and `slips_left`, wrong guesses without a check.
  Raises:
    ValueError: a run has another task, or a file of samples is damaged.
  """
  other = [run.name for run in read if run.config['task'] != 'arithmetic']
  if other:
    raise ValueError(
      f'{", ".join(other)}: not the built-in task; checks are counted in its '
      'responses alone'
    )
  parts = [_of_kind(read, kind) for kind in KINDS]
  found = pd.concat([part for part in parts if part is not None])
  return found.reset_index(drop=True)


def _of_kind(read, kind):
  """The rows of evaluations, or of samples in training."""
  samples = dataframes.samples(read, kind)
  if samples is None or not len(samples):
    return None
  caps = {run.name: run.column('cap') for run in read}
  behind = int(kind == 'eval')
  samples['cap'] = [
    caps[name][max(step - behind, 0)]
    for name, step in zip(samples['run'], samples['step'], strict=True)
  ]
  samples['of'] = KINDS[kind]
  counts = pd.DataFrame(
    map(_counts, samples['problem'], samples['response']), samples.index
  )
  return samples[[*_KEPT]].join(counts)


def _counts(problem, response):
  """The counts of one response."""
  steps = arithmetic_audit.audit(_ids(problem), _ids(response)).steps
  needed = [step.hard and step.checks > 0 for step in steps]
  return {
    'steps': problem.count('#'),
    'hard_steps': sum(step.hard for step in steps),
    'needed': sum(needed),
    'redundant': sum(step.checks for step in steps) - sum(needed),
    'slips_left': sum(not (s.first_right or s.checks) for s in steps),
  }


@functools.lru_cache(maxsize=4096)  # All runs have the same problems.
def _ids(text):
  return tuple(ID[word] for word in text.split())
