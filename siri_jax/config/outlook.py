"""The caps of a schedule before a run: exact, or of a closed loop simulated.

A closed loop is simulated on a length model: a fixed policy with a known
distribution of natural lengths, whose response is right unless the cap cuts it.
Every value is the expected one, so nothing is drawn. A policy in training
adapts to its cap, so the real caps differ.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siri_jax import compiled, plugins, types
from siri_jax.algorithm import cap_control
from siri_jax.runtime import progress

LOOP = ['step', 'state', 'seen']  # Inputs of a schedule in a closed loop.


class Outlook(NamedTuple):
  """The caps of a schedule.

  Attributes:
    caps: int [steps], tokens.
    compressing: bool [steps], a closed loop's own phases; of another schedule
      all False, because its caps give them.
  """

  caps: np.ndarray
  compressing: np.ndarray


def is_loop(name):
  """Whether a schedule is a closed loop: whether it takes a state."""
  return plugins.inputs_of(plugins.function('schedule', name)) == LOOP


def threaded(name, kw):
  """A schedule as (step, state, seen) -> (cap, state), its settings bound.

  Raises:
    ValueError: there is no such schedule, settings are missing or unknown, or a
      closed loop has no `low` and `high`; lists all.
  """
  schedule = plugins.find('schedule', name, kw)
  if not is_loop(name):
    return functools.partial(cap_control.of_step, schedule=schedule)
  if lacking := {'low', 'high'} - set(kw):
    raise ValueError(
      f'{name} takes a state but no setting {" or ".join(sorted(lacking))}: a '
      'closed loop needs the bounds of its cap, low and high, tokens'
    )
  return functools.partial(
    cap_control.bounded, schedule=schedule, low=kw['low'], high=kw['high']
  )


def of(name, kw, steps, lengths):
  """The caps of steps 0, 1, ..., steps - 1.

  Args:
    name: name of a schedule.
    kw: its settings.
    steps: number of steps.
    lengths: cost_model.LengthDistribution that a closed loop is simulated on.
  Returns:
    Outlook.
  Raises:
    ValueError: see `threaded`.
  """
  schedule, start = threaded(name, kw), progress.start()
  at = jnp.arange(steps, dtype=jnp.int32)
  if not is_loop(name):
    of_steps = jax.vmap(schedule, (0, None, None))
    caps, _ = compiled.evaluated(of_steps, at, start.cap_state, start.seen)
    return Outlook(np.asarray(caps), np.zeros(steps, bool))
  seen = functools.partial(
    expected,
    jnp.asarray(lengths.tokens, jnp.float32),
    jnp.asarray(np.cumsum(lengths.share), jnp.float32),
  )

  def advance(carry, step):
    cap, state = schedule(step, *carry)
    return (state, seen(cap)), (cap, state.compressing)

  first = jax.tree.map(jnp.asarray, (start.cap_state, start.seen))
  _, found = jax.lax.scan(advance, first, at)
  return Outlook(*map(np.asarray, found))


def expected(tokens, below, cap):
  """The types.StepSummary that the length model expects under a cap.

  Args:
    tokens: float32 [K], natural lengths, ascending.
    below: float32 [K], share of the responses that are at most as long.
    cap: int32 [], tokens.
  """
  under = jnp.searchsorted(tokens, cap.astype(jnp.float32), side='right')
  whole = jnp.where(under > 0, below[under - 1], 0.0)
  shares = jnp.linspace(0, 1, types.QUANTILES)
  at = jnp.clip(jnp.searchsorted(below, shares * whole), 0, under - 1)
  return types.StepSummary(
    samples=jnp.int32(1),
    accuracy=whole,
    truncated_frac=1 - whole,
    right_lengths=jnp.where(under > 0, tokens[at], 0.0),
  )
