"""The rewards of a step's samples: of arrays, and of text on the host."""

import json
import traceback
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from siri_jax import plugins, types
from siri_jax.grading.verdict import Verdict
from siri_jax.runtime import files

# The arrays of a types.Batch with an entry for each sample, but for its group.
SAMPLE_ARRAYS = (
  *('length', 'correct', 'answered', 'truncated', 'target', 'mode'),
  'weight',
)
MOST_BYTES = 1000  # Of what a text reward remembers of a problem, as JSON.
WHOLE_RUN = ''  # The key of what it remembers of no problem.


class RewardError(ValueError):
  """A text reward failed, or returned something that is not rewards.

  Attributes:
    name: the text reward's.
  """

  def __init__(self, name, what):
    super().__init__(f'text reward {name} {what}')
    self.name = name


class TextReward(NamedTuple):
  """A text reward of a config.

  Attributes:
    name: its function's, without the module.
    function: (batch) -> rewards, settings bound.
    weight: factor of its rewards.
    remembers: whether it is (batch, memory) -> (rewards, memory).
    monitors: whether it also takes the samples of the monitor pass.
  """

  name: str
  function: Callable
  weight: float
  remembers: bool
  monitors: bool = False


def make_batch(groups, cap):
  """The input of reward functions: types.Batch of numpy arrays [B]."""
  samples = [s for g in groups for s in g.samples]
  verdicts = [v for g in groups for v in g.verdicts]
  sizes = [len(g.samples) for g in groups]
  length = np.asarray([s.response_ids.size for s in samples], np.int32)
  cut = np.asarray([s.finish_reason == 'length' for s in samples])
  asked = [s.budget or types.Budget(cap=int(cap)) for s in samples]
  return types.Batch(
    group=np.repeat(np.arange(len(groups), dtype=np.int32), sizes),
    length=length,
    correct=np.asarray([v.correct for v in verdicts]),
    answered=np.asarray([v.extracted != '' for v in verdicts]),
    truncated=cut | (length > [budget.cap for budget in asked]),
    cap=np.int32(cap),
    target=np.asarray([budget.target for budget in asked], np.int32),
    mode=np.asarray([budget.mode for budget in asked], np.int32),
    weight=np.asarray([s.weight for s in samples], np.float32),
  )


def make_text_batch(groups, arrays, step):
  """The input of text rewards: types.TextBatch."""
  return types.TextBatch(
    step=step,
    problems=[g.problem for g in groups for _ in g.samples],
    completions=[text for g in groups for text in g.texts],
    response_ids=[s.response_ids for g in groups for s in g.samples],
    arrays=arrays,
  )


def rewards(plan, groups, batch, step, memory, monitored=None):
  """The rewards of a step's samples: the array reward and the text rewards.

  Args:
    plan: plan.Plan.
    groups: list of N types.Group, of G samples each.
    batch: types.Batch of the groups.
    step: index of the step.
    memory: text reward's name -> problem id -> value that it remembers; it is
      not changed.
    monitored: types.TextBatch of the monitor pass; None: none was due.
  Returns:
    (float32 [N, G], the weighted sum; name -> float32 [N, G], its parts without
    their weights, none without text rewards; the memory after the step).
  Raises:
    RewardError: a text reward failed; names it and a problem.
  """
  shape = len(groups), plan.c.group_size
  own = np.asarray(plan.find['reward'](batch))
  total, parts, memory = _add(
    own, plan.text_rewards, groups, batch, step, memory, monitored
  )
  if parts:
    parts = {plugins.short(plan.c.reward): own, **parts}
  parts = {name: part.reshape(shape) for name, part in parts.items()}
  return total.reshape(shape), parts, memory


def _add(total, text_rewards, groups, arrays, step, memory, monitored=None):
  """Adds text rewards to rewards [B]; returns as `rewards` does, flat."""
  parts = {}
  if text_rewards:
    batch = make_text_batch(groups, arrays, step)
  for each in text_rewards:
    before = memory.get(each.name, {})
    found = _called(each, batch, before, monitored)
    parts[each.name], after = found
    total = total + np.float32(each.weight) * parts[each.name]
    if each.remembers:
      memory = {**memory, each.name: {**before, **after}}
  return total, parts, memory


def try_out(text_rewards, task):
  """Calls text rewards with two of the task's problems, before a run.

  Args:
    text_rewards: tuple of TextReward.
    task: types.Task.
  Raises:
    ValueError: a text reward failed; the message has the reason.
  """
  if not text_rewards:
    return
  groups = [_example(problem, task) for problem in task.train[:2]]
  arrays = make_batch(groups, cap=1)
  blank = np.zeros(arrays.length.size, np.float32)
  batch = make_text_batch(groups, arrays, 0)
  _add(blank, text_rewards, groups, arrays, 0, {}, monitored=batch)


