"""PLUG-IN family: schedules, step -> cap on a response's length, tokens.

Each is a traceable function `(step, *, settings) -> int32 scalar`. A table of
one cycle is computed in float64 while tracing, because float32 would floor the
paper's 12288 to 12287. `phase` is in steps: the cap at step t equals the cap at
step t + phase of the same schedule with phase 0.

Source: SIRI, section 4.2, arxiv.org/abs/2509.25176.
"""

import itertools
import math

import jax.numpy as jnp
import numpy as np


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
  _refuse({f'cap={cap} is not a whole number of 1 or more': not _whole(cap)})
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
  _refuse(
    {
      **_cycle_faults(low, high, period, phase),
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
  return _cycle(step, values if first == 'low' else values[::-1], phase)


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
  _refuse(
    {
      **_cycle_faults(low, high, period, phase),
      f'period={period} is odd; use an even one': period % 2,
    }
  )
  angle = 2 * np.pi * np.arange(period) / period
  return _cycle(step, _between(low, high, np.cos(angle)), phase)


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
  _refuse(
    {
      **_cycle_faults(low, high, period, phase),
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
  return _cycle(step, _between(low, high, wave), phase)


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
    and all(_whole(start, 0) for start in starts)
    and all(a < b for a, b in itertools.pairwise(starts))
  )
  _refuse(
    {
      f'caps={caps} are not whole numbers of 1 or more': not caps
      or not all(map(_whole, caps)),
      f'starts={starts} and caps={caps} differ in number': len(starts)
      != len(caps),
      f'starts={starts} are not whole numbers that rise from 0': not rising,
      f'phase={phase} is not a whole number of 0 or more': not _whole(phase, 0),
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
  _refuse(
    {
      **_cycle_faults(low, high, period, phase),
      f'fall={fall} is not a whole number from 1 to period-1': not _whole(fall)
      or fall >= period,
    }
  )
  t = np.arange(period)
  share = np.where(t < fall, t / fall, 1 + (t - fall) / (period - fall))
  return _cycle(step, _between(low, high, np.cos(np.pi * share)), phase)


def _between(low, high, wave):
  """A wave in [-1, 1] scaled to [low, high], float64."""
  return (high + low) / 2 + (high - low) / 2 * wave


def _cycle(step, values, phase):
  """The value of a float64 cycle at a step, floored to whole tokens."""
  # The small addend corrects rounding such as cos(pi / 2) = 6e-17.
  table = jnp.asarray(np.floor(values + 1e-6), jnp.int32)
  # The phase is reduced first: a large one would overflow an int32.
  shift = int(phase) % len(values)
  return table[(jnp.asarray(step, jnp.int32) + shift) % len(values)]


def _whole(value, least=1):
  return math.isfinite(value) and value == int(value) and value >= least


LONGEST = 10**7  # Steps of a cycle: its table has an entry for each.


def _cycle_faults(low, high, period, phase):
  """Message -> whether it applies, for the settings that all cycles have."""
  return {
    f'low={low} is not a whole number of 1 or more': not _whole(low),
    f'high={high} is not a whole number of 1 or more': not _whole(high),
    f'low={low} is above high={high}': low > high,
    f'period={period} is not a whole number of 2 or more': not _whole(
      period, 2
    ),
    f'period={period} is above {LONGEST} steps': period > LONGEST,
    f'phase={phase} is not a whole number of 0 or more': not _whole(phase, 0),
  }


def _refuse(faults):
  wrong = [message for message, holds in faults.items() if holds]
  if wrong:
    raise ValueError('; '.join(wrong))
