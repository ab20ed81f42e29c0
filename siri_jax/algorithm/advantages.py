"""PLUG-IN family: advantages, `(rewards [N, G], *, settings) -> [N, G]`.

A function of two arguments, `(rewards, batch, *, settings)`, also gets the
step's types.Batch, whose B = N * G samples are group by group.
"""

import math

import jax
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


def unchanged(rewards):
  """The rewards themselves, which have a baseline of their own.

  Args:
    rewards: float32 [N, G], reward units.
  Returns:
    float32 [N, G], reward units.
  Raises:
    ValueError: rewards is not [N, G], or G is 1.
  Source: AdaptThink, equation 7, arxiv.org/abs/2505.13417;
    compute_naive_outcome_advantage of its src/adapt_think_core_algos.py.
  """
  _check_groups(rewards)
  return rewards


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


def maxent_guided(rewards, batch, *, eps, strength):
  """MGPO: `mean_std`, weighted by how uncertain the group's answers are.

  The weight is exp(-strength * D), D = p log(p / 0.5) + (1 - p) log((1 - p) /
  0.5), p the share of right responses: 1 at p = 1/2, least at 0 and 1.

  Args:
    rewards: float32 [N, G], reward units.
    batch: types.Batch.
    eps: added to the deviation, reward units.
    strength: the report's lambda, which it does not state; 0: `mean_std`.
  Returns:
    float32 [N, G], without unit.
  Raises:
    ValueError: rewards is not [N, G], or G is 1.
  Source: VibeThinker, MaxEnt-guided policy optimisation,
    arxiv.org/abs/2511.06221.
  """
  share = _share_right(rewards, batch)
  entropy = jax.scipy.special.entr(share) + jax.scipy.special.entr(1 - share)
  apart = math.log(2) - entropy
  return mean_std(rewards, eps=eps) * jnp.exp(-strength * apart)


def difficulty_weighted(rewards, batch, *, eps, low, high, middle, steepness):
  """GRPO-LEAD: `mean_std`, weighted more where the group is often wrong.

  w(p) = low + (high - low) / (1 + exp(steepness * (p - middle))), p the share
  of right responses. A positive advantage has w(p), another w(1 - p).

  Args:
    rewards: float32 [N, G], reward units.
    batch: types.Batch.
    eps: added to the deviation, reward units.
    low: least weight.
    high: largest weight.
    middle: share at which the weight is their mean.
    steepness: slope of the logistic, per unit of the share.
  Returns:
    float32 [N, G], without unit; a group's sum is not 0.
  Raises:
    ValueError: rewards is not [N, G], or G is 1.
  Source: logistic_reweight in verl/verl/trainer/ppo/core_algos.py,
    github.com/aeroplanepaper/GRPO-LEAD; arxiv.org/abs/2504.09696.
  """
  centred = mean_std(rewards, eps=eps)
  share = _share_right(rewards, batch)
  share = jnp.where(centred > 0, share, 1 - share)
  weight = jax.nn.sigmoid(-steepness * (share - middle))
  return centred * (low + (high - low) * weight)


def sign_balanced(rewards, batch, *, right, wrong):
  """OREAL: `leave_one_out`, right and wrong responses apart.

  The tokens of right responses together weigh `right` times as much as all
  tokens would, those of the others `wrong` times. With the aggregation
  token_mean over the whole batch, the loss is right * (mean over the tokens of
  right responses) + wrong * (mean over those of the others).

  Args:
    rewards: float32 [N, G], reward units.
    batch: types.Batch.
    right: weight of the right responses; OREAL: 1.
    wrong: weight of the others; OREAL: 0.5.
  Returns:
    float32 [N, G], reward units; a group's sum is not 0.
  Raises:
    ValueError: rewards is not [N, G], or G is 1.
  Source: train_oreal.py without a token-level reward model,
    github.com/InternLM/OREAL; arxiv.org/abs/2502.06781.
  """
  correct = jnp.asarray(batch.correct).reshape(rewards.shape)
  length = jnp.asarray(batch.length, jnp.float32).reshape(rewards.shape)
  total = length.sum()
  own = jnp.where(correct, length, 0.0).sum()
  weight = jnp.where(
    correct,
    right * total / jnp.maximum(own, 1.0),
    wrong * total / jnp.maximum(total - own, 1.0),
  )
  return leave_one_out(rewards) * weight


def _share_right(rewards, batch):
  """Share of right responses in each group: [N, 1]."""
  correct = jnp.asarray(batch.correct, jnp.float32).reshape(rewards.shape)
  return correct.mean(axis=1, keepdims=True)


def _check_groups(rewards):
  size = shapes.check('N G', rewards)['G']
  if size < 2:
    raise ValueError(
      f'rewards {rewards.shape} have {size} sample a group; need 2 or more'
    )
  return size