def _example(problem, task):
  """A group with a right response and an empty one that was cut."""
  answer = problem.answer
  answer = answer if isinstance(answer, str) else answer[0]
  ends = {'stop': answer, 'length': ''}
  samples = [
    types.Sample(
      problem_id=problem.id,
      index=index,
      prompt_ids=np.asarray(task.encode(problem), np.int32),
      response_ids=np.asarray(task.eos_ids[:1], np.int32),
      finish_reason=reason,
      spans=((0, 0, 1),),
    )
    for index, reason in enumerate(ends)
  ]
  verdicts = [Verdict(bool(text), text, '') for text in ends.values()]
  return types.Group(problem, samples, verdicts, list(ends.values()))


def _called(each, batch, memory, monitored):
  """(float32 [B], the problems' new memory) of one text reward.

  Raises:
    RewardError: it failed.
  """
  try:
    found = _call(each, batch, memory, monitored)
  except Exception as error:  # A plug-in may raise anything.
    at = traceback.extract_tb(error.__traceback__)[-1]
    raise _refusal(
      each,
      batch,
      f'raised {error!r} at {at.filename}:{at.lineno} '
      f'({_culprit(each, batch, memory, monitored)})',
    ) from error
  if not each.remembers:
    return _checked(each, batch, found), {}
  if not (isinstance(found, tuple) and len(found) == 2):
    raise _refusal(each, batch, f'returned {_shown(found)}, not a pair')
  return _checked(each, batch, found[0]), _remembered(each, batch, found[1])


def _call(each, batch, memory, monitored):
  """Calls a text reward with a copy of what it remembers of the problems."""
  if not each.remembers:
    return each.function(batch)
  ids = dict.fromkeys([p.id for p in batch.problems] + [WHOLE_RUN])
  own = {name: files.plain(memory[name]) for name in ids if name in memory}
  return each.function(batch, own, *[monitored] * each.monitors)


def _culprit(each, batch, memory, monitored):
  """The first problem whose group alone makes a text reward fail."""
  for group in range(batch.arrays.group[-1] + 1):
    rows = np.flatnonzero(batch.arrays.group == group)
    problem = batch.problems[rows[0]]
    try:
      _call(each, _rows(batch, rows), memory, monitored)
    except Exception:
      return f'with problem {problem.id!r}'
  return 'with the whole step, not with any problem alone'


def _rows(batch, rows):
  """Some samples of a types.TextBatch as one group."""
  of = batch.arrays
  arrays = {name: getattr(of, name)[rows] for name in SAMPLE_ARRAYS}
  return types.TextBatch(
    step=batch.step,
    problems=[batch.problems[i] for i in rows],
    completions=[batch.completions[i] for i in rows],
    response_ids=[batch.response_ids[i] for i in rows],
    arrays=of.replace(group=np.zeros(rows.size, np.int32), **arrays),
  )


def _checked(each, batch, found):
  """Rewards as float32 [B]."""
  size = len(batch.problems)
  try:
    rewards = np.asarray(found, np.float32)
  except (TypeError, ValueError):
    raise _refusal(each, batch, f'returned {_shown(found)}') from None
  if rewards.shape != (size,):
    what = f'rewards of shape {list(rewards.shape)}'
    raise _refusal(each, batch, f'returned {what}')
  for row in np.flatnonzero(~np.isfinite(rewards))[:1]:
    where = f'sample {row} (problem {batch.problems[row].id!r})'
    raise _refusal(each, batch, f'gave {rewards[row]} to {where}')
  return rewards


def _remembered(each, batch, memory):
  """Memory as JSON values of the batch's problems."""
  if not isinstance(memory, dict):
    raise _refusal(each, batch, f'returned {_shown(memory)} as its memory')
  kept, ids = {}, {WHOLE_RUN, *(p.id for p in batch.problems)}
  for name, value in memory.items():
    value = files.plain(value)
    if name not in ids:
      what = f'remembers {name!r}, which is no problem of the step'
      raise _refusal(each, batch, what)
    try:
      size = len(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
      what = f'remembers {_shown(value)} of problem {name!r}, not JSON'
      raise _refusal(each, batch, what) from None
    if size > MOST_BYTES:
      what = f'remembers {size} bytes of problem {name!r}, over {MOST_BYTES}'
      raise _refusal(each, batch, what)
    kept[name] = value
  return kept


def _refusal(each, batch, what):
  """The RewardError of a text reward: what it did, and what is right."""
  size = len(batch.problems)
  wanted = f'a list of {size} finite numbers, one for each sample'
  if each.remembers:
    wanted = (
      f'({wanted}; a dict of JSON values by the ids of the problems, at most '
      f'{MOST_BYTES} bytes each)'
    )
  return RewardError(each.name, f'{what}; it must return {wanted}')


def _shown(value):
  """A value in a message."""
  return f'{value!r:.60}'
