"""Presampling: its table by hand, killed and continued, extended, refused."""

import gzip
import json
import math
import shutil

import numpy as np
import pytest

from siri_jax.analysis import runs
from siri_jax.commands import presample as command
from siri_jax.data import reference
from siri_jax.offline import presample
from siri_jax.runtime import exit_status, run_folder


def sample(folder, cache, *more):
  """The exit status of presampling eight problems, two samples each."""
  return command.main(
    [
      '--config=tests/helpers/tiny.py',
      f'--workdir={folder}',
      f'--config.cache_dir={cache}',
      '--config.schedule=constant',
      '--config.schedule_kw={"cap": 8}',
      '--problems=8',
      '--samples=2',
      *more,
    ]
  )


@pytest.fixture(scope='module')
def taken(tmp_path_factory, cache):
  run = tmp_path_factory.mktemp('taken') / 'run'
  assert sample(run, cache) == exit_status.DONE
  return run / 'presample'


def contents(folder):
  """The samples and the table, as bytes."""
  paths = [*(folder / 'rollouts').iterdir(), folder / reference.TABLE]
  return {path.name: path.read_bytes() for path in paths}


def row(length, correct, index=0):
  return dict(problem_id='p', index=index, length=length, correct=correct)


def test_a_line_counts_right_samples_and_their_lengths():
  rows = [row(10, True), row(40, False), row(6, True), row(20, False)]
  assert reference.of_samples(rows) == reference.Reference(
    'p', 4, 2, 0.5, 19.0, 8.0, 6.0
  )


def test_a_problem_that_is_never_right_has_no_correct_lengths(tmp_path):
  table = tmp_path / 'reference.jsonl'
  reference.write(table, [reference.of_samples([row(10, False)])])
  (line,) = table.read_text().splitlines()
  assert json.loads(line) == dict(
    problem_id='p',
    samples=1,
    correct=0,
    accuracy=0.0,
    length=10.0,
    length_correct=None,
    shortest_correct=None,
  )
  found = reference.read(table)['p']
  assert math.isnan(found.length_correct)
  assert math.isnan(found.shortest_correct)


def test_a_table_of_something_else_is_refused(tmp_path):
  table = tmp_path / 'reference.jsonl'
  table.write_text('{"problem_id": "p"}\n')
  with pytest.raises(ValueError, match=r'reference\.jsonl:1 has problem_id; a'):
    reference.read(table)
  with pytest.raises(OSError, match=r'none\.jsonl'):
    reference.read(tmp_path / 'none.jsonl')


def test_every_problem_has_its_samples_once_and_a_line(taken):
  table = reference.read(taken / reference.TABLE)
  groups = list(presample.samples_in(taken))
  assert [rows[0]['problem_id'] for rows in groups] == list(table)
  assert len(table) == 8
  for rows in groups:
    assert [(r['seed'], r['index']) for r in rows] == [(0, 0), (0, 1)]
    assert all(r['length'] == len(r['response_ids']) <= 8 for r in rows)
    assert table[rows[0]['problem_id']] == reference.of_samples(rows)


def test_analysis_reads_the_folder_as_a_run(taken):
  found = runs.read(taken)
  assert list(found.sample_files('rollouts')) == list(range(8))
  assert runs.sampled_lengths(taken).lengths.size == 16


class KilledError(BaseException):
  """Simulates a kill: no code of the program catches it."""


@pytest.mark.slow
@pytest.mark.parametrize('call', [1, 5])
def test_killed_presampling_continues_with_the_same_bits(
  taken, tmp_path, cache, monkeypatch, call
):
  write, calls = run_folder.RunFolder.write_rollouts, []

  def dying(self, number, rows):
    calls.append(number)
    if len(calls) == call:
      raise KilledError
    write(self, number, rows)

  with monkeypatch.context() as patch:
    patch.setattr(run_folder.RunFolder, 'write_rollouts', dying)
    with pytest.raises(KilledError):
      sample(tmp_path, cache)
  assert not (tmp_path / 'presample' / reference.TABLE).exists()
  assert sample(tmp_path, cache) == exit_status.DONE
  assert contents(tmp_path / 'presample') == contents(taken)


def test_finished_presampling_samples_nothing(taken, cache, monkeypatch):
  before = contents(taken)
  monkeypatch.setattr(
    run_folder.RunFolder, 'write_rollouts', lambda *_: pytest.fail('sampled')
  )
  assert sample(taken.parent, cache) == exit_status.DONE
  assert contents(taken) == before


@pytest.mark.slow
def test_more_samples_and_another_seed_add_to_those_that_are_there(
  taken, tmp_path, cache
):
  before = list(presample.samples_in(taken))
  for more in ('--samples=3', '--config.seed=1', '--config.seed=0'):
    assert sample(tmp_path, cache, more) == exit_status.DONE
  after = list(presample.samples_in(tmp_path / 'presample'))
  keys = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
  assert [[(r['seed'], r['index']) for r in rows] for rows in after] == [
    keys
  ] * 8
  assert [rows[:2] for rows in after] == before
  ids = [r['response_ids'] for rows in after for r in rows[2:]]
  assert len(np.unique([str(i) for i in ids])) > 8


def test_samples_of_another_policy_or_cap_are_refused(taken, cache, capsys):
  changed = '--config.temperature=0.5', '--config.schedule_kw={"cap": 6}'
  for change, name in zip(changed, ('temperature', 'of.cap'), strict=True):
    assert sample(taken.parent, cache, change) == exit_status.REFUSED
    assert f'{name}: ' in capsys.readouterr().err


def test_an_unfinished_folder_is_refused(tmp_path):
  with pytest.raises(ValueError, match='run it again to finish it'):
    list(presample.samples_in(tmp_path))


def test_a_damaged_file_is_named(taken, tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(taken, copy)
  with gzip.open(copy / 'rollouts/000003.jsonl.gz', 'wt') as file:
    file.write('{"problem_id": 3}\n')
  with pytest.raises(ValueError, match='000003'):
    list(presample.samples_in(copy))
