"""Intervals of paired differences: by hand, by identities, by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from siri_jax.analysis import intervals


def test_a_difference_without_spread_has_a_point_for_an_interval():
  one = np.arange(60.0).reshape(3, 20)
  assert intervals.paired(one, one + 0.25) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize('shape', [(1, 40), (5, 1)])
def test_one_factor_alone_has_the_interval_of_a_paired_t_test(shape):
  draw = np.random.default_rng(0)
  one, other = draw.normal(size=(2, *shape))
  found = intervals.paired(one, other)
  theirs = stats.ttest_rel(other.ravel(), one.ravel()).confidence_interval(0.95)
  np.testing.assert_allclose(found[1:], theirs, rtol=1e-9)


def test_one_number_has_no_interval():
  mean, low, high = intervals.paired([[1.0]], [[3.0]])
  assert mean == 2
  assert math.isnan(low)
  assert math.isnan(high)


def test_seeds_that_differ_alike_on_all_problems_are_a_t_test_over_seeds():
  by_seed = np.array([1.0, 2.0, 6.0])
  gap = np.repeat(by_seed[:, None], 50, axis=1)
  found = intervals.paired(np.zeros_like(gap), gap)
  theirs = stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
  np.testing.assert_allclose(found[1:], theirs, rtol=1e-9)


def coverage(seeds, problems, spread, trials=600):
  """How often the interval holds the true difference, 0.

  A problem's difference deviates by 0.5, a sample's by 1, a seed's by
  `spread`.
  """
  draw = np.random.default_rng(1)
  held = 0
  for _ in range(trials):
    gap = spread * draw.normal(size=(seeds, 1)) + draw.normal(
      size=(seeds, problems)
    )
    gap += 0.5 * draw.normal(size=(1, problems))
    _, low, high = intervals.paired(np.zeros_like(gap), gap)
    held += low <= 0 <= high
  return held / trials


@pytest.mark.slow
@pytest.mark.parametrize('spread', [0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize('seeds', [2, 3, 5])
def test_an_interval_over_seeds_covers_what_it_says(seeds, spread):
  # 600 trials: a standard error of 0.9 points.
  assert 0.88 <= coverage(seeds, 60, spread) <= 0.99


def test_with_one_seed_it_covers_problems_alone():
  assert coverage(1, 60, 0) == pytest.approx(0.95, abs=0.03)
  assert coverage(1, 60, 0.5) < 0.5


def test_arms_that_do_not_go_together_are_refused():
  with pytest.raises(ValueError, match=r'\(2, 3\) and \(2, 4\)'):
    intervals.paired(np.zeros((2, 3)), np.zeros((2, 4)))
