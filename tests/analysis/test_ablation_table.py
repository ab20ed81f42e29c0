"""Arms beside one another: means, errors and paired intervals by hand."""

import json

import numpy as np
import pytest
import test_dataframes

from siri_jax.analysis import ablation_table
from siri_jax.runtime import run_folder


def test_a_difference_without_spread_has_no_interval():
  one = np.random.default_rng(0).random((3, 20))
  drawn = ablation_table.paired_bootstrap(one, one + 0.25, draws=50)
  np.testing.assert_allclose(drawn, 0.25, rtol=1e-12)


def test_the_pairs_are_drawn_with_their_seeds_and_problems():
  draw = np.random.default_rng(1)
  one, other = draw.random((4, 30)), draw.random((4, 30))
  fast = ablation_table.paired_bootstrap(one, other, draws=20_000)
  slow = []
  for _ in range(4000):
    seeds, problems = draw.integers(0, 4, 4), draw.integers(0, 30, 30)
    gap = other - one
    slow.append(gap[np.ix_(seeds, problems)].mean())
  assert np.mean(fast) == pytest.approx(np.mean(slow), abs=0.005)
  assert np.std(fast) == pytest.approx(np.std(slow), rel=0.05)


def test_with_one_seed_the_spread_is_that_of_problems_alone():
  gap = np.random.default_rng(2).normal(size=(1, 400))
  drawn = ablation_table.paired_bootstrap(np.zeros_like(gap), gap, draws=20_000)
  assert np.std(drawn) == pytest.approx(np.std(gap) / 20, rel=0.03)


def arm(folder, seed, right, lengths):
  """A run's folder whose last evaluation got these problems right."""
  accuracy, length = np.mean(right), np.mean(lengths)
  records = [
    test_dataframes.evaluation(0, 'start', 0.5, 50.0),
    test_dataframes.evaluation(4, 'end', accuracy, length),
  ]
  settings = {'seed': seed, 'total_steps': 4}
  test_dataframes.make(folder, steps=4, evals=records, **settings)
  rows = [
    {'problem_id': f'p{i}', 'correct': bool(r), 'length': n}
    for i, (r, n) in enumerate(zip(right, lengths, strict=True))
  ]
  # In another order than the other run's: they are joined by their ids.
  with run_folder.RunFolder(
    folder,
    json.loads((folder / 'config.json').read_text()),
    source='configs/a.py',
    overrides={},
  ) as made:
    made.write_evaluation(4, 'held_out', rows[::-1] if seed else rows)
  return folder


def test_arms_are_compared_with_the_first_by_hand(tmp_path):
  arms = {
    'one': {
      '0': arm(tmp_path / 'a', 0, [1, 1, 0, 0], [10, 20, 30, 40]),
      '1': arm(tmp_path / 'b', 1, [1, 0, 0, 0], [10, 20, 30, 40]),
    },
    'two': {
      '0': arm(tmp_path / 'c', 0, [1, 1, 1, 0], [5, 15, 25, 35]),
      '1': arm(tmp_path / 'd', 1, [1, 1, 0, 0], [5, 15, 25, 35]),
    },
  }
  frame = ablation_table.compared(arms, draws=200).set_index('arm')
  assert frame.loc['one', 'accuracy'] == 37.5
  assert frame.loc['one', 'accuracy_se'] == pytest.approx(12.5)
  assert frame.loc['two', 'accuracy_diff'] == 25
  # Every draw of problems has each 5 tokens shorter.
  for part in ('diff', 'low', 'high'):
    assert frame.loc['two', f'length_{part}'] == -5
  assert frame.loc['two', 'accuracy_low'] <= 25
  assert frame.loc['two', 'accuracy_high'] >= 25
  # (0.75 / 0.5 - 1) / (20 / 50) and 0.
  assert frame.loc['two', 'efficiency'] == pytest.approx((1.25 + 0) / 2)
  assert np.isnan(frame.loc['one', 'accuracy_diff'])


def test_a_run_without_that_evaluation_is_left_out(tmp_path):
  there = arm(tmp_path / 'a', 0, [1, 0], [10, 20])
  arms = {'one': {'0': there, '1': tmp_path / 'not yet'}}
  assert ablation_table.compared(arms)['runs'].tolist() == [1]
  assert np.isnan(ablation_table.compared(arms)['accuracy_se'][0])
  assert len(ablation_table.compared(arms, at=3)) == 0
  assert 'No run' in ablation_table.text(ablation_table.compared(arms, at=3))
