"""The plan of a run: values derived from a config after it is checked.

No device is used and no file is written before the check.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from siri_jax import plugins, settings, types
from siri_jax.algorithm import losses, phases, rewards, training_sets
from siri_jax.config import (
  budget_extremes,
  cost_model,
  loss_needs,
  outlook,
  schema,
  text_rewards,
)
from siri_jax.runtime import progress, writers

ROW_MULTIPLE = 128  # Tokens; rows are rounded up to it, for fast kernels.
PLUGINS = {
  'task': ('thought',),
  'grading_rule': (),
  'schedule': (),
  'engine': (),
  'budget': (),
  'collect': (),
  'reward': (),
  'advantage': (),
  'loss': losses.EXTRA,
  'aggregation': (),
  'training_set': training_sets.EXTRA,
}
TEXT_REWARDS = ('text_rewards', 'text_rewards_kw')


# Abstract arguments with which plug-ins are called to check their settings.
FLAT, WHOLE, FLAGS = (
  jax.ShapeDtypeStruct((4,), dtype) for dtype in ('float32', 'int32', 'bool')
)
SCALAR = jax.ShapeDtypeStruct((), 'int32')
BATCH = types.Batch(
  WHOLE, WHOLE, FLAGS, FLAGS, FLAGS, SCALAR, WHOLE, WHOLE, FLAT
)
BLANK = progress.start()
CALLS = {
  'schedule': (SCALAR, BLANK.cap_state, BLANK.seen),
  'reward': (BATCH,),
  'advantage': (jax.ShapeDtypeStruct((2, 2), 'float32'), BATCH),
  'aggregation': (WHOLE,),
  'loss': (FLAT, FLAT, FLAT, FLAT, SCALAR),
  'collect': (jax.tree_util.Partial(lambda number: []),),
}
GIVES = {'schedule': (), 'reward': (4,), 'advantage': (2, 2)}  # Shapes.


class ConfigError(ValueError):
  """An invalid config; `faults` lists every fault."""

  def __init__(self, faults):
    super().__init__('\n'.join(f'  {fault}' for fault in faults))
    self.faults = list(faults)


@dataclasses.dataclass(frozen=True)
class Plan:
  """A valid config with its derived values.

  Attributes:
    c: the config.
    find: family -> the config's plug-in with its settings bound; the schedule
      as outlook.threaded, the advantage as (rewards, batch) -> advantages, the
      training set as None if each step is sampled.
    text_rewards: the config's rewarded.TextRewards.
    extra: names of losses.EXTRA that the loss takes.
    rests: whether the loss has no gradient at an advantage of 0, so that such
      samples need no backward pass.
    caps: int [total_steps], tokens at each step; of a closed loop, simulated.
    lowest: the lowest cap that the run can have, tokens.
    highest: the highest one.
    phases: 'compress' or 'expand' at each step; of a closed loop, simulated.
    turns: updates done -> 'compressed' or 'expanded'; of a closed loop none,
      because the run finds them.
    simulated: the turns of a closed loop, simulated; of another schedule none.
    phase_at: (step, types.CapState before, after) -> the step's phase, and the
      turn after `step` updates or ''.
    evals: updates done -> 'start', 'compressed', 'expanded', 'cadence' or
      'end': the reason to evaluate held-out sets. Every turn is one more.
    checkpoints: updates done after which a checkpoint is saved, as after turns.
    longest: most tokens of a response in one piece: of a chunk with what it
      goes on from, or the highest cap of the run and its evaluations.
    begun: most response tokens that a prompt ends in, where a response is
      continued in a new prompt.
    chunks: the types.Chunks of a response, if every one is in chunks.
    most_chunks: most chunks of a response; 1 without chunks.
    row_tokens: R, tokens of a packed row.
    samples: B, samples of a step.
    minibatch: samples of an optimiser step.
  """

  c: Any
  find: Mapping[str, Callable]
  text_rewards: tuple
  extra: tuple[str, ...]
  rests: bool
  caps: np.ndarray
  lowest: int
  highest: int
  phases: list[str]
  turns: Mapping[int, str]
  simulated: Mapping[int, str]
  phase_at: Callable
  evals: Mapping[int, str]
  checkpoints: frozenset[int]
  longest: int
  begun: int
  chunks: types.Chunks | None
  most_chunks: int
  row_tokens: int
  samples: int
  minibatch: int

  @property
  def offline(self):
    """Whether a training set is learned from instead of sampled steps."""
    return self.find['training_set'] is not None

  @property
  def filters(self):
    """Whether a sampling setting keeps fewer than all tokens."""
    c = self.c
    return min(c.top_p, c.eval_kw.top_p) < 1 or c.top_k > 0

  @property
  def together(self):
    """Consecutive samples of a batch that a row must hold: 2 for pairs."""
    return loss_needs.together(self.c)

  @property
  def requests(self):
    """The most samples that the engine is asked for at a time."""
    return max(self.samples, self.offline * self.c.presample_kw.samples)

  @property
  def expected_turns(self):
    """Updates done -> kind of turn, known before the run or simulated."""
    return self.turns or self.simulated


def make(c):
  """The plan of a config.

  Args:
    c: ConfigDict with the keys of configs/base.py.
  Returns:
    Plan.
  Raises:
    ConfigError: the config is invalid; lists every fault.
  """
  if wrong := faults(c):
    raise ConfigError(wrong)
  course = _course(c)
  if wrong := _bad_caps(c, course):
    raise ConfigError(wrong)
  return _derive(c, course)


def faults(c):
  """Every fault of a config that can be found without a device."""
  wrong = schema.faults(c)
  if settings.NAMES.holds(c.get('writers')):
    wrong += writers.faults(c.writers)
  for family in PLUGINS:
    # A plug-in with an infinite or too large number is not called.
    if not any(fault.startswith(f'{family}_kw.') for fault in wrong):
      wrong += _plugin_faults(c, family)
  if schema.sound(c, 'reward', 'monitor_kw', *TEXT_REWARDS):
    given = c.text_rewards, c.text_rewards_kw, c.reward, c.monitor_kw
    wrong += text_rewards.faults(*given)
  return wrong


def extreme_budgets(c):
  """budget_extremes.extremes of a valid config."""
  course = _course(c)
  caps = course['lowest'], course['highest']
  return budget_extremes.extremes(c, bound(c, 'budget'), caps)


def bound(c, family):
  """The config's plug-in of a family, with its settings bound."""
  kw = c[f'{family}_kw'].to_dict()
  if family == 'schedule':
    return outlook.threaded(c.schedule, kw)
  if family == 'training_set' and not c.training_set:
    return None
  found = plugins.find(family, c[family], kw, PLUGINS[family])
  if family == 'advantage' and len(plugins.inputs_of(found)) == 1:
    return functools.partial(_of_rewards, advantage=found)
  return found


