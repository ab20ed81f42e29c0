"""PLUG-IN family: advantages, `(rewards [N, G], *, settings) -> [N, G]`."""

import jax.numpy as jnp

from siri_jax import shapes


def mean_std(rewards, *, eps):
  """Centres each group's rewards and divides by their unbiased deviation.

  Args:
    rewards: float32 [N, G], reward units.
    eps: added to the deviation, reward units.
  Returns:
    float32 [N, G], without unit; a group of equal rewards gets exact zeros.
  Raises:
    ValueError: rewards is not [N, G], or G is 1.
  Source: DeepSeekMath, section 4.1.2, arxiv.org/abs/2402.03300; the n - 1
    of the deviation is from VeRL.
  """
  centred = mean_only(rewards)
  squares = jnp.sum(centred**2, axis=1, keepdims=True)
  deviation = jnp.sqrt(squares / (rewards.shape[1] - 1))
  return centred / (deviation + eps)


def mean_only(rewards):
  """Centres each group's rewards.

  Args:
    rewards: float32 [N, G], reward units.
  Returns:
    float32 [N, G], reward units; a group of equal rewards gets exact zeros.
  Raises:
    ValueError: rewards is not [N, G], or G is 1.
  Source: Dr. GRPO, section 3.2, arxiv.org/abs/2503.20783.
  """
  _check_groups(rewards)
  # Relative to the first reward, rewards of 1e7 keep their digits, and equal
  # rewards are exact zeros.
  apart = rewards - rewards[:, :1]
  return apart - apart.mean(axis=1, keepdims=True)


def leave_one_out(rewards):
  """Each reward minus the mean of the other rewards of its group.

  Args:
    rewards: float32 [N, G], reward units.
  Returns:
    float32 [N, G], reward units: G / (G - 1) times `mean_only`.
  Raises:
    ValueError: rewards is not [N, G], or G is 1.
  Source: RLOO, section 2.1, arxiv.org/abs/2402.14740.
  """
  size = _check_groups(rewards)
  return mean_only(rewards) * (size / (size - 1))


def _check_groups(rewards):
  size = shapes.check('N G', rewards)['G']
  if size < 2:
    raise ValueError(
      f'rewards {rewards.shape} have {size} sample a group; need 2 or more'
    )
  return size
