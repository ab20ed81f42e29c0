"""Tables of one cycle of a cap, and the faults in its settings."""

import math

import jax.numpy as jnp
import numpy as np

LONGEST = 10**7  # Steps of a cycle: its table has an entry for each.


def between(low, high, wave):
  """A wave in [-1, 1] scaled to [low, high], float64."""
  return (high + low) / 2 + (high - low) / 2 * wave


def cycle(step, values, phase):
  """The value of a float64 cycle at a step, floored to whole tokens."""
  # The small addend corrects rounding such as cos(pi / 2) = 6e-17.
  table = jnp.asarray(np.floor(values + 1e-6), jnp.int32)
  # The phase is reduced first: a large one would overflow an int32.
  shift = int(phase) % len(values)
  return table[(jnp.asarray(step, jnp.int32) + shift) % len(values)]


def whole(value, least=1):
  """Whether a value is a whole number of `least` or more."""
  return math.isfinite(value) and value == int(value) and value >= least


def bounds_faults(low, high):
  """Message -> whether it applies, for a lowest and a highest cap."""
  return {
    f'low={low} is not a whole number of 1 or more': not whole(low),
    f'high={high} is not a whole number of 1 or more': not whole(high),
    f'low={low} is above high={high}': low > high,
  }


def faults(low, high, period, phase):
  """Message -> whether it applies, for the settings that all cycles have."""
  return {
    **bounds_faults(low, high),
    f'period={period} is not a whole number of 2 or more': not whole(period, 2),
    f'period={period} is above {LONGEST} steps': period > LONGEST,
    f'phase={phase} is not a whole number of 0 or more': not whole(phase, 0),
  }


def refuse(faults):
  """Raises ValueError with every message that applies."""
  wrong = [message for message, holds in faults.items() if holds]
  if wrong:
    raise ValueError('; '.join(wrong))
