"""Training sets by hand: which samples are taken, with what weight, and why."""

import numpy as np
import pytest

from siri_jax.algorithm import training_sets
from siri_jax.algorithm.training_sets import Picked, Presampled, Solutions


def problem(lengths, correct):
  return Presampled(np.array(lengths), np.array(correct, bool))


EASY = problem([10, 20, 30, 40], [1, 1, 1, 0])
NEVER = problem([20, 40, 60, 40], [0, 0, 0, 0])


def whole(index, length, weight, score):
  return Picked(index, length, length, weight, score)


def test_o1_pruner_by_hand():
  # Mean length 25, accuracy 3/4: sample 0 scores 15/10 + 2/4 = 2, sample 3
  # -15/40 - 2 * 3/4 = -1.875; their mean is 1/16 and their deviation 31/16.
  found = training_sets.o1_pruner(
    [EASY],
    uniforms=[[0.1, 0.8, 0.9, 0.2]],
    used=2,
    alpha=2.0,
    low=-2.0,
    high=4.0,
  )
  ((number, picked),) = found.groups
  assert number == 0
  assert picked == (whole(0, 10, 1.0, 2.0), whole(3, 40, -1.0, -1.875))
  assert found.left_out == {}


def test_o1_pruner_clips_before_it_standardises():
  # A right response of a tenth of the mean length would score 9 + 5/2.
  brief = problem([10, 190], [1, 0])
  found = training_sets.o1_pruner(
    [brief], uniforms=[[0, 1]], used=2, alpha=5.0, low=-2.0, high=4.0
  )
  assert [p.score for p in found.groups[0][1]] == [4.0, -2.0]
  assert [p.weight for p in found.groups[0][1]] == [1.0, -1.0]


def test_o1_pruners_weights_have_mean_0_and_deviation_1_over_the_set():
  rng = np.random.default_rng(0)
  problems = [
    problem(rng.integers(5, 90, 8), rng.random(8) < 0.6) for _ in range(40)
  ]
  found = training_sets.o1_pruner(
    problems, uniforms=rng.random((40, 8)), used=3, alpha=5.0, low=-2, high=4
  )
  weights = [p.weight for _, picked in found.groups for p in picked]
  assert len(weights) == 120
  assert np.mean(weights) == pytest.approx(0, abs=1e-12)
  assert np.std(weights) == pytest.approx(1)


def test_o1_pruner_leaves_out_problems_with_too_few_samples():
  one = problem([5], [1])
  found = training_sets.o1_pruner(
    [one, EASY],
    uniforms=[[0.5], [0, 0, 0, 0]],
    used=2,
    alpha=2.0,
    low=-2.0,
    high=4.0,
  )
  assert [number for number, _ in found.groups] == [1]
  assert found.left_out == {'fewer than 2 samples': 1}


def scores_of(problem, cap):
  """The scores of the pairs of one problem."""
  found = training_sets.dast([problem], cap=cap, drop=0.0)
  return [tuple(p.score for p in picked) for _, picked in found.groups]


def test_dasts_scores_by_hand():
  # p = 3/4, mean right length 20, cap 100: a budget of 40. The right samples
  # are off it by -3/4, -1/2 and -1/4.
  assert scores_of(EASY, 100) == [(0.875, 0.625)]
  # A problem that is never right has the cap as its budget. Its samples are off
  # by -3/5, -1/5 and 1/5, of which the last has the highest score of all.
  ((longer, shorter),) = scores_of(NEVER, 50)
  assert (longer, shorter) == (-0.1, pytest.approx(-0.64))
  # Far over the budget of 10 a right response still scores 0.1.
  ((_, over),) = scores_of(problem([1, 1, 28], [1, 1, 1]), 100)
  assert over == 0.1


