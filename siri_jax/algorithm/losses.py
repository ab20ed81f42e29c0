"""PLUG-IN family: losses, per-token arrays -> scalar and metrics.

`(logp, old_logp, adv, mask, denom, *, settings) -> (loss [], metrics)`, all
arrays float32 [..., R]. A loss with a keyword argument of EXTRA also gets that
array. Metrics end in `_sum` (added over micro-batches and divided by the
number of tokens) or `_max`.
"""

import jax
import jax.numpy as jnp

from siri_jax import shapes
from siri_jax.algorithm import log_ratios

EXTRA = ('entropy', 'ref_logp', 'sampler_logp')


def clip_higher(logp, old_logp, adv, mask, denom, *, low, high):
  """PPO's clipped surrogate with a higher upper bound, negated.

  -sum(mask * min(r A, clip(r, 1 - low, 1 + high) A)) / denom, with
  r = exp(logp - old_logp) for each token, the difference within 20 nats.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    low: how far the ratio may fall below 1.
    high: how far it may rise above 1.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ.
  Source: DAPO, section 3.1, arxiv.org/abs/2503.14476; SIRI, section 3.
  """
  _, objective, metrics = _surrogate(logp, old_logp, adv, mask, low, high)
  return -jnp.sum(mask * objective) / denom, metrics


def dual_clip(logp, old_logp, adv, mask, denom, *, low, high, bound):
  """`clip_higher` with a floor of `bound` * A for negative advantages.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    low: how far the ratio may fall below 1.
    high: how far it may rise above 1.
    bound: the ratio above which a negative advantage has no gradient; VeRL: 3.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ, or bound is not above 1.
  Source: Dual-clip PPO, equation 5, arxiv.org/abs/1912.09729.
  """
  if not bound > 1:
    raise ValueError(f'bound={bound} is not above 1')
  ratio, objective, metrics = _surrogate(logp, old_logp, adv, mask, low, high)
  floor = jnp.where(adv < 0, jnp.maximum(objective, bound * adv), objective)
  bounded = (mask > 0) & (adv < 0) & (ratio > bound)
  metrics['clip_dual_sum'] = _count(bounded)
  return -jnp.sum(mask * floor) / denom, metrics


def grpo_kl(logp, old_logp, adv, mask, denom, *, ref_logp, low, high, beta):
  """`clip_higher` plus beta times the k3 estimate of KL(policy || start).

  k3 = exp(d) - d - 1 with d = ref_logp - logp for each token, d within
  20 nats and k3 at most 10.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    ref_logp: float32 [..., R], of the policy that the run started from, nats.
    low: how far the ratio may fall below 1.
    high: how far it may rise above 1.
    beta: weight of the KL term, per nat.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ.
  Source: DeepSeekMath, equations 3 and 4, arxiv.org/abs/2402.03300.
  """
  loss, metrics = clip_higher(
    logp, old_logp, adv, mask, denom, low=low, high=high
  )
  # Masked before exp: a masked infinity would still spoil the gradient.
  kl = log_ratios.k3(jnp.where(mask > 0, ref_logp - logp, 0.0))
  kl = jnp.minimum(kl, log_ratios.MOST_K3)
  metrics['kl_sum'] = jnp.sum(jnp.where(mask > 0, kl, 0.0))
  return loss + beta * jnp.sum(mask * kl) / denom, metrics


def entropy_bonus(
  logp, old_logp, adv, mask, denom, *, entropy, low, high, bonus
):
  """`clip_higher` minus `bonus` times the entropy of the tokens.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    entropy: float32 [..., R], of the policy at each token, nats.
    low: how far the ratio may fall below 1.
    high: how far it may rise above 1.
    bonus: weight of the entropy, per nat; Laser: 0.001.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ.
  Source: PPO, equation 9, arxiv.org/abs/1707.06347.
  """
  loss, metrics = clip_higher(
    logp, old_logp, adv, mask, denom, low=low, high=high
  )
  entropy = jnp.where(mask > 0, entropy, 0.0)
  return loss - bonus * jnp.sum(mask * entropy) / denom, metrics


def truncated_importance(
  logp, old_logp, adv, mask, denom, *, sampler_logp, low, high, cap
):
  """`clip_higher` with an importance weight for each token.

  The weight is min(exp(old_logp - sampler_logp), cap). It corrects for a
  sampler that computes a slightly different or an older policy.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    sampler_logp: float32 [..., R], the sampler's at rollout, nats.
    low: how far the ratio may fall below 1.
    high: how far it may rise above 1.
    cap: largest weight; 2 is customary.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ, or cap is not above 0.
  Source: Yao et al., Your efficient RL framework secretly brings you
    off-policy RL training, 2025, fengyao.notion.site/off-policy-rl.
  """
  if not cap > 0:
    raise ValueError(f'cap={cap} is not above 0')
  _, objective, metrics = _surrogate(logp, old_logp, adv, mask, low, high)
  # Masked before exp: a masked infinity would still spoil the gradient.
  apart = jnp.where(mask > 0, old_logp - sampler_logp, 0.0)
  weight = jnp.minimum(jnp.exp(jax.lax.stop_gradient(apart)), cap)
  metrics['clip_weight_sum'] = _count((mask > 0) & (jnp.exp(apart) > cap))
  return -jnp.sum(mask * weight * objective) / denom, metrics


def supervised(logp, old_logp, adv, mask, denom):
  """Cross-entropy of given responses, for SFT.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], unused; an argument of every loss.
    adv: float32 [..., R], weight of the token's sequence; 1 is customary.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
  Returns:
    float32 [] loss, nats, and no metrics.
  Raises:
    ValueError: shapes differ.
  """
  shapes.check('... R, ... R, ... R, ... R', logp, old_logp, adv, mask)
  logp = jnp.where(mask > 0, logp, 0.0)
  return -jnp.sum(mask * adv * logp) / denom, {}


def _surrogate(logp, old_logp, adv, mask, low, high):
  """Ratio and clipped objective of each token, and counts of clipped tokens."""
  shapes.check('... R, ... R, ... R, ... R', logp, old_logp, adv, mask)
  # Masked before exp: a masked infinity would still spoil the gradient.
  ratio = jnp.exp(log_ratios.bounded(jnp.where(mask > 0, logp - old_logp, 0.0)))
  clipped = jnp.clip(ratio, 1 - low, 1 + high)
  objective = jnp.minimum(ratio * adv, clipped * adv)
  live = mask > 0
  metrics = {
    'clip_low_sum': _count(live & (adv < 0) & (ratio < 1 - low)),
    'clip_high_sum': _count(live & (adv > 0) & (ratio > 1 + high)),
    'ratio_max': jnp.max(ratio, initial=0.0, where=live),
  }
  return ratio, objective, metrics


def _count(tokens):
  return jnp.sum(tokens.astype(jnp.float32))
