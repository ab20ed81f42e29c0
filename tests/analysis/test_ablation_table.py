"""The table of arms: means, errors and paired intervals by hand."""

import json
import re

import numpy as np
import pytest
import test_dataframes

from siri_jax.analysis import ablation_table
from siri_jax.runtime import run_folder


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
  # In another order than in the other run: problems are joined by id.
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
  frame = ablation_table.Ablation(arms).table().set_index('arm')
  assert frame.loc['one', 'accuracy'] == 37.5
  assert frame.loc['one', 'accuracy_se'] == pytest.approx(12.5)
  assert frame.loc['two', 'accuracy_diff'] == 25
  # Each problem of each seed is 5 tokens shorter.
  for part in ('diff', 'low', 'high'):
    assert frame.loc['two', f'length_{part}'] == -5
  # Differences by seed and problem: [0 0 1 0] and [0 1 0 0]. Squares: seeds 0,
  # problems 1 / 6 with 3 degrees of freedom, the rest 1 / 3 with 3. So the
  # variance is 1 / 6 / 8, its degrees (1 / 6)^2 / (1 / 36 + 1 / 9) * 3 = 0.6,
  # of which there is 1 at least: t = 12.706.
  edge = 100 * 12.7062 * (1 / 48) ** 0.5
  assert frame.loc['two', 'accuracy_low'] == pytest.approx(25 - edge, rel=1e-4)
  assert frame.loc['two', 'accuracy_high'] == pytest.approx(25 + edge, rel=1e-4)
  assert frame.loc['two', 'pairs'] == 2
  # (0.75 / 0.5 - 1) / (20 / 50) and 0.
  assert frame.loc['two', 'efficiency'] == pytest.approx((1.25 + 0) / 2)
  assert np.isnan(frame.loc['one', 'accuracy_diff'])


def test_a_run_without_that_evaluation_is_left_out(tmp_path):
  there = arm(tmp_path / 'a', 0, [1, 0], [10, 20])
  arms = {'one': {'0': there, '1': tmp_path / 'not yet'}}
  assert ablation_table.Ablation(arms).table()['runs'].tolist() == [1]
  assert np.isnan(ablation_table.Ablation(arms).table()['accuracy_se'][0])
  assert len(ablation_table.Ablation(arms).table(at=3)) == 0
  assert 'No run' in ablation_table.text(
    ablation_table.Ablation(arms).table(at=3)
  )


def test_one_seed_gives_a_difference_without_an_interval(tmp_path):
  arms = {
    'one': {'0': arm(tmp_path / 'a', 0, [1, 1, 0, 0], [10, 20, 30, 40])},
    'two': {'0': arm(tmp_path / 'b', 0, [1, 1, 1, 0], [5, 15, 25, 35])},
  }
  frame = ablation_table.Ablation(arms).table()
  assert frame['accuracy_low'].isna().all()
  assert '+25.0 †' in ablation_table.text(frame)
  assert '† One seed:\nno interval' in ablation_table.NOTES


def two_arms(folder):
  return ablation_table.Ablation(
    {
      'one': {'0': arm(folder / 'a', 0, [1, 1, 0, 0], [10, 20, 30, 40])},
      'two': {'0': arm(folder / 'b', 0, [1, 1, 1, 0], [5, 15, 25, 35])},
    }
  )


def test_chosen_arms_are_compared_with_the_first_of_them(tmp_path):
  chosen = two_arms(tmp_path).only('two', 'one')
  assert chosen.table()['arm'].tolist() == ['two', 'one']
  assert chosen.table()['accuracy_diff'][1] == -25
  assert [run.name for run in chosen.runs] == ['b', 'a']
  assert '| two ' in chosen._repr_markdown_()
  with pytest.raises(ValueError, match=r"\['three'\]; choose from"):
    chosen.only('three')


def test_the_change_between_a_point_and_itself_is_nothing(tmp_path):
  changes = two_arms(tmp_path).change('length', 4, 4)
  assert changes == {'one': (0, 0, 0), 'two': (0, 0, 0)}


@pytest.mark.parametrize(
  'text', ['', '[1]', '{}', '{"runs": [1]}', '{"runs": [{"arm": "a"}]}']
)
def test_a_damaged_list_of_runs_is_named(tmp_path, text):
  listed = tmp_path / 'ablation.json'
  listed.write_text(text)
  with pytest.raises(ValueError, match=re.escape(str(listed))):
    ablation_table.read(tmp_path)
