"""PLUG-IN family: schedules, step -> cap on a response's length, tokens.

Each is a traceable function `(step, *, settings) -> int32 scalar`. A table of
one cycle is computed in float64 while tracing, because float32 would floor the
paper's 12288 to 12287. `phase` is in steps: the cap at step t equals the cap at
step t + phase of the same schedule with phase 0.

A schedule in a closed loop is `(step, state, seen, *, low, high, settings) ->
(int32 scalar, state)`. `state` is a types.CapState and has the phase; `seen` is
the types.StepSummary of step - 1, whether or not sampling is ahead of training.
It must have the settings `low` and `high`; its cap is clipped to them. Its
settings are ours: no source states any.

Source of the others: SIRI, section 4.2, arxiv.org/abs/2509.25176.
"""

import itertools
import math

import jax.numpy as jnp
import numpy as np

from siri_jax.algorithm import cap_control, cycles


def constant(step, *, cap):
  """The same cap at every step; there is no phase.

  Args:
    step: int32 [], index of the step being sampled, from 0.
    cap: tokens.
  Returns:
    int32 [], tokens.
  Raises:
    ValueError: cap is below 1.
  """
  cycles.refuse(
    {f'cap={cap} is not a whole number of 1 or more': not cycles.whole(cap)}
  )
  return jnp.full_like(jnp.asarray(step, jnp.int32), cap)


def stair(step, *, low, high, period, low_share, first, phase):
  """`low` for a share of each cycle, `high` for the rest.

  Args:
    step: int32 [], index of the step being sampled, from 0.
    low: tokens in the compression phase.
    high: tokens in the expansion phase.
    period: steps of a cycle.
    low_share: share of the cycle spent at `low`, 0 < low_share < 1.
    first: 'low' or 'high', the cap at the start of a cycle.
    phase: steps.
  Returns:
    int32 [], tokens.
  Raises:
    ValueError: settings are invalid; names each.
  """
  cycles.refuse(
    {
      **cycles.faults(low, high, period, phase),
      f'low_share={low_share} gives no step to low or high': not 0.5
      < low_share * period
      < period - 0.5,
      f"first={first!r} is neither 'low' nor 'high'": first
      not in ('low', 'high'),
    }
  )
  # Rounded, because (1 - 0.7) * 10 is above 3 in floating point.
  lows = round(low_share * period)
  values = np.repeat([low, high], [lows, period - lows])
  return cycles.cycle(step, values if first == 'low' else values[::-1], phase)


def cosine(step, *, low, high, period, phase):
  """(high + low) / 2 + (high - low) / 2 * cos(2 pi t / period), floored.

  Args:
    step: int32 [], index of the step being sampled, from 0.
    low: tokens at the middle of a cycle.
    high: tokens at its start.
    period: steps of a cycle, even, so that `low` is reached.
    phase: steps.
  Returns:
    int32 [], tokens.
  Raises:
    ValueError: settings are invalid; names each.
  """
  cycles.refuse(
    {
      **cycles.faults(low, high, period, phase),
      f'period={period} is odd; use an even one': period % 2,
    }
  )
  angle = 2 * np.pi * np.arange(period) / period
  return cycles.cycle(step, cycles.between(low, high, np.cos(angle)), phase)


def stair_cosine(step, *, low, high, period, phase):
  """Plateaus at `high` and `low`, joined by cosines of twice the frequency.

  With the angle a = 2 pi t / period: high for a < pi/4 and a >= 7pi/4, low
  for 3pi/4 <= a < 5pi/4, cos(2 (a - pi/4)) on the way down and
  cos(2 (a - 3pi/4)) on the way up, scaled as in `cosine`.

  Args:
    step: int32 [], index of the step being sampled, from 0.
    low: tokens of the lower plateau.
    high: tokens of the upper plateau.
    period: steps of a cycle, even.
    phase: steps.
  Returns:
    int32 [], tokens.
  Raises:
    ValueError: settings are invalid; names each.
  """
  cycles.refuse(
    {
      **cycles.faults(low, high, period, phase),
      f'period={period} is odd; use an even one': period % 2,
    }
  )
  t = np.arange(period)
  eighth = 8 * t / period
  angle = 2 * np.pi * t / period
  wave = np.select(
    [(eighth < 1) | (eighth >= 7), eighth < 3, eighth < 5],
    [1.0, np.cos(2 * (angle - np.pi / 4)), -1.0],
    np.cos(2 * (angle - 3 * np.pi / 4)),
  )
  return cycles.cycle(step, cycles.between(low, high, wave), phase)


