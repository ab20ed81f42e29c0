"""PLUG-IN family: losses, per-token arrays -> scalar and metrics.

`(logp, old_logp, adv, mask, denom, *, settings) -> (loss [], metrics)`, all
arrays float32 [..., R]. A loss with a keyword argument of EXTRA also gets that
array: 'segments' are those of types.PackedBatch, which tell the sequences of a
row apart; none spans two rows. A loss that takes 'pairs' compares two
sequences, and both are in the same row: pair_losses.py. Metrics end in `_sum`
(added over micro-batches and divided by the number of tokens) or `_max`.
"""

import jax
import jax.numpy as jnp

from siri_jax import shapes
from siri_jax.algorithm import log_ratios, sequence_sums

EXTRA = ('entropy', 'pairs', 'ref_logp', 'sampler_logp', 'segments')
# Of EXTRA, those that need no array.
COMPUTED = ('entropy', 'pairs', 'segments')


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
  kl, metrics['kl_sum'] = _kl(logp, ref_logp, mask)
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


def sequence_ratio(logp, old_logp, adv, mask, denom, *, segments, low, high):
  """GSPO: `clip_higher` with one probability ratio for a whole sequence.

  s = exp(mean of logp - old_logp over the response's tokens). A token's ratio
  is sg[s] * exp(logp - sg[logp]), as in GSPO-token: its value is s, and its
  gradient is that of s if all tokens of a sequence weigh 1 / length.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    segments: int32 [..., R], the sequences of a row.
    low: how far the ratio may fall below 1; GSPO: 3e-4.
    high: how far it may rise above 1; GSPO: 4e-4.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ.
  Source: GSPO, equations 5, 7 and 14, arxiv.org/abs/2507.18071; VeRL's
    compute_policy_loss_gspo, whose upper bound of the log-ratio is 10 nats.
  """
  every = (logp, old_logp, adv, mask, segments)
  shapes.check('... R, ... R, ... R, ... R, ... R', *every)
  # Masked before the sum: a masked infinity would still spoil the gradient.
  live = mask > 0
  apart = jnp.where(live, logp - old_logp, 0.0)
  tokens = jnp.maximum(sequence_sums.whole(live, segments), 1.0)
  mean = sequence_sums.whole(apart, segments) / tokens
  stopped = jax.lax.stop_gradient(jnp.where(live, logp, 0.0))
  as_old = stopped - jax.lax.stop_gradient(mean)
  _, objective, metrics = _surrogate(logp, as_old, adv, mask, low, high)
  return -jnp.sum(mask * objective) / denom, metrics


def clipped_weight(logp, old_logp, adv, mask, denom, *, low, high):
  """CISPO: the gradient of every token, with a bounded importance weight.

  -sum(mask * sg[clip(r, 1 - low, 1 + high)] A logp) / denom, with
  r = exp(logp - old_logp) for each token. No token loses its gradient.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    low: how far the weight may fall below 1; 1 or more: no lower bound.
    high: how far it may rise above 1.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ.
  Source: MiniMax-M1, equations 4 and 5, arxiv.org/abs/2506.13585; VeRL's
    compute_policy_loss_cispo.
  """
  ratio, _, metrics = _surrogate(logp, old_logp, adv, mask, low, high)
  weight = jax.lax.stop_gradient(jnp.clip(ratio, 1 - low, 1 + high))
  logp = jnp.where(mask > 0, logp, 0.0)
  return -jnp.sum(mask * weight * adv * logp) / denom, metrics


def control_token(
  logp,
  old_logp,
  adv,
  mask,
  denom,
  *,
  ref_logp,
  segments,
  low,
  high,
  beta,
  alpha,
):
  """DeGRPO: `grpo_kl` with the first token of a response apart from the rest.

  The first token, which chooses the mode, weighs `alpha` times the weight of
  its whole sequence, and the other tokens share that weight. With the
  aggregation sequence_mean, the objective of a sequence is
  alpha * L_0 + mean of L_1, L_2, ..., as printed in the paper. Thinkless's code
  takes the mean of the others over the batch.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], trainer's at rollout, nats.
    adv: float32 [..., R], advantage of the token's sequence.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    ref_logp: float32 [..., R], of the policy that the run started from, nats.
    segments: int32 [..., R], the sequences of a row.
    low: how far the ratio may fall below 1.
    high: how far it may rise above 1.
    beta: weight of the KL term, per nat.
    alpha: weight of the first token; Thinkless: 0.001.
  Returns:
    float32 [] loss, and metrics.
  Raises:
    ValueError: shapes differ.
  Source: Thinkless, section 3.2, arxiv.org/abs/2505.13379.
  """
  shapes.check('... R, ... R', mask, segments)
  live = mask > 0
  _, objective, metrics = _surrogate(logp, old_logp, adv, mask, low, high)
  tokens = sequence_sums.whole(live, segments)
  first = live & (sequence_sums.so_far(live, segments) == 1)
  others = tokens / jnp.maximum(tokens - 1, 1.0)
  weight = mask * jnp.where(first, alpha * tokens, others)
  kl, metrics['kl_sum'] = _kl(logp, ref_logp, mask)
  loss = -jnp.sum(weight * objective) + beta * jnp.sum(mask * kl)
  return loss / denom, metrics


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


def _kl(logp, ref_logp, mask):
  """k3 of each token, at most MOST_K3, and its sum over response tokens."""
  # Masked before exp: a masked infinity would still spoil the gradient.
  kl = log_ratios.k3(jnp.where(mask > 0, ref_logp - logp, 0.0))
  kl = jnp.minimum(kl, log_ratios.MOST_K3)
  return kl, jnp.sum(jnp.where(mask > 0, kl, 0.0))


def _count(tokens):
  return jnp.sum(tokens.astype(jnp.float32))