def _of_rewards(rewards, batch, *, advantage):
  """An advantage of the rewards alone, as one that also gets the batch."""
  del batch
  return advantage(rewards)


def _derive(c, course):
  """The plan of a valid config, with the fields of _course."""
  turns = course['turns']
  samples = c.prompts_per_step * c.group_size
  extra = loss_needs.extra(c)
  return Plan(
    c=c,
    find={family: bound(c, family) for family in PLUGINS},
    text_rewards=text_rewards.bound(c.text_rewards, c.text_rewards_kw),
    extra=extra,
    rests=loss_needs.rests(bound(c, 'loss'), extra),
    **course,
    evals=_evals(c, turns),
    checkpoints=frozenset(
      {*turns, *_every(c.checkpoint_kw.every, c.total_steps), c.total_steps}
    ),
    **_asked(c, course),
    row_tokens=c.update_kw.row_tokens
    or -(-_longest_row(c, course) // ROW_MULTIPLE) * ROW_MULTIPLE,
    samples=samples,
    minibatch=samples // c.minibatches,
  )


def _asked(c, course):
  """The fields of a Plan that follow from the budgets."""
  caps = course['lowest'], course['highest']
  return budget_extremes.sizes(c, bound(c, 'budget'), caps)


def _longest_row(c, course):
  """Tokens of the longest sequence of an update, or pair, with its prompt."""
  longest = min(course['highest'], _asked(c, course)['longest'])
  return loss_needs.together(c) * (c.max_prompt_tokens + longest)


def _course(c):
  """The fields of a Plan that follow from the schedule."""
  if outlook.is_loop(c.schedule):
    return _course_of_loop(c)
  # Twice as many steps, to classify the run's last extremum.
  ahead = _outlook(c, 2 * c.total_steps + 1).caps
  caps, turns = ahead[: c.total_steps], phases.cap_extrema(ahead)
  turns = {at: kind for at, kind in turns.items() if at <= c.total_steps}
  words = phases.phases(caps, turns)
  return dict(
    caps=caps,
    lowest=int(caps.min()),
    highest=int(caps.max()),
    phases=words,
    turns=turns,
    simulated={},
    phase_at=functools.partial(phases.of_caps, words, turns),
  )


def _course_of_loop(c):
  """The same of a closed loop, simulated on uncapped_length_kw."""
  caps, compressing = _outlook(c, c.total_steps)
  words = [phases.word(phase) for phase in compressing]
  return dict(
    caps=caps,
    lowest=int(c.schedule_kw.low),
    highest=int(c.schedule_kw.high),
    phases=words,
    turns={},
    simulated=phases.turns_of(words),
    phase_at=phases.of_states,
  )


def _outlook(c, steps):
  lengths = cost_model.lognormal(**c.uncapped_length_kw)
  return outlook.of(c.schedule, c.schedule_kw.to_dict(), steps, lengths)


def _every(steps, total):
  return range(steps, total + 1, steps) if steps else ()


def _evals(c, turns):
  """Updates done -> the reason to evaluate held-out sets, in order."""
  kinds = dict.fromkeys(_every(c.eval_kw.every, c.total_steps), 'cadence')
  kinds |= {0: 'start', c.total_steps: 'end', **turns}
  return dict(sorted(kinds.items()))


def _plugin_faults(c, family):
  """Faults in one plug-in's name and settings."""
  name, kw = c.get(family), c.get(f'{family}_kw')
  if not (isinstance(name, str) and settings.BINDINGS.holds(kw)):
    return []  # schema.py reports it.
  if family == 'training_set' and not name:
    unused = f'training_set_kw={kw.to_dict()} is not used; name a training_set'
    return [unused] if kw else []
  wrong = plugins.faults(family, name, kw, PLUGINS[family])
  if wrong or family not in CALLS:
    return wrong
  wants = plugins.settings_of(plugins.function(family, name))
  extra = {n: FLAT for n in wants if n in PLUGINS[family]}
  try:
    found = jax.eval_shape(bound(c, family), *CALLS[family], **extra)
  except Exception as error:  # A plug-in may raise anything.
    why = error if isinstance(error, ValueError) else repr(error)
    return [f'{family}_kw of {name}: {why}']
  if family == 'schedule':
    found, state = found
    if _avals(state) != _avals(BLANK.cap_state):
      return [f'schedule={name!r} returns a state of other arrays: {state}']
  if family in GIVES and getattr(found, 'shape', None) != GIVES[family]:
    return [
      f'{family}={name!r} returns shape {found}, not {list(GIVES[family])}'
    ]
  return []


def _avals(tree):
  """The shapes and dtypes of a tree of arrays."""
  return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def _bad_caps(c, course):
  """Faults of caps: below a token or a buffer, or above what a row holds."""
  lowest, highest = course['lowest'], course['highest']
  if lowest < 1:
    return [f'schedule={c.schedule!r} falls to {lowest}, below a token']
  wrong, buffer = [], c.reward_kw.get('buffer', 0)
  buffered = plugins.function('reward', c.reward) is rewards.overlong_buffer
  if buffered and lowest < buffer:
    wrong.append(
      f'reward_kw.buffer={buffer} is above the lowest cap of the run, '
      f'{lowest}: a response of any length would lose reward; take a '
      'buffer of at most that, or a higher schedule_kw.low'
    )
  caps, pair = (lowest, highest), 'twice (' * (loss_needs.together(c) - 1)
  if bad := budget_extremes.faults(c, bound(c, 'budget'), caps):
    return wrong + bad
  row = c.update_kw.row_tokens
  if row and row < (need := _longest_row(c, course)):
    wrong.append(
      f'update_kw.row_tokens={row} is below {pair}max_prompt_tokens + the '
      f'highest cap{")" * bool(pair)} (of a response in chunks: a chunk) = '
      f'{need}'
    )
  return wrong + loss_needs.pair_faults(c)
