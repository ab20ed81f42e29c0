"""Losses of one token by hand: value, gradient and clip counts."""

import functools
import math

import jax
import numpy as np
import pytest

from siri_jax.algorithm import log_ratios, losses

CLIP = dict(low=0.2, high=0.28)
higher = functools.partial(losses.clip_higher, **CLIP)
dual = functools.partial(losses.dual_clip, **CLIP, bound=3.0)
with_kl = functools.partial(losses.grpo_kl, **CLIP, beta=0.1)


@functools.cache
def compiled(loss):
  return jax.jit(jax.value_and_grad(loss, has_aux=True))


def token(loss, ratio, adv, **extra):
  """Loss, its slope in logp, and metrics of one token of a given ratio."""
  logp = np.float32([math.log(ratio)])
  one = np.ones(1, np.float32)
  (value, metrics), slope = compiled(loss)(
    logp, 0 * one, adv * one, one, 1.0, **extra
  )
  return float(value), float(slope[0]), metrics


# ratio, advantage -> loss, slope in logp. The slope of -r A in logp is -r A.
CLIPPED = [
  (1.0, 2.0, -2.0, -2.0),
  (1.27, 2.0, -2.54, -2.54),
  (1.5, 2.0, -2.56, 0.0),  # Clipped at 1.28.
  (0.5, 2.0, -1.0, -1.0),  # Not clipped: it may rise again.
  (1.0, -2.0, 2.0, 2.0),
  (0.81, -2.0, 1.62, 1.62),
  (0.5, -2.0, 1.6, 0.0),  # Clipped at 0.8.
  (5.0, -2.0, 10.0, 10.0),  # Not clipped: it may fall again.
]


@pytest.mark.parametrize(('ratio', 'adv', 'value', 'slope'), CLIPPED)
def test_clip_higher_by_hand(ratio, adv, value, slope):
  found = token(higher, ratio, adv)
  assert found[:2] == pytest.approx((value, slope), abs=1e-5)


@pytest.mark.parametrize(('ratio', 'adv', 'value', 'slope'), CLIPPED)
def test_clip_higher_counts_what_lost_its_slope(ratio, adv, value, slope):
  metrics = token(higher, ratio, adv)[2]
  assert metrics['clip_high_sum'] == (slope == 0 and adv > 0)
  assert metrics['clip_low_sum'] == (slope == 0 and adv < 0)
  assert metrics['ratio_max'] == pytest.approx(ratio, rel=1e-6)


def test_at_ratio_1_the_slope_is_the_policy_gradients():
  adv = np.float32([[1.5, -0.5, 0.0, 2.0]])
  mask = np.float32([[0.5, 0.5, 1.0, 0.0]])
  logp = np.float32([[-1.0, -2.0, -3.0, -4.0]])
  slope = jax.grad(higher, has_aux=True)(logp, logp, adv, mask, 4.0)[0]
  np.testing.assert_allclose(slope, -adv * mask / 4, rtol=1e-6)


def test_the_denominator_divides_the_weighted_sum():
  logp = np.zeros((2, 2), np.float32)
  adv = np.float32([[1, 1], [-2, 5]])
  mask = np.float32([[0.5, 0.25], [1, 0]])
  value, _ = higher(logp, logp, adv, mask, 5.0)
  assert value == pytest.approx(-(0.5 + 0.25 - 2) / 5)


def test_counts_are_of_tokens_and_not_of_weights():
  ratio = np.log(np.float32([[2, 2, 0.1, 1, 2]]))
  adv = np.float32([[1, 1, -1, 1, 1]])
  mask = np.float32([[0.1, 0.1, 0.1, 0.1, 0]])
  _, metrics = higher(ratio, np.zeros_like(ratio), adv, mask, 1.0)
  assert metrics['clip_high_sum'] == 2
  assert metrics['clip_low_sum'] == 1


def test_the_largest_ratio_is_one_of_a_live_token():
  logp = np.log(np.float32([[0.5, 0.25, 9]]))
  mask = np.float32([[1, 1, 0]])
  zeros = np.zeros_like(logp)
  assert higher(logp, zeros, zeros, mask, 1.0)[1]['ratio_max'] == 0.5
  assert higher(logp, zeros, zeros, zeros, 1.0)[1]['ratio_max'] == 0


def test_an_infinity_that_is_not_masked_is_not_hidden():
  one = np.ones(2, np.float32)
  value, _ = higher(np.float32([0, np.inf]), 0 * one, -one, one, 1.0)
  assert not np.isfinite(value)
  value, _ = higher(np.float32([0, np.nan]), 0 * one, one, one, 1.0)
  assert np.isnan(value)


# ratio, advantage -> loss, slope: above 3 a negative advantage has slope 0.
DUAL = [
  *[case for case in CLIPPED if case[0] < 3],
  (2.9, -2.0, 5.8, 5.8),
  (5.0, -2.0, 6.0, 0.0),
  (5.0, 2.0, -2.56, 0.0),
]


@pytest.mark.parametrize(('ratio', 'adv', 'value', 'slope'), DUAL)
def test_dual_clip_by_hand(ratio, adv, value, slope):
  found = token(dual, ratio, adv)
  assert found[:2] == pytest.approx((value, slope), abs=1e-5)
  assert found[2]['clip_dual_sum'] == (ratio > 3 and adv < 0)


@pytest.mark.parametrize('bound', [1.0, 0.5, float('nan')])
def test_dual_clip_refuses_a_bound_that_would_bind_at_ratio_1(bound):
  with pytest.raises(ValueError, match='is not above 1'):
    token(functools.partial(losses.dual_clip, **CLIP, bound=bound), 1.0, 1.0)