def test_dast_prefers_short_right_and_long_wrong_responses():
  found = training_sets.dast([EASY, NEVER], cap=100, drop=0.0)
  numbers = [number for number, _ in found.groups]
  assert numbers == [0, 1]  # One wrong response of EASY is no pair.
  (short, long), (more, less) = (picked for _, picked in found.groups)
  assert (short.index, long.index) == (0, 2)
  assert (more.index, less.index) == (2, 0)
  assert (short.weight, long.weight) == (1.0, -1.0)
  assert found.left_out == {}


def test_dast_takes_two_pairs_of_a_problem_of_both_kinds():
  both = problem([10, 20, 30, 50], [1, 1, 0, 0])
  found = training_sets.dast([both], cap=100, drop=0.0)
  assert [number for number, _ in found.groups] == [0, 0]
  indices = [[p.index for p in picked] for _, picked in found.groups]
  assert indices == [[0, 1], [3, 2]]


def test_dast_drops_the_pairs_with_the_closest_scores():
  # All right, so that the budget is the mean length: margins 0.25 and 0.05.
  apart, close = problem([30, 50], [1, 1]), problem([38, 42], [1, 1])
  equal = problem([40, 40], [1, 1])
  found = training_sets.dast([close, apart, equal], cap=100, drop=0.5)
  assert [number for number, _ in found.groups] == [1]
  assert found.left_out == {'equal scores': 1, 'too close scores': 1}


THINKING = [  # Of samples with 10, 20, 30 and 40 tokens.
  Solutions([(4, True)], 8),
  Solutions([(5, False), (9, True), (13, True)], 18),
  Solutions([(5, True), (10, True), (20, True)], 28),
  Solutions([(3, True), (6, True)], 38),
]


def test_overthink_keeps_two_right_solutions_and_the_reply():
  found = training_sets.overthink([EASY], solutions=[THINKING], keep=2)
  # Sample 2 ends after 10 tokens and 2 of the reply; sample 1 after 13 and 2.
  # Sample 3 is shorter but wrong, sample 0 has one right solution.
  cut, other = found.groups[0][1]
  assert cut == Picked(2, 10, 28, 1.0, 0.0)
  assert other == whole(2, 30, -1.0, 0.0)


def test_overthink_without_reflection_keeps_the_first_right_solution():
  found = training_sets.overthink([EASY], solutions=[THINKING], keep=1)
  assert found.groups[0][1][0] == Picked(0, 4, 8, 1.0, 0.0)


def test_overthink_keeps_one_solution_if_no_sample_has_two():
  solutions = [[Solutions([(7, True)], 9)] * 4]
  found = training_sets.overthink([EASY], solutions=solutions, keep=2)
  assert found.groups[0][1][0] == Picked(0, 7, 9, 1.0, 0.0)


def test_overthink_counts_what_it_leaves_out():
  # The only right sample is as short as it gets; or states no answer; or ends
  # in its thought.
  alone = problem([10, 20, 20, 20], [1, 0, 0, 0])
  whole_thought = [Solutions([(8, True)], 8), *THINKING[1:]]
  silent = [Solutions([], n) for n in (8, 18, 28, 38)]
  endless = [Solutions([(2, True)], n) for n in (10, 20, 30, 40)]
  found = training_sets.overthink(
    [NEVER, alone, EASY, EASY],
    solutions=[THINKING, whole_thought, silent, endless],
    keep=2,
  )
  assert list(found.groups) == []
  assert found.left_out == {'no right sample': 1, 'nothing to shorten': 3}


@pytest.mark.parametrize(
  ('call', 'what'),
  [
    (lambda: training_sets.dast([EASY], cap=9, drop=1.0), 'drop=1.0'),
    (
      lambda: training_sets.overthink([EASY], solutions=[THINKING], keep=0),
      'keep=0',
    ),
    (
      lambda: training_sets.o1_pruner(
        [EASY], uniforms=[[0] * 4], used=0, alpha=1.0, low=0.0, high=1.0
      ),
      'used=0',
    ),
  ],
)
def test_a_bad_setting_is_refused(call, what):
  with pytest.raises(ValueError, match=what):
    call()
