"""The plan of a run: values derived from a config after it is checked.

No device is used and no file is written before the check.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from siri_jax import plugins, settings, types
from siri_jax.algorithm import losses, phases, rewards
from siri_jax.config import schema
from siri_jax.runtime import writers

ROW_MULTIPLE = 128  # Tokens; rows are rounded up to it, for fast kernels.
PLUGINS = {
  'task': (),
  'grading_rule': (),
  'schedule': (),
  'engine': (),
  'collect': (),
  'reward': (),
  'advantage': (),
  'loss': losses.EXTRA,
  'aggregation': (),
}


# Abstract arguments with which plug-ins are called to check their settings.
FLAT, WHOLE, FLAGS = (
  jax.ShapeDtypeStruct((4,), dtype) for dtype in ('float32', 'int32', 'bool')
)
SCALAR = jax.ShapeDtypeStruct((), 'int32')
CALLS = {
  'schedule': (SCALAR,),
  'reward': (types.Batch(WHOLE, WHOLE, FLAGS, FLAGS, FLAGS, SCALAR),),
  'advantage': (jax.ShapeDtypeStruct((2, 2), 'float32'),),
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
    find: family -> the config's plug-in with its settings bound.
    extra: names of losses.EXTRA that the loss takes.
    rests: whether the loss has no gradient at an advantage of 0, so that such
      samples need no backward pass.
    caps: int [total_steps], tokens at each step.
    phases: 'compress' or 'expand' at each step.
    turns: updates done -> 'compressed' or 'expanded'.
    evals: updates done -> 'start', 'compressed', 'expanded', 'cadence' or
      'end': the reason to evaluate held-out sets.
    checkpoints: updates done after which a checkpoint is saved.
    longest: tokens of the longest response of the run.
    row_tokens: R, tokens of a packed row.
    samples: B, samples of a step.
    minibatch: samples of an optimiser step.
  """

  c: Any
  find: Mapping[str, Callable]
  extra: tuple[str, ...]
  rests: bool
  caps: np.ndarray
  phases: list[str]
  turns: Mapping[int, str]
  evals: Mapping[int, str]
  checkpoints: frozenset[int]
  longest: int
  row_tokens: int
  samples: int
  minibatch: int


def make(c):
  """The plan of a config.

  Args:
    c: ConfigDict with the keys of configs/base.py.
  Returns:
    Plan.
  Raises:
    ConfigError: the config is invalid; lists every fault.
  """
  if wrong := faults(c) or _bad_caps(c):
    raise ConfigError(wrong)
  return _derive(c)


def faults(c):
  """Every fault of a config that can be found without a device."""
  wrong = schema.faults(c)
  if settings.NAMES.holds(c.get('writers')):
    wrong += writers.faults(c.writers)
  for family in PLUGINS:
    # A plug-in with an infinite or too large number is not called.
    if not any(fault.startswith(f'{family}_kw.') for fault in wrong):
      wrong += _plugin_faults(c, family)
  return wrong


def bound(c, family):
  """The config's plug-in of a family, with its settings bound."""
  kw = c[f'{family}_kw'].to_dict()
  return plugins.find(family, c[family], kw, PLUGINS[family])


def _derive(c):
  """The plan of a valid config."""
  ahead = _ahead(c)
  turns = phases.cap_extrema(ahead)
  caps = ahead[: c.total_steps]
  longest = max(int(caps.max()), c.eval_kw.cap)
  need = c.max_prompt_tokens + int(caps.max())
  samples = c.prompts_per_step * c.group_size
  turns = {at: kind for at, kind in turns.items() if at <= c.total_steps}
  wants = plugins.settings_of(plugins.function('loss', c.loss))
  extra = tuple(name for name in wants if name in losses.EXTRA)
  return Plan(
    c=c,
    find={family: bound(c, family) for family in PLUGINS},
    extra=extra,
    rests=not extra and _rests(bound(c, 'loss')),
    caps=caps,
    phases=phases.phases(caps, turns),
    turns=turns,
    evals=_evals(c, turns),
    checkpoints=frozenset(
      {*turns, *_every(c.checkpoint_kw.every, c.total_steps), c.total_steps}
    ),
    longest=longest,
    row_tokens=c.row_tokens or -(-need // ROW_MULTIPLE) * ROW_MULTIPLE,
    samples=samples,
    minibatch=samples // c.minibatches,
  )


def _ahead(c):
  """Caps of twice as many steps, to classify the run's last extremum."""
  steps = jnp.arange(2 * c.total_steps + 1)
  return np.asarray(jax.vmap(bound(c, 'schedule'))(steps))


def _rests(loss):
  """Whether a loss has no gradient at an advantage of 0."""
  logp, old = -np.arange(1.0, 9), -np.arange(8.0, 0, -1)
  grad = jax.grad(lambda x: loss(x, old, np.zeros(8), np.ones(8), 1.0)[0])
  return not np.any(grad(jnp.asarray(logp)))


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
  if family in GIVES and getattr(found, 'shape', None) != GIVES[family]:
    return [
      f'{family}={name!r} returns shape {found}, not {list(GIVES[family])}'
    ]
  return []


def _bad_caps(c):
  """Faults of caps: below a token or a buffer, or above what a row holds."""
  caps = _ahead(c)[: c.total_steps]
  if caps.min() < 1:
    return [f'schedule={c.schedule!r} falls to {caps.min()}, below a token']
  wrong, buffer = [], c.reward_kw.get('buffer', 0)
  buffered = plugins.function('reward', c.reward) is rewards.overlong_buffer
  if buffered and caps.min() < buffer:
    wrong.append(
      f'reward_kw.buffer={buffer} is above the lowest cap of the run, '
      f'{caps.min()}: a response of any length would lose reward; take a '
      'buffer of at most that, or a higher schedule_kw.low'
    )
  need = c.max_prompt_tokens + int(caps.max())
  if c.row_tokens and c.row_tokens < need:
    wrong.append(
      f'row_tokens={c.row_tokens} is below max_prompt_tokens + the highest cap '
      f'= {need}'
    )
  return wrong