@pytest.mark.parametrize('apart', [-1.0, 0.0, 0.5])
def test_grpo_kl_adds_the_k3_estimate(apart):
  # At ratio 1 and advantage 0 only the KL term is left: k3 of d = ref_logp -
  # logp, whose slope in logp is 1 - exp(d).
  ref = np.float32([apart])
  value, slope, metrics = token(with_kl, 1.0, 0.0, ref_logp=ref)
  k3 = math.exp(apart) - apart - 1
  assert value == pytest.approx(0.1 * k3, abs=1e-7)
  assert slope == pytest.approx(0.1 * (1 - math.exp(apart)), abs=1e-7)
  assert metrics['kl_sum'] == pytest.approx(k3, abs=1e-7)


def test_the_k3_estimate_is_unbiased():
  p, q = np.float32([0.5, 0.3, 0.2]), np.float32([0.2, 0.2, 0.6])
  loss = functools.partial(losses.grpo_kl, **CLIP, beta=1.0)
  logp, zeros = np.log(p), np.zeros(3, np.float32)
  # Every token once, weighed by how often the policy p draws it.
  value, _ = loss(logp, logp, zeros, p, 1.0, ref_logp=np.log(q))
  assert value == pytest.approx(float(np.sum(p * np.log(p / q))), rel=1e-5)


def test_the_entropy_bonus_is_taken_off_the_loss():
  loss = functools.partial(losses.entropy_bonus, **CLIP, bonus=0.01)
  entropy = np.float32([1.5])
  value, slope, _ = token(loss, 1.0, 2.0, entropy=entropy)
  assert value == pytest.approx(-2.0 - 0.015)
  assert slope == pytest.approx(-2.0)


def test_the_entropy_bonus_has_a_slope_in_the_entropy():
  zeros, mask = np.zeros(2, np.float32), np.float32([0.5, 0])

  def of(entropy):
    return losses.entropy_bonus(
      zeros, zeros, zeros, mask, 2.0, entropy=entropy, **CLIP, bonus=0.01
    )[0]

  slope = jax.grad(of)(np.float32([1, 1]))
  np.testing.assert_allclose(slope, [-0.01 * 0.5 / 2, 0])


def test_the_supervised_loss_is_the_cross_entropy():
  logp = np.log(np.float32([0.5, 0.25, 0.1]))
  mask, adv = np.float32([1, 1, 0]), np.ones(3, np.float32)
  value, metrics = losses.supervised(logp, 0 * logp, adv, mask, 2.0)
  assert value == pytest.approx(math.log(8) / 2)
  assert metrics == {}


# Trainer's probability over the sampler's, advantage -> loss.
WEIGHED = [
  (1.0, 2.0, -2.0),
  (1.5, 2.0, -3.0),
  (0.5, -2.0, 1.0),
  (4.0, 2.0, -4.0),  # Cut at 2.
]


@pytest.mark.parametrize(('weight', 'adv', 'value'), WEIGHED)
def test_truncated_importance_by_hand(weight, adv, value):
  loss = functools.partial(losses.truncated_importance, **CLIP, cap=2.0)
  sampler = np.float32([-math.log(weight)])
  found, slope, metrics = token(loss, 1.0, adv, sampler_logp=sampler)
  assert (found, slope) == pytest.approx((value, value), rel=1e-5)
  assert metrics['clip_weight_sum'] == (weight > 2)


def test_truncated_importance_refuses_a_cap_that_cuts_all():
  with pytest.raises(ValueError, match=r'cap=0\.0'):
    losses.truncated_importance(
      *[np.zeros(1, np.float32)] * 4,
      1.0,
      sampler_logp=np.zeros(1, np.float32),
      low=0.2,
      high=0.28,
      cap=0.0,
    )


@pytest.mark.parametrize(('name', 'adv'), [('higher', 1.0), ('dual', -1.0)])
def test_a_log_ratio_beyond_float32s_exp_leaves_the_gradient_finite(name, adv):
  loss = {'higher': higher, 'dual': dual}[name]
  one = np.ones(2, np.float32)
  logp, old = np.float32([-3, -2]), np.float32([-100, -2])
  (value, _), slope = compiled(loss)(logp, old, adv * one, one, 2.0)
  # The first token is clipped: 1.28 A, or 3 A at dual_clip's bound.
  first = {'higher': 1.28, 'dual': 3.0}[name] * adv
  assert value == pytest.approx(-(first + adv) / 2, abs=1e-5)
  assert slope.tolist() == pytest.approx([0.0, -adv / 2], abs=1e-6)


# d = reference - policy -> k3 = e^d - d - 1 in exact arithmetic.
@pytest.mark.parametrize(
  ('apart', 'k3'),
  [(1e-3, 5.0016671e-7), (1e-2, 5.0167084e-5), (-0.5, 0.1065307)],
)
def test_k3_keeps_its_value_near_0(apart, k3):
  zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
  metrics = compiled(with_kl)(
    zero, zero, zero, one, 1.0, ref_logp=np.float32([apart])
  )[0][1]
  assert metrics['kl_sum'] == pytest.approx(k3, rel=1e-3)


def test_k3_of_a_reference_far_above_is_bounded():
  zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
  (value, metrics), slope = compiled(with_kl)(
    zero, zero, zero, one, 1.0, ref_logp=np.float32([100])
  )
  assert metrics['kl_sum'] == log_ratios.MOST_K3
  assert value == pytest.approx(0.1 * log_ratios.MOST_K3)
  assert np.isfinite(slope).all()
