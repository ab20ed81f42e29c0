"""Losses over whole sequences in packed rows, against loops in numpy."""

import functools

import builders
import jax
import numpy as np
import pytest

from siri_jax.algorithm import losses, packing

LOW, HIGH = 0.1, 0.15
LENGTHS = [5, 1, 7, 3, 2, 6]


def random_sequences(seed):
  """(logp, old_logp, ref_logp, advantage) of each sequence."""
  rng = np.random.default_rng(seed)
  return [
    (*np.float32(rng.normal(-1, 0.3, (3, n))), np.float32(rng.normal()))
    for n in LENGTHS
  ]


def value_and_slopes(loss, sequences, *extra):
  """A loss of packed rows, under sequence_mean; its slopes by sequence."""
  rows, _ = packing.pack(
    builders.random_samples(LENGTHS, vocab=9, prompt=2),
    1 / np.float32(LENGTHS),
    [adv for *_, adv in sequences],
    builders.fit(row_tokens=16, micro_batch_rows=6),
  )
  assert 1 < rows.segments.max() < len(LENGTHS)  # Several a row, and rows.
  # The advantages are all different, so they tell where a sequence lies.
  places = [(rows.adv == adv) & (rows.mask > 0) for *_, adv in sequences]
  arrays = np.zeros((3, *rows.mask.shape), np.float32)
  for place, own in zip(places, sequences, strict=True):
    for array, values in zip(arrays, own[:3], strict=True):
      array[place] = values
  logp, old, ref = arrays
  given = {'segments': rows.segments, 'ref_logp': ref}
  run = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (value, _), slopes = run(
    logp,
    old,
    rows.adv,
    rows.mask,
    np.float32(len(LENGTHS)),
    **{name: given[name] for name in extra},
  )
  assert not np.any(np.asarray(slopes)[rows.mask == 0])
  return float(value), [np.asarray(slopes)[place] for place in places]


def check(found, expected):
  """Compares a value and slopes with the sum over (value, slopes) of each."""
  value, slopes = found
  size = len(LENGTHS)
  assert value == pytest.approx(sum(v for v, _ in expected) / size, rel=1e-5)
  for ours, (_, theirs) in zip(slopes, expected, strict=True):
    np.testing.assert_allclose(ours, theirs / size, rtol=2e-4, atol=1e-7)


def clipped(ratio, adv):
  """PPO's objective and its slope in the log-ratio."""
  bound = np.clip(ratio, 1 - LOW, 1 + HIGH)
  flat = bound * adv < ratio * adv
  return np.minimum(ratio * adv, bound * adv), np.where(flat, 0, ratio * adv)


@pytest.mark.parametrize('seed', range(3))
def test_gspo_has_one_ratio_for_a_sequence(seed):
  sequences, expected = random_sequences(seed), []
  for logp, old, _, adv in sequences:
    objective, slope = clipped(np.exp(np.mean(logp - old)), adv)
    expected.append((-objective, -np.full_like(logp, slope) / logp.size))
  loss = functools.partial(losses.sequence_ratio, low=LOW, high=HIGH)
  check(value_and_slopes(loss, sequences, 'segments'), expected)


def test_gspo_by_hand():
  """Log-ratios of 0.3 and -0.1 have the mean 0.1, and s = exp(0.1)."""
  logp, ones = np.float32([0.3, -0.1]), np.ones(2, np.float32)
  loss = functools.partial(
    losses.sequence_ratio, segments=np.int32([1, 1]), low=0.2, high=0.2
  )
  (value, metrics), slope = jax.value_and_grad(loss, has_aux=True)(
    logp, 0 * ones, 2 * ones, ones / 2, 1.0
  )
  assert value == pytest.approx(-2 * 1.10517, rel=1e-5)
  np.testing.assert_allclose(slope, -1.10517, rtol=1e-5)
  assert metrics['clip_high_sum'] == 0
  # Each token alone would be clipped or not; here both are, at s = 1.105.
  tight = functools.partial(loss, high=0.1)
  (value, metrics), slope = jax.value_and_grad(tight, has_aux=True)(
    logp, 0 * ones, 2 * ones, ones / 2, 1.0
  )
  assert value == pytest.approx(-2.2)
  assert metrics['clip_high_sum'] == 2
  assert not slope.any()


