"""Needed and redundant checks of responses, by hand."""

import pytest
from made_runs import evaluation, make, sample

from siri_jax.analysis import runs
from siri_jax.evaluation import checks
from siri_jax.runtime import run_folder

PROBLEM = '4 #1 2 0 #2 3 7 #3 2 4'
# Step 1 is easy: its check is redundant. Steps 2 and 3 are hard: 2 has a needed
# check and a further one, 3 has none and is right by chance.
RESPONSE = (
  '#1 2 0 6 wait 6 0 6 #2 3 7 0 wait 9 0 9 wait 9 0 9 #3 2 4 1 </think> 1'
)
SLIP = '#1 2 0 6 #2 3 7 0 #3 2 4'  # 9 would be right; step 3 is not whole.


@pytest.fixture
def run(tmp_path):
  evals = [evaluation(0, 'start', 0.5, 50.0), evaluation(4, 'end', 0.5, 50.0)]
  make(tmp_path, steps=4, evals=evals)
  text = dict(problem=PROBLEM, answer='1')
  rows = [
    {'step': 4, **sample(**text, response=RESPONSE, length=27)},
    {
      'step': 4,
      **sample(**text, index=1, response=SLIP, correct=False, length=11),
    },
  ]
  info = runs.read(tmp_path)
  with run_folder.RunFolder(
    tmp_path, info.config, source='configs/a.py', overrides={}
  ) as folder:
    folder.write_evaluation(4, 'held_out', rows)
    folder.write_rollouts(2, [{**row, 'step': 2} for row in rows])
  return runs.read(tmp_path)


def test_checks_are_needed_at_hard_steps_once_and_redundant_else(run):
  found = checks.table([run])
  counts = ['steps', 'hard_steps', 'needed', 'redundant', 'slips_left']
  rows = found[found['of'] == 'evaluation'][counts].to_numpy().tolist()
  assert rows == [[3, 2, 1, 2, 0], [3, 1, 0, 0, 1]]


def test_a_row_has_the_cap_that_its_policy_was_trained_under(run):
  found = checks.table([run]).set_index('of')
  caps = run.column('cap')
  assert found.loc['evaluation', 'cap'].tolist() == [caps[3]] * 2
  assert found.loc['training', 'cap'].tolist() == [caps[2]] * 2
  assert found.loc['training', 'correct'].tolist() == [True, False]


def test_a_run_of_another_task_is_refused(tmp_path):
  other = runs.read(make(tmp_path / 'text', task='jsonl'))
  with pytest.raises(ValueError, match='text: not the built-in task'):
    checks.table([other])
