"""Advantages by hand."""

import numpy as np
import pytest

from siri_jax.algorithm import advantages

ALL = [
  lambda r: advantages.mean_std(r, eps=1e-6),
  advantages.mean_only,
  advantages.leave_one_out,
]


def test_mean_std_divides_by_the_unbiased_deviation():
  # Mean 1/4; squares 9/16 + 3/16 = 3/4, over n - 1 = 3: deviation 1/2.
  found = advantages.mean_std(np.float32([[1, 0, 0, 0]]), eps=0.0)
  np.testing.assert_allclose(found, [[1.5, -0.5, -0.5, -0.5]], rtol=1e-6)


def test_eps_is_added_to_the_deviation():
  found = advantages.mean_std(np.float32([[1, 0, 0, 0]]), eps=0.25)
  np.testing.assert_allclose(found, [[1, -1 / 3, -1 / 3, -1 / 3]], rtol=1e-6)


def test_mean_only_centres():
  found = advantages.mean_only(np.float32([[1, 0, 0, 0], [2, 0, 2, 0]]))
  assert found.tolist() == [[0.75, -0.25, -0.25, -0.25], [1, -1, 1, -1]]


def test_rewards_far_from_0_keep_their_differences():
  rewards = np.float32([[1e7, 1e7 + 1, 1e7, 1e7 + 1]])
  assert advantages.mean_only(rewards).tolist() == [[-0.5, 0.5, -0.5, 0.5]]


def test_leave_one_out_subtracts_the_mean_of_the_others():
  rewards = np.float32([[1, 0.5, 0, 0], [3, 1, 2, 5]])
  others = (rewards.sum(1, keepdims=True) - rewards) / 3
  found = advantages.leave_one_out(rewards)
  np.testing.assert_allclose(found, rewards - others, atol=1e-6)


@pytest.mark.parametrize('advantage', ALL)
@pytest.mark.parametrize('reward', [0, 1, 0.1, -0.7, 1e30])
def test_a_group_of_equal_rewards_gets_exact_zeros(advantage, reward):
  # The mean of three times 0.1 is not 0.1 in float32.
  rewards = np.full((1, 3), reward, np.float32)
  assert (advantage(rewards) == 0).all()


@pytest.mark.parametrize('advantage', ALL)
def test_a_nan_reward_is_not_hidden(advantage):
  found = np.asarray(advantage(np.float32([[1, np.nan, 0], [1, 0, 0]])))
  assert np.isnan(found[0]).all()
  assert np.isfinite(found[1]).all()


def test_mean_std_ignores_scale_and_offset():
  rewards = np.float32([[1, 0, 0, 1, 1]])
  found = advantages.mean_std(rewards, eps=0.0)
  scaled = advantages.mean_std(8 * rewards - 2, eps=0.0)
  np.testing.assert_allclose(found, scaled, rtol=1e-5)


@pytest.mark.parametrize('advantage', ALL)
def test_a_group_needs_two_samples(advantage):
  with pytest.raises(ValueError, match='need 2 or more'):
    advantage(np.ones((3, 1), np.float32))


@pytest.mark.parametrize('advantage', ALL)
def test_rewards_have_an_axis_for_groups(advantage):
  with pytest.raises(ValueError, match='do not fit'):
    advantage(np.ones(4, np.float32))