@pytest.mark.parametrize('seed', range(3))
def test_adaptthink_replaces_the_old_probability_of_the_first_token(seed):
  """compute_policy_loss of AdaptThink, with means over each response."""
  sequences, expected = random_sequences(seed), []
  for logp, old, _, adv in sequences:
    old = np.append(np.log(0.5), old[1:])
    objective, slope = clipped(np.exp(logp.mean() - old.mean()), adv)
    expected.append((-objective, -np.full_like(logp, slope) / logp.size))
  loss = functools.partial(
    losses.forced_first_ratio, low=LOW, high=HIGH, chance=0.5
  )
  check(value_and_slopes(loss, sequences, 'segments'), expected)


def test_adaptthink_by_hand():
  """A first token of probability 0.25 where 0.5 was drawn, then one as before.

  The mean log-ratio is log(0.25 / 0.5) / 2, so s = 0.7071, below 1 - 0.2.
  """
  logp, ones = np.log(np.float32([0.25, 0.1])), np.ones(2, np.float32)
  loss = functools.partial(
    losses.forced_first_ratio, segments=np.int32([1, 1]), low=0.2, high=0.2
  )
  run = jax.value_and_grad(functools.partial(loss, chance=0.5), has_aux=True)
  # Whatever the policy's own probability of the forced token was.
  old = np.append(np.float32(np.nan), logp[1:])
  (value, _), slope = run(logp, old, 2 * ones, ones / 2, 1.0)
  assert value == pytest.approx(-2 * 0.70711, rel=1e-5)
  np.testing.assert_allclose(slope, -0.70711, rtol=1e-5)
  # A negative advantage is clipped: it would push s further down.
  (value, _), slope = run(logp, old, -2 * ones, ones / 2, 1.0)
  assert value == pytest.approx(2 * 0.8)
  assert not slope.any()
  with pytest.raises(ValueError, match='chance=0 is not above 0'):
    loss(logp, old, ones, ones, 1.0, chance=0)


@pytest.mark.parametrize('seed', range(3))
def test_cispo_bounds_the_weight_and_keeps_every_slope(seed):
  sequences, expected = random_sequences(seed), []
  for logp, old, _, adv in sequences:
    weight = np.clip(np.exp(logp - old), 1 - LOW, 1 + HIGH)
    slope = -weight * adv / logp.size
    expected.append((np.sum(slope * logp), slope))
  loss = functools.partial(losses.clipped_weight, low=LOW, high=HIGH)
  check(value_and_slopes(loss, sequences), expected)


@pytest.mark.parametrize(('ratio', 'weight'), [(0.5, 0.8), (1, 1), (9, 1.28)])
def test_cispo_by_hand(ratio, weight):
  one = np.ones(1, np.float32)
  loss = functools.partial(losses.clipped_weight, low=0.2, high=0.28)
  (value, _), slope = jax.value_and_grad(loss, has_aux=True)(
    np.log(ratio) * one, 0 * one, -3 * one, one, 1.0
  )
  assert value == pytest.approx(3 * weight * np.log(ratio))
  np.testing.assert_allclose(slope, 3 * weight, rtol=1e-6)


@pytest.mark.parametrize('seed', range(3))
def test_degrpo_takes_the_first_token_apart(seed):
  alpha, beta = 0.3, 0.05
  sequences, expected = random_sequences(seed), []
  for logp, old, ref, adv in sequences:
    objective, slope = clipped(np.exp(logp - old), adv)
    rest = max(logp.size - 1, 1)
    weight = np.where(np.arange(logp.size) == 0, alpha, 1 / rest)
    apart = ref - logp
    kl = beta * np.sum(np.exp(apart) - apart - 1) / logp.size
    expected.append(
      (
        kl - np.sum(weight * objective),
        -weight * slope + beta * (1 - np.exp(apart)) / logp.size,
      )
    )
  loss = functools.partial(
    losses.control_token, low=LOW, high=HIGH, beta=beta, alpha=alpha
  )
  check(value_and_slopes(loss, sequences, 'ref_logp', 'segments'), expected)


def test_a_token_that_is_not_learned_is_neither_first_nor_in_the_mean():
  """A forced first token has a mask of 0: the next one is the control token."""
  logp = np.float32([9, 0, 0, 0])
  zeros = np.zeros(4, np.float32)
  loss = functools.partial(
    losses.control_token,
    ref_logp=logp,
    segments=np.int32([1, 1, 1, 1]),
    low=0.2,
    high=0.2,
    beta=0.0,
    alpha=0.5,
  )
  mask = np.float32([0, 1, 1, 1]) / 3
  slope = jax.grad(loss, has_aux=True)(logp, zeros, zeros + 1, mask, 1.0)[0]
  np.testing.assert_allclose(slope, [0, -0.5, -0.5, -0.5], rtol=1e-6)
