"""The state of a schedule: how a cap that follows measurements moves and turns.

A schedule in a closed loop keeps a phase of its own. A phase lasts `least`
steps at least, whatever is measured: a noisy signal cannot make the cap swing.
"""

import math

import jax.numpy as jnp

from siri_jax.algorithm import cycles

# Largest cap, tokens: float32 has every whole number up to it.
LONGEST_CAP = 2**24


def of_step(step, state, seen, *, schedule):
  """A schedule of the step alone, called as one with a state is called."""
  del seen
  return schedule(step), state


def bounded(step, state, seen, *, schedule, low, high):
  """A schedule with a state, whose cap cannot leave [low, high]."""
  cap, state = schedule(step, state, seen)
  return jnp.clip(cap, low, high), state


def begun(state, high):
  """The state; at `high` and in compression if it has not started.

  Args:
    state: types.CapState.
    high: highest cap, tokens.
  Returns:
    types.CapState; its signal and its mark are -1 until they are measured.
  """
  fresh = state.cap == 0
  return state.replace(
    cap=jnp.where(fresh, jnp.float32(high), state.cap),
    compressing=state.compressing | fresh,
    signal=jnp.where(fresh, -1.0, state.signal),
    mark=jnp.where(fresh, -1.0, state.mark),
  )


def measured(state, value, known, smoothing):
  """The state with a new value in its signal, a moving average.

  Args:
    state: types.CapState.
    value: float32 [], 0 or more.
    known: bool [], whether the value was measured.
    smoothing: weight of the new value; the first has a weight of 1.
  Returns:
    types.CapState.
  """
  first = state.signal < 0
  mean = state.signal + smoothing * (value - state.signal)
  new = jnp.where(first, value, mean)
  return state.replace(signal=jnp.where(known, new, state.signal))


def stepped(state, move, turns, *, low, high):
  """One step of a cap, in its phase or in the next one.

  Args:
    state: types.CapState.
    move: float32 [], tokens to add to the cap.
    turns: bool [], whether the step begins the other phase.
    low: lowest cap, tokens.
    high: highest cap, tokens.
  Returns:
    int32 [], the cap in tokens; the next types.CapState.
  """
  cap = jnp.clip(state.cap + move, low, high)
  state = state.replace(
    cap=cap.astype(jnp.float32),
    compressing=state.compressing ^ turns,
    since=jnp.where(turns, 1, state.since + 1),
    mark=jnp.where(turns, state.signal, state.mark),
    marked=jnp.where(turns, 0, state.marked),
  )
  return jnp.clip(jnp.floor(cap).astype(jnp.int32), low, high), state


def followed(state, wanted, *, low, high, fall, rise, least):
  """One step of a cap towards a wanted one.

  A move against the phase waits until the phase has lasted `least` steps.

  Args:
    state: types.CapState.
    wanted: float32 [], tokens.
    low: lowest cap, tokens.
    high: highest cap, tokens.
    fall: most tokens of a step down.
    rise: most tokens of a step up.
    least: steps of a phase at least.
  Returns:
    int32 [], the cap in tokens; the next types.CapState.
  """
  move = jnp.clip(jnp.clip(wanted, low, high) - state.cap, -fall, rise)
  against = jnp.where(state.compressing, move > 0, move < 0)
  turns = against & (state.since >= least)
  return stepped(
    state, jnp.where(against & ~turns, 0.0, move), turns, low=low, high=high
  )


def faults(low, high, fall, rise, smoothing, least):
  """Message -> whether it applies, for the settings that all loops have."""
  return {
    **cycles.bounds_faults(low, high),
    f'high={high} is above {LONGEST_CAP} tokens': high > LONGEST_CAP,
    f'fall={fall} is not a number of tokens above 0': not _above(fall, 0),
    f'rise={rise} is not a number of tokens above 0': not _above(rise, 0),
    f'smoothing={smoothing} is not a share above 0, up to 1': not _above(
      smoothing, 0
    )
    or smoothing > 1,
    f'least={least} is not a whole number of 2 steps or more': not cycles.whole(
      least, 2
    ),
  }


def _above(value, bound):
  return math.isfinite(value) and value > bound
