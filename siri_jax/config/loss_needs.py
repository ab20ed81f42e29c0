"""What a config's loss needs: found from its arguments, and by calling it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from siri_jax import compiled, plugins
from siri_jax.algorithm import losses


def extra(c):
  """Names of losses.EXTRA that the config's loss takes."""
  wants = plugins.settings_of(plugins.function('loss', c.loss))
  return tuple(name for name in wants if name in losses.EXTRA)


def together(c):
  """Consecutive samples of a batch that a row must hold: 2 for pairs."""
  return 2 if 'pairs' in extra(c) else 1


def pair_faults(c):
  """Faults of a batch whose pairs the loss compares."""
  if together(c) == 1:
    return []
  if c.group_size != 2:
    return [
      f'loss={c.loss!r} compares the two samples of a group, and '
      f'group_size={c.group_size}; set group_size=2'
    ]
  return [
    f'minibatches={c.minibatches} cuts a pair apart; use a divisor of '
    f'prompts_per_step={c.prompts_per_step}'
  ] * bool(c.prompts_per_step % c.minibatches)


def rests(loss, extra):
  """Whether a loss has no gradient at an advantage of 0.

  Args:
    loss: bound plug-in.
    extra: names of losses.EXTRA that it takes.
  """
  if set(extra) - {'segments', 'pairs'}:
    return False  # The others are terms without an advantage.
  logp, old = -np.arange(1.0, 9), -np.arange(8.0, 0, -1)
  loss = functools.partial(loss, **{name: np.ones(8) for name in extra})
  grad = jax.grad(lambda x: loss(x, old, np.zeros(8), np.ones(8), 1.0)[0])
  return not np.asarray(compiled.evaluated(grad, logp)).any()


def reads_old(loss, extra):
  """Whether a loss depends on the old log-probabilities.

  Args:
    loss: bound plug-in.
    extra: names of losses.EXTRA that it takes.
  """
  logp, ones, adv = jnp.zeros(8), jnp.ones(8), jnp.array([1.0] * 3 + [-1.0] * 5)
  loss = functools.partial(loss, **dict.fromkeys(extra, ones))
  old = 0.01 * jnp.arange(8.0)
  one, other = (loss(logp, x, adv, ones, 1.0)[0] for x in (old, 2 * old))
  return bool(one != other)
