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