def piecewise(step, *, caps, starts, phase):
  """caps[i] from step starts[i] on: the "8K, then 16K" baseline.

  Args:
    step: int32 [], index of the step being sampled, from 0.
    caps: tokens of each piece.
    starts: first step of each piece, ascending from 0.
    phase: steps.
  Returns:
    int32 [], tokens.
  Raises:
    ValueError: settings are invalid; names each.
  """
  caps, starts = tuple(caps), tuple(starts)
  rising = (
    starts[:1] == (0,)
    and all(cycles.whole(start, 0) for start in starts)
    and all(a < b for a, b in itertools.pairwise(starts))
  )
  cycles.refuse(
    {
      f'caps={caps} are not whole numbers of 1 or more': not caps
      or not all(map(cycles.whole, caps)),
      f'starts={starts} and caps={caps} differ in number': len(starts)
      != len(caps),
      f'starts={starts} are not whole numbers that rise from 0': not rising,
      f'phase={phase} is not a whole number of 0 or more': not cycles.whole(
        phase, 0
      ),
    }
  )
  # Limited to the last start, so that a large phase does not overflow.
  shift = min(int(phase), int(starts[-1]))
  begun = jnp.sum(jnp.asarray(starts, jnp.int32) <= step + shift)
  return jnp.asarray(caps, jnp.int32)[begun - 1]


def asymmetric_cosine(step, *, low, high, period, fall, phase):
  """Half a cosine down in `fall` steps, half a cosine up in the rest.

  The paper's section 5.3 recommends a short compression and a long expansion.

  Args:
    step: int32 [], index of the step being sampled, from 0.
    low: tokens after `fall` steps of a cycle.
    high: tokens at its start.
    period: steps of a cycle.
    fall: steps of compression, 1 <= fall < period.
    phase: steps.
  Returns:
    int32 [], tokens.
  Raises:
    ValueError: settings are invalid; names each.
  """
  cycles.refuse(
    {
      **cycles.faults(low, high, period, phase),
      f'fall={fall} is not a whole number from 1 to period-1': not cycles.whole(
        fall
      )
      or fall >= period,
    }
  )
  t = np.arange(period)
  share = np.where(t < fall, t / fall, 1 + (t - fall) / (period - fall))
  return cycles.cycle(
    step, cycles.between(low, high, np.cos(np.pi * share)), phase
  )


def accuracy_turns(
  step,
  state,
  seen,
  *,
  low,
  high,
  fall,
  rise,
  smoothing,
  drop,
  gain,
  patience,
  least,
):
  """Falls until accuracy has dropped, rises until it no longer rises.

  Compression ends when the smoothed accuracy of the batch is `drop` below its
  value at the phase's start, or at `low`. Expansion ends when it has not risen
  by `gain` over its value at the last such rise for `patience` steps.

  Args:
    step: int32 [], index of the step being sampled; not used.
    state: types.CapState: `signal` is the smoothed accuracy, `mark` its value
      at the phase's start or at the last rise of expansion, `marked` the steps
      since then.
    seen: types.StepSummary of the step before.
    low: lowest cap, tokens.
    high: highest cap, tokens; the first one.
    fall: tokens of a step of compression.
    rise: tokens of a step of expansion.
    smoothing: weight of the newest step in the moving average, 0..1.
    drop: loss of accuracy that ends compression, 0..1.
    gain: gain of accuracy that counts as a rise, 0..1; without one, an average
      that nears its limit would rise for ever.
    patience: steps without a rise that end expansion.
    least: steps of a phase at least.
  Returns:
    int32 [], tokens; the next types.CapState.
  Raises:
    ValueError: settings are invalid; names each.
  """
  del step
  cycles.refuse(
    {
      **cap_control.faults(low, high, fall, rise, smoothing, least),
      f'drop={drop} is not between 0 and 1': not 0 < drop < 1,
      f'gain={gain} is not between 0 and 1': not 0 < gain < 1,
      f'patience={patience} is not a whole number of 1 or more': (
        not cycles.whole(patience)
      ),
    }
  )
  known = seen.samples > 0
  state = cap_control.begun(state, high)
  state = cap_control.measured(state, seen.accuracy, known, smoothing)
  over_mark = state.signal >= state.mark + gain
  risen = (state.mark < 0) | (~state.compressing & over_mark)
  state = state.replace(
    mark=jnp.where(risen, state.signal, state.mark),
    marked=jnp.where(risen, 0, state.marked + known),
  )
  over = jnp.where(
    state.compressing,
    (state.mark - state.signal >= drop) | (state.cap <= low),
    state.marked >= patience,
  )
  turns = over & (state.since >= least)
  move = jnp.where(state.compressing ^ turns, -fall, rise)
  move = jnp.where(known, move, 0.0)
  return cap_control.stepped(state, move, turns, low=low, high=high)


