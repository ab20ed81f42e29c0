"""LIMR's selection: by hand, against its code as loops, and by the command."""

import gzip
import json

import builders
import made_runs
import numpy as np
import pytest

from siri_jax import types
from siri_jax.commands import select
from siri_jax.data import load, problems, selection
from siri_jax.runtime import exit_status, files
from tests.helpers import tiny


def test_three_problems_in_two_epochs_by_hand():
  # The means are 1/4 and 3/4. 1 - rbar: 3/4 and 1/4, whose squares add to 5/8.
  accuracy = [[0.25, 0.75], [0.5, 1.0], [0.0, 0.5]]
  # Apart: 0; 1/16 + 1/16; 1/16 + 1/16.
  np.testing.assert_allclose(selection.scores(accuracy), [1, 0.8, 0.8])


def test_an_epoch_without_samples_has_the_next_ones_accuracy_by_hand():
  nan = np.nan
  accuracy = [[nan, 0.5, 1.0], [0.5, 0.5, 1.0], [nan, nan, 1.0], [0, 0, nan]]
  found = selection.scores(accuracy)
  np.testing.assert_allclose(found, [1, 1, nan, nan])


@pytest.mark.parametrize(
  ('accuracy', 'why'),
  [
    ([[1.0, 1.0]], 'every problem is right in every epoch'),
    ([[1.0, np.nan]], 'no problem has an accuracy in every epoch'),
  ],
)
def test_accuracies_without_a_score_are_refused(accuracy, why):
  with pytest.raises(ValueError, match=why):
    selection.scores(accuracy)


def limr(accuracy, least):
  """The problems that lim/lim_selection.py keeps, as its loops do."""
  sequences = {
    number: [-1 if np.isnan(x) else x for x in row]
    for number, row in enumerate(accuracy)
  }
  for own in sequences.values():
    for i in range(len(own) - 1):
      if own[i] == -1 and own[i + 1] != -1:
        own[i] = own[i + 1]
  valid = {n: own for n, own in sequences.items() if -1 not in own}
  means = [
    sum(epoch) / len(valid) for epoch in zip(*valid.values(), strict=True)
  ]
  kept = []
  for number, own in valid.items():
    apart = sum((a - b) ** 2 for a, b in zip(own, means, strict=True))
    most = sum((1 - b) ** 2 for b in means)
    if 1 - apart / most >= least:
      kept.append(number)
  return kept


@pytest.mark.parametrize('seed', range(5))
def test_the_problems_kept_are_those_of_its_code(seed):
  rng = np.random.default_rng(seed)
  level = np.linspace(0.2, 0.8, 6) + 0.3 * rng.normal(size=(40, 1))
  accuracy = rng.binomial(8, np.clip(level, 0, 1)) / 8
  accuracy[rng.random(accuracy.shape) < 0.05] = np.nan
  train = [builders.make_problem(number) for number in range(40)]
  kept, summary = select.select(train, accuracy, 0.6)
  expected = limr(accuracy, 0.6)
  assert [p.id for p in kept] == [f'p{number}' for number in expected]
  assert 0 < summary['kept'] < 40
  assert summary['kept'] + summary['below'] + summary['unknown'] == 40


def test_samples_are_counted_by_epoch():
  rows = [
    dict(problem_id=name, step=step, correct=right)
    for name, step, right in (
      *(('a', 0, True), ('a', 1, False), ('b', 1, True)),
      *(('b', 2, False), ('b', 4, True)),  # Epoch 2 does not count.
    )
  ]
  found = selection.by_epoch(rows, ['a', 'b'], epoch_steps=2, epochs=2)
  np.testing.assert_array_equal(found, [[0.5, np.nan], [1, 0]])
  with pytest.raises(ValueError, match="sampled problem 'b'"):
    selection.by_epoch(rows, ['a'], epoch_steps=2, epochs=2)


def test_a_task_trains_on_the_problems_of_a_file_alone(tmp_path):
  path = tmp_path / 'some.jsonl'
  train = [builders.make_problem(number) for number in range(4)]
  task = types.Task(train, {}, None, None, (0,), 9, {'data': 'all'})
  selection.write(path, [train[3], train[1]], {'kept': 2})
  assert problems.read(path) == [train[3], train[1]]
  assert json.loads(path.with_suffix('.card.json').read_text()) == {'kept': 2}
  found = selection.only(task, str(path))
  assert found.train == [train[1], train[3]]
  assert found.fingerprints['data'] == problems.fingerprint(found.train)
  assert selection.only(task, '') is task
  other = types.Task(train[:2], {}, None, None, (0,), 9, {})
  with pytest.raises(ValueError, match=r"has 1 problems that .* such as 'p3'"):
    selection.only(other, str(path))


@pytest.fixture
def run(tmp_path):
  """The samples of four steps of 32 problems: two epochs of the tiny config.

  A problem of an even place is learned in the second epoch, the others never.
  """
  ids = [problem.id for problem in load.read(tiny.get_config())[0].train]
  folder = tmp_path / 'run'
  (folder / 'rollouts').mkdir(parents=True)
  (folder / 'metrics.jsonl').write_text('{}\n' * 4)
  for step in range(4):
    own = ids[32 * (step % 2) :][:32]
    rows = [
      made_runs.sample(
        step=step, problem_id=name, correct=step > 1 and not place % 2
      )
      for place, name in enumerate(own)
    ]
    text = ''.join(files.to_json(row) + '\n' for row in rows)
    path = folder / 'rollouts' / f'{step:06d}.jsonl.gz'
    path.write_bytes(gzip.compress(text.encode()))
  return folder, ids


def test_the_command_selects_from_a_run_and_names_a_missing_step(run, capsys):
  folder, ids = run
  words = [
    '--config=tests/helpers/tiny.py',
    f'--workdir={folder}',
    '--config.prompts_per_step=32',
  ]
  # The means are 0 and 1/2, and each problem is 1/2 apart in one epoch:
  # 1 - (1/4) / (1 + 1/4) = 0.8.
  assert select.main(words) == exit_status.DONE
  assert '64 of 64 problems; 0 score below 0.6' in capsys.readouterr().out
  card = files.read_object(folder / 'selected.card.json')
  assert (card['kept'], card['below'], card['accuracy']) == (64, 0, [0, 0.5])
  assert select.main([*words, '--least=0.9']) == exit_status.REFUSED
  assert 'the highest is 0.8, so set --least' in capsys.readouterr().err
  (folder / 'rollouts' / '000003.jsonl.gz').unlink()
  assert select.main(words) == exit_status.REFUSED
  assert '000003.jsonl.gz is missing' in capsys.readouterr().err
  # The first epoch alone, in which all are alike: each is the average.
  assert select.main([*words, '--epochs=1']) == exit_status.DONE
  kept = [problem.id for problem in problems.read(folder / 'selected.jsonl')]
  assert kept == ids
  assert select.main([*words, '--epochs=3']) == exit_status.REFUSED
  assert 'has 2 whole epochs of 2 steps' in capsys.readouterr().err
