"""Differences in a run's table, paired by problem if samples exist."""

import gzip
import math

import pytest
from made_runs import evaluation, make, sample

from siri_jax.analysis import run_table, runs
from siri_jax.runtime import files


def measured(path, step, name, outcomes):
  """Writes an evaluation's samples: problem -> ([right], [length])."""
  rows = [
    sample(problem_id=problem, index=i, correct=right, length=length)
    for problem, columns in outcomes.items()
    for i, (right, length) in enumerate(zip(*columns, strict=True))
  ]
  target = path / f'eval/{step:06d}/{name}.jsonl.gz'
  target.parent.mkdir(parents=True, exist_ok=True)
  text = ''.join(files.to_json(row) + '\n' for row in rows)
  target.write_bytes(gzip.compress(text.encode()))


BEFORE = {'a': ([True, True], [10, 10]), 'b': ([False, False], [90, 90])}
AFTER = {'a': ([True, True], [8, 8]), 'b': ([False, True], [86, 86])}


def test_the_error_of_a_difference_is_that_over_paired_problems(tmp_path):
  path = make(tmp_path / 'run')
  measured(path, 0, 'easy', BEFORE)
  measured(path, 8, 'easy', AFTER)
  run = runs.read(path)
  found = run_table.paired_errors([(run, 8, 'easy')], [(run, 0, 'easy')])
  # Accuracy rises by 0 and 50 points, length by -2 and -4: deviations of
  # 50 / sqrt(2) and 2 / sqrt(2), over sqrt(2) problems.
  assert found == pytest.approx({'accuracy': 25.0, 'length': 1.0})


def test_the_error_of_two_sets_is_that_of_their_mean(tmp_path):
  path = make(tmp_path / 'run')
  for name in ('easy', 'hard'):
    measured(path, 0, name, BEFORE)
    measured(path, 8, name, AFTER)
  run = runs.read(path)
  ones, others = ([(run, at, s) for s in ('easy', 'hard')] for at in (8, 0))
  found = run_table.paired_errors(ones, others)
  assert found['accuracy'] == pytest.approx(25 * math.sqrt(2) / 2)


def test_without_samples_or_with_other_problems_there_is_no_error(tmp_path):
  path = make(tmp_path / 'run')
  run = runs.read(path)
  source = [(run, 0, 'easy')], [(run, 8, 'easy')]
  assert run_table.paired_errors(*source) is None
  measured(path, 0, 'easy', BEFORE)
  measured(path, 8, 'easy', {'a': BEFORE['a']})
  assert run_table.paired_errors(*source) is None


def test_the_table_marks_a_difference_by_its_paired_error(tmp_path):
  # 30 different problems, each a little better: the gain has little noise.
  name = evaluation(0, 'start', 0.5, 50.0)['set']
  points = [
    {**evaluation(0, 'start', 0.5, 50.0), 'accuracy_se': 0.08},
    {**evaluation(16, 'end', 0.58, 40.0), 'accuracy_se': 0.08},
  ]
  path = make(tmp_path / 'run', evals=points)
  for step, gain in ((0, 0), (16, 2)):
    outcomes = {
      f'p{i}': (
        [n < 4 + i % 16 + gain for n in range(25)],
        [50 - 5 * gain] * 25,
      )
      for i in range(30)
    }
    measured(path, step, name, outcomes)
  (line,) = [x for x in run_table.text([path]).splitlines() if 'its start' in x]
  assert '~' not in line
  assert '+8.0  ' in line