def length_quantile(
  step,
  state,
  seen,
  *,
  low,
  high,
  fall,
  rise,
  smoothing,
  quantile,
  margin,
  band,
  least,
):
  """Follows a quantile of the lengths of right responses, times a margin.

  Args:
    step: int32 [], index of the step being sampled; not used.
    state: types.CapState: `signal` is the smoothed product, tokens.
    seen: types.StepSummary of the step before.
    low: lowest cap, tokens.
    high: highest cap, tokens; the first one.
    fall: most tokens of a step down.
    rise: most tokens of a step up.
    smoothing: weight of the newest step in the moving average, 0..1.
    quantile: share of the right responses that are at most as long, 0..1.
    margin: factor of the quantile; above 1, or the cap could never rise.
    band: the cap holds within this share of itself.
    least: steps of a phase at least.
  Returns:
    int32 [], tokens; the next types.CapState.
  Raises:
    ValueError: settings are invalid; names each.
  """
  del step
  cycles.refuse(
    {
      **cap_control.faults(low, high, fall, rise, smoothing, least),
      f'quantile={quantile} is not from 0 to 1': not 0 <= quantile <= 1,
      f'margin={margin} is not a number above 1': not 1 < margin < math.inf,
      f'band={band} is not from 0 to below 1': not 0 <= band < 1,
    }
  )
  shares = jnp.linspace(0, 1, seen.right_lengths.size)
  wanted = margin * jnp.interp(quantile, shares, seen.right_lengths)
  state = cap_control.begun(state, high)
  state = cap_control.measured(state, wanted, wanted > 0, smoothing)
  near = jnp.abs(state.signal - state.cap) <= band * state.cap
  wanted = jnp.where(near | (state.signal < 0), state.cap, state.signal)
  return cap_control.followed(
    state, wanted, low=low, high=high, fall=fall, rise=rise, least=least
  )


def truncation_target(
  step,
  state,
  seen,
  *,
  low,
  high,
  fall,
  rise,
  smoothing,
  target,
  gain,
  band,
  least,
):
  """Holds the share of truncated responses at a target.

  The logarithm of the cap moves by gain * (share - target) in a step.

  Args:
    step: int32 [], index of the step being sampled; not used.
    state: types.CapState: `signal` is the smoothed share.
    seen: types.StepSummary of the step before.
    low: lowest cap, tokens.
    high: highest cap, tokens; the first one.
    fall: most tokens of a step down.
    rise: most tokens of a step up.
    smoothing: weight of the newest step in the moving average, 0..1.
    target: share of the responses that the cap is to cut, 0..1.
    gain: relative change of the cap in a step, per unit of the share.
    band: the cap holds while the share is this near to the target.
    least: steps of a phase at least.
  Returns:
    int32 [], tokens; the next types.CapState.
  Raises:
    ValueError: settings are invalid; names each.
  """
  del step
  cycles.refuse(
    {
      **cap_control.faults(low, high, fall, rise, smoothing, least),
      f'target={target} is not from 0 to 1': not 0 <= target <= 1,
      f'gain={gain} is not a number above 0': not 0 < gain < math.inf,
      f'band={band} is not from 0 to below 1': not 0 <= band < 1,
    }
  )
  state = cap_control.begun(state, high)
  state = cap_control.measured(
    state, seen.truncated_frac, seen.samples > 0, smoothing
  )
  error = state.signal - target
  holds = (state.signal < 0) | (jnp.abs(error) <= band)
  wanted = state.cap * jnp.exp(jnp.where(holds, 0.0, gain * error))
  return cap_control.followed(
    state, wanted, low=low, high=high, fall=fall, rise=rise, least=least
  )
