"""Data sets of the Hub become problem files, once; nothing is fetched here."""

import json
import multiprocessing
import pathlib

import pyarrow
import pytest
from pyarrow import parquet

from siri_jax.data import hub_sets, problems
from siri_jax.models.hf import hub

COMMIT = 40 * 'c'


@pytest.fixture
def fetched(tmp_path, monkeypatch):
  """Puts files into the folder of a name, as if they had been fetched."""
  monkeypatch.setattr(hub_sets.constants, 'HF_HOME', str(tmp_path / 'home'))

  def put(text, **files):
    name, folder = hub.parse(text), tmp_path / hub.parse(text).repo / COMMIT
    for path, rows in files.items():
      path = folder / path.replace('__', '/')
      path.parent.mkdir(parents=True, exist_ok=True)
      if path.name.endswith('_parquet'):
        table = pyarrow.Table.from_pylist(rows)
        parquet.write_table(table, path.with_name(_with_dot(path.name)))
      else:
        path.with_name(_with_dot(path.name)).write_text(json.dumps(rows))
    monkeypatch.setitem(hub._FOUND, (name, hub.data_patterns(name)), folder)
    return text

  return put


def _with_dot(name):
  stem, _, suffix = name.rpartition('_')
  return f'{stem}.{suffix}'


def _rows(*numbers, text='What is {} + 0?'):
  return [{'problem': text.format(n), 'answer': str(n)} for n in numbers]


def _texts(path):
  return [problem.text for problem in problems.read(path)]


def test_a_path_is_itself():
  path = hub_sets.problem_file('data/train.jsonl')
  assert path == pathlib.Path('data/train.jsonl')


def test_a_set_is_prepared_with_a_card_and_its_commit(fetched):
  rows = [*_rows(1, 1, 2), {'problem': 'Prove it.', 'answer': ''}]
  path = hub_sets.problem_file(fetched('me/sums', sums_json=rows), {})
  found = problems.read(path)
  assert [p.text for p in found] == ['What is 1 + 0?', 'What is 2 + 0?']
  assert [p.id for p in found] == ['sums-1', 'sums-3']
  card = json.loads(path.with_suffix('.card.json').read_text())
  assert card['hub'] == f'me/sums@{COMMIT}'
  assert (card['rows'], card['duplicate_rows'], card['bad_rows']) == (3, 1, 1)


def test_training_problems_that_are_held_out_are_dropped(fetched, tmp_path):
  held = fetched('me/test', data__test_parquet=_rows(2))
  train = fetched('me/sums', train_json=_rows(1, 2, 3))
  file = hub_sets.problem_file(held)
  assert _texts(file) == ['What is 2 + 0?']
  path = hub_sets.problem_file(train, {'test': file})
  assert _texts(path) == ['What is 1 + 0?', 'What is 3 + 0?']
  # Other held-out sets are another preparation.
  assert len(_texts(hub_sets.problem_file(train, {}))) == 3


def test_a_held_out_set_must_be_whole(fetched):
  bad = [*_rows(1), {'problem': 'Prove it.', 'answer': ''}]
  name = fetched('me/test', test_json=bad)
  with pytest.raises(
    ValueError, match=r'me/test@main: 1 bad rows(.|\n)*test\.'
  ):
    hub_sets.problem_file(name)


def test_the_shards_of_a_split_are_one_set(fetched):
  shards = {
    f'data__train-0000{n}-of-00002_parquet': _rows(n + 1) for n in range(2)
  }
  name = fetched('me/sums:train', **shards, dataset_infos_json={})
  assert len(_texts(hub_sets.problem_file(name, {}))) == 2


@pytest.mark.parametrize('split', ['', ':dev'])
def test_a_split_is_named_if_there_are_several(fetched, split):
  files = dict(data__test_json=_rows(1), train_json=_rows(2))
  name = fetched(f'me/sums{split}', **files)
  with pytest.raises(ValueError, match='one of :data/test, :train'):
    hub_sets.problem_file(name, {})
  for spelt in ('test', 'data/test', 'data/test.json'):
    name = fetched(f'me/sums:{spelt}', **files)
    assert _texts(hub_sets.problem_file(name, {})) == ['What is 1 + 0?']


def _prepare(name, found, home, start, ends):
  hub_sets.constants.HF_HOME = home
  hub._FOUND.update(found)
  start.wait()
  ends.put(str(hub_sets.problem_file(name, {})))


@pytest.mark.slow
def test_two_processes_prepare_a_set_once(fetched, tmp_path, capfd):
  name = fetched('me/sums', train_json=_rows(*range(500)))
  context = multiprocessing.get_context('spawn')
  start, ends = context.Barrier(2), context.Queue()
  given = (name, dict(hub._FOUND), str(tmp_path / 'home'), start, ends)
  both = [context.Process(target=_prepare, args=given) for _ in range(2)]
  for process in both:
    process.start()
  paths = {ends.get(timeout=60) for _ in both}
  for process in both:
    process.join()
  assert len(paths) == 1
  assert capfd.readouterr().err.count('preparing me/sums@main, once') == 1
