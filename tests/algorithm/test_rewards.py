"""Rewards by hand."""

import builders
import numpy as np
import pytest

from siri_jax.algorithm import rewards


def test_the_capped_reward_is_the_graders_verdict():
  # The last one was cut, and had its answer before the cut.
  batch = builders.make_batch([3, 5, 10], [True, False, True], cap=10)
  assert rewards.length_capped(batch).tolist() == [1, 0, 1]


def test_the_overlong_buffer_is_a_ramp_that_ends_at_the_cap():
  lengths = [1, 6, 7, 8, 10, 11, 90]
  batch = builders.make_batch(lengths, [True] * 7, cap=10)
  found = rewards.overlong_buffer(batch, buffer=4, factor=0.5)
  assert found.tolist() == [1, 1, 0.875, 0.75, 0.5, 0.5, 0.5]


def test_the_overlong_penalty_does_not_depend_on_correctness():
  batch = builders.make_batch([10, 10], [True, False], cap=10)
  found = rewards.overlong_buffer(batch, buffer=4, factor=1.0)
  assert found.tolist() == [0, -1]


def test_the_overlong_ramp_moves_with_the_cap():
  found = [
    rewards.overlong_buffer(
      builders.make_batch([7], [True], cap=cap), buffer=4, factor=1.0
    ).item()
    for cap in (7, 8, 9, 10, 11)
  ]
  assert found == [0, 0.25, 0.5, 0.75, 1]


def test_a_buffer_is_a_token_or_more():
  batch = builders.make_batch([3], [True], cap=10)
  with pytest.raises(ValueError, match='buffer=0 is below 1 token'):
    rewards.overlong_buffer(batch, buffer=0, factor=1.0)


@pytest.mark.parametrize('reward', [rewards.length_capped])
def test_arrays_without_one_value_per_sample_are_refused(reward):
  batch = builders.make_batch([3, 4], [True, True], cap=10)
  for wrong in np.ones((2, 1), bool), np.ones(3, bool):
    with pytest.raises(ValueError, match='do not fit'):
      reward(batch.replace(correct=wrong))


def asked_for(target, length, correct, mode):
  """A batch whose prompts ask for these targets."""
  return builders.make_batch(
    length, correct, cap=100, target=np.int32(target), mode=np.int32(mode)
  )


def test_lcpo_exact_takes_a_bit_for_each_token_off_the_target():
  # 1 - 0.01 * 20; 1; 0 - 0.01 * 30.
  batch = asked_for([40, 40, 40], [20, 40, 70], [True, True, False], [0, 0, 0])
  found = rewards.lcpo_exact(batch, alpha=0.01)
  np.testing.assert_allclose(found, [0.8, 1.0, -0.3], rtol=1e-6)


def test_lcpo_max_is_a_soft_limit_for_right_responses():
  # Of exactly the target delta; 10 tokens less or more move it by 0.1; clipped.
  lengths = [40, 30, 50, 1, 100, 30]
  right = [True] * 5 + [False]
  batch = asked_for([40] * 6, lengths, right, [rewards.AT_MOST] * 6)
  found = rewards.lcpo_max(batch, alpha=0.01, delta=0.5)
  np.testing.assert_allclose(found, [0.5, 0.6, 0.4, 0.89, 0, 0], atol=1e-6)


def lcpo_by_hand(target, length, right, mode):
  """L1's equations 1 and 2 for one response, in plain Python."""
  if mode == rewards.AT_MOST:
    return right * min(max(0.0003 * (target - length) + 0.5, 0), 1)
  return right - 0.0003 * abs(target - length)


def test_lcpo_is_the_papers_equations_on_random_batches():
  rng = np.random.default_rng(0)
  target, length = rng.integers(100, 4001, (2, 64))
  right, mode = rng.random((2, 64)) < 0.5
  batch = asked_for(target, length, right, mode)
  found = rewards.lcpo_max(batch, alpha=0.0003, delta=0.5)
  cases = zip(target, length, right, mode, strict=True)
  np.testing.assert_allclose(
    found, [lcpo_by_hand(*c) for c in cases], atol=1e-6
  )
  exact = rewards.lcpo_exact(batch, alpha=0.0003)
  np.testing.assert_array_equal(exact[~mode], found[~mode])
