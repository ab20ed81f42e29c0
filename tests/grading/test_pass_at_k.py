"""pass@k and maj@k against the mean over all choices, and accuracy by cap."""

import itertools
import math

import numpy as np
import pytest

from siri_jax.grading import pass_at_k


def mean_over_choices(answers, worth):
  """For each k, the mean worth of all choices of k of the answers."""
  sizes = range(1, len(answers) + 1)
  return [
    np.mean([worth(chosen) for chosen in itertools.combinations(answers, k)])
    for k in sizes
  ]


def worth_of_vote(chosen):
  """The share of 'right' among the most frequent answers; '' has no vote."""
  votes = {answer: chosen.count(answer) for answer in chosen if answer}
  best = [a for a, count in votes.items() if count == max(votes.values())]
  return ('right' in best) / max(len(best), 1)


# Right samples, samples of each wrong answer, samples without an answer.
CASES = [
  (1, [], 0),
  (0, [3], 0),
  (0, [], 3),
  (4, [], 3),
  (2, [2, 1], 1),
  (3, [1, 1, 1, 1], 0),
  (1, [3, 2], 2),
  (2, [2, 2, 2], 0),
  (5, [4], 1),
]


@pytest.mark.parametrize(('right', 'wrong', 'silent'), CASES)
def test_both_are_the_mean_over_all_choices(right, wrong, silent):
  answers = ['right'] * right + [''] * silent
  answers += [
    f'wrong {i}' for i, count in enumerate(wrong) for _ in range(count)
  ]
  n = len(answers)
  np.testing.assert_allclose(
    pass_at_k.pass_at_k(right, n),
    mean_over_choices(answers, lambda chosen: 'right' in chosen),
  )
  np.testing.assert_allclose(
    pass_at_k.maj_at_k(right, wrong, n),
    mean_over_choices(answers, worth_of_vote),
    atol=1e-15,
  )


def test_one_sample_gives_the_accuracy():
  assert pass_at_k.pass_at_k(3, 8)[0] == 3 / 8
  assert pass_at_k.maj_at_k(3, [2, 2], 8)[0] == pytest.approx(3 / 8)


def test_a_majority_of_all_samples_is_certain():
  assert pass_at_k.maj_at_k(33, [31], 64)[-1] == 1
  assert pass_at_k.maj_at_k(31, [33], 64)[-1] == 0
  assert pass_at_k.maj_at_k(32, [32], 64)[-1] == 0.5
  assert pass_at_k.maj_at_k(1, [], 64)[-1] == 1  # No other sample has a vote.


def test_maj_at_k_rises_with_k_for_a_majority_and_falls_for_a_minority():
  assert np.all(np.diff(pass_at_k.maj_at_k(40, [24], 64)[::2]) >= 0)
  assert np.all(np.diff(pass_at_k.maj_at_k(24, [40], 64)[::2]) <= 0)


def test_maj_at_k_is_a_probability_for_a_thousand_samples():
  found = pass_at_k.maj_at_k(20, [10], 1000)
  assert np.all((found >= 0) & (found <= 1 + 1e-12))
  assert found[[0, -1]] == pytest.approx([0.02, 1])


def test_the_standard_error_is_that_of_a_mean():
  # Standard deviation 1 (with n - 1), divided by the root of 3.
  mean, error = pass_at_k.mean_and_error([1.0, 2.0, 3.0])
  assert mean == 2.0
  assert error == pytest.approx(1 / math.sqrt(3))


def test_the_standard_error_of_one_problem_is_nan():
  mean, error = pass_at_k.mean_and_error([0.5])
  assert mean == 0.5
  assert math.isnan(error)


def test_caps_are_spread_evenly_and_end_at_the_highest():
  np.testing.assert_array_equal(
    pass_at_k.caps(16384, 4), [4096, 8192, 12288, 16384]
  )
  np.testing.assert_array_equal(pass_at_k.caps(3, 64), [1, 2, 3])


def test_the_area_is_the_mean_accuracy_over_all_caps():
  # 0 up to cap 8, 1 at cap 16: a triangle over half of the width.
  assert pass_at_k.area([8, 16], [0.0, 1.0]) == pytest.approx(0.25)
  assert pass_at_k.area([4, 16], [0.5, 0.5]) == pytest.approx(0.4375)


def test_cap_reaching_returns_the_lowest_cap_with_the_share():
  caps, accuracy = [4, 8, 12, 16], [0.1, 0.38, 0.4, 0.4]
  assert pass_at_k.cap_reaching(0.95, caps, accuracy) == 8
  assert pass_at_k.cap_reaching(1.0, caps, accuracy) == 12
  assert math.isnan(pass_at_k.cap_reaching(0.95, caps, [0, 0, 0, 0]))
