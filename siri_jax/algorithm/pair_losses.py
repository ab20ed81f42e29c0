"""PLUG-IN family: losses that compare the two responses of a pair.

The contract is that of losses.py. Both responses of a pair are in one row, and
the sign of the advantage tells them apart: the preferred one's is positive.
Under the aggregation sequence_mean a loss is the mean over pairs.
"""

import jax
import jax.numpy as jnp

from siri_jax import shapes
from siri_jax.algorithm import sequence_sums


def simpo(logp, old_logp, adv, mask, denom, *, segments, pairs, beta, gamma):
  """SimPO: the preferred response is likelier a token, by a margin.

  -log sigmoid(beta * (m_w - m_l) - gamma), with m the mean of logp over a
  response's tokens.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], unused; an argument of every loss.
    adv: float32 [..., R], above 0 on the preferred response, else below.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    segments: int32 [..., R], the sequences of a row.
    pairs: int32 [..., R], its pairs of sequences.
    beta: scale of a mean log-probability, per nat; SimPO: 2 to 10.
    gamma: the margin, in units of beta times nats; SimPO: half of beta.
  Returns:
    float32 [] loss, and metrics: `margin`, beta * (m_w - m_l); `ranked`, the
    share of tokens in pairs where it is above 0.
  Raises:
    ValueError: shapes differ.
  Source: SimPO, equation 6, arxiv.org/abs/2405.14734; princeton-nlp/SimPO,
    scripts/simpo_trainer.py, whose gamma_beta_ratio is gamma / beta.
  """
  _check(logp, old_logp, adv, mask, segments, pairs)
  live = mask > 0
  tokens = jnp.maximum(sequence_sums.whole(live, segments), 1.0)
  margin = beta * _apart(logp / tokens, adv, live, pairs)
  return _of_margin(margin, gamma, mask, denom)


def dpo(logp, old_logp, adv, mask, denom, *, pairs, beta):
  """DPO: the preferred response has become likelier than the other one.

  -log sigmoid(beta * (d_w - d_l)), with d the sum of logp - old_logp over a
  response's tokens. The reference is the policy that sampled the pairs.

  Args:
    logp: float32 [..., R], trainer's log-probability now, nats.
    old_logp: float32 [..., R], the reference's, nats.
    adv: float32 [..., R], above 0 on the preferred response, else below.
    mask: float32 [..., R], weight of each token, 0 on prompts and padding.
    denom: float32 [], of the whole mini-batch.
    pairs: int32 [..., R], the pairs of sequences of a row.
    beta: scale of a log-ratio, per nat; TRL: 0.1.
  Returns:
    float32 [] loss, and metrics: `margin`, beta * (d_w - d_l); `ranked`, the
    share of tokens in pairs where it is above 0.
  Raises:
    ValueError: shapes differ.
  Source: DPO, equation 7, arxiv.org/abs/2305.18290; TRL, trl/trainer/
    dpo_trainer.py, loss_type sigmoid.
  """
  _check(logp, old_logp, adv, mask, pairs)
  margin = beta * _apart(logp - old_logp, adv, mask > 0, pairs)
  return _of_margin(margin, 0.0, mask, denom)


def _check(*arrays):
  shapes.check(', '.join(['... R'] * len(arrays)), *arrays)


def _apart(values, adv, live, pairs):
  """The preferred response's sum of values minus the other's, at each token."""
  # Masked before the sum: a masked infinity would still spoil the gradient.
  signed = jnp.where(live, jnp.sign(adv) * values, 0.0)
  return sequence_sums.whole(signed, pairs)


def _of_margin(margin, gamma, mask, denom):
  """The loss of pairs of these margins, and their metrics."""
  live = mask > 0
  likely = jax.nn.log_sigmoid(margin - gamma)
  metrics = {
    'margin_sum': jnp.sum(jnp.where(live, margin, 0.0)),
    'ranked_sum': jnp.sum((live & (margin > 0)).astype(jnp.float32)),
  }
  return -jnp.sum(jnp.where(live, mask * likely, 0.0)) / denom, metrics
