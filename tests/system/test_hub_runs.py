"""A run by Hub names, from a server on this machine."""

import json
import os
import subprocess
import sys

import builders
import fake_hub
import launch
import pyarrow
import pytest
import tiny_tokenizer
from pyarrow import parquet

from siri_jax.data import chat
from siri_jax.models.hf import export
from siri_jax.runtime import exit_status

CONFIG = """
from siri_jax.config import base
from tests.helpers import tiny

def get_config():
  c = tiny.get_config()
  c.total_steps = 2
  c.task, c.task_kw = 'jsonl', base.get_config().task_kw
  c.task_kw.update(train='me/sums@main:train', instruction='{problem}')
  c.task_kw.evals = {'held': 'me/held'}
  c.policy, c.model_path = 'pretrained', 'me/tiny'
  c.max_prompt_tokens, c.update_kw.row_tokens = 40, 128
  c.grading_rule_kw.kind = 'continuation'
  return c
"""
NAMES = {
  'model_path': f'me/tiny@{fake_hub.COMMIT}',
  'task_kw.train': f'me/sums@{fake_hub.COMMIT}',
  'task_kw.evals.held': f'me/held@{fake_hub.COMMIT}',
}


def rows(*numbers):
  return [{'problem': f'{n} + 0 = ?', 'answer': str(n)} for n in numbers]


@pytest.fixture
def server(tmp_path):
  """A Hub with a model, problems in Parquet and a held-out set in JSON."""
  models, sets = (tmp_path / 'hub' / kind for kind in ('models', 'datasets'))
  tokens = tiny_tokenizer.write(tmp_path / 'tokenizer')
  talk = chat.load(
    tokens, instruction='{problem}', template_kw={}, thought=True
  )
  shape = builders.tiny_shape(vocab=talk.vocab)
  frame = export.frame_without_base(shape, tokens)
  (models / 'me').mkdir(parents=True)
  given = dict(shard_bytes=20_000, tell=lambda count: None)
  params = builders.lively(shape)
  export.write_folder(models / 'me/tiny', params, frame, {}, **given)
  for name in ('sums/data', 'held'):
    (sets / 'me' / name).mkdir(parents=True)
  table = pyarrow.Table.from_pylist(rows(*range(20), 3))
  parquet.write_table(table, sets / 'me/sums/data/train-00000-of-00001.parquet')
  (sets / 'me/sums/data/test.parquet').write_text('another split')
  (sets / 'me/held/test.json').write_text(json.dumps(rows(3, 50)))
  with fake_hub.FakeHub(tmp_path / 'hub').serving() as server:
    yield server


@pytest.fixture
def start(tmp_path, cache, server):
  """Starts the program by Hub names; returns the finished process."""
  config = tmp_path / 'by_name.py'
  config.write_text(CONFIG)

  def run(folder, *more, **settings):
    given = {'HF_HUB_OFFLINE': '0', 'HF_ENDPOINT': server.url, **settings}
    words = (f'--config={config}', f'--config.cache_dir={cache}', *more)
    return subprocess.run(
      [
        *(sys.executable, '-m', 'siri_jax.main'),
        *(*words, f'--workdir={tmp_path / folder}'),
      ],
      cwd=launch.ROOT,
      env={**os.environ, 'HF_HOME': str(tmp_path / 'home'), **given},
      capture_output=True,
      text=True,
      check=False,
    )

  return run


@pytest.mark.slow
def test_a_run_by_names_fetches_prepares_and_records_commits(
  start, server, tmp_path
):
  done = start('run')
  assert done.returncode == exit_status.DONE, done.stdout + done.stderr
  info = json.loads((tmp_path / 'run/RUN.json').read_text())
  assert info['hub'] == NAMES
  sent = server.fetched()
  assert {'config.json', 'tokenizer.json', 'test.json'} <= set(sent)
  assert 'siri_jax.json' not in sent
  assert 'data/test.parquet' not in sent
  (card,) = (tmp_path / 'home/siri_jax/me/sums').rglob('*.card.json')
  card = json.loads(card.read_text())
  assert (card['duplicate_rows'], card['dropped']['overlap']) == (1, 1)
  assert card['problems'] == 19
  # Neither a network nor the Hub is needed any more.
  for folder, settings in (
    ('offline', {'HF_HUB_OFFLINE': '1'}),
    ('cut', {'HF_ENDPOINT': 'http://127.0.0.1:9'}),
  ):
    again = start(folder, '--dry_run', **settings)
    assert again.returncode == exit_status.DONE, again.stderr
    assert '19 (0 too long)' in again.stdout
    assert 'WARNING' not in again.stdout
  assert len(server.fetched()) == len(sent)
  again = start('offline', HF_HUB_OFFLINE='1')
  assert again.returncode == exit_status.DONE, again.stdout + again.stderr


@pytest.mark.slow
def test_a_dry_run_lists_what_a_run_would_fetch_and_fetches_nothing(
  start, server
):
  done = start('run', '--dry_run')
  assert done.returncode == exit_status.DONE, done.stdout + done.stderr
  assert server.url in done.stdout
  assert 'task_kw.train: 1 file, ' in done.stdout
  assert '    me/sums@main:train\n' in done.stdout
  assert 'task_kw.evals.held: 1 file, ' in done.stdout
  assert 'no memory and no cost: the dimensions of me/tiny' in done.stdout
  assert server.fetched() == []
  cold = start('run', '--dry_run', HF_HUB_OFFLINE='1')
  assert cold.returncode == exit_status.REFUSED  # As a run would be.
  assert 'HF_HUB_OFFLINE forbids fetching it' in cold.stderr
  assert cold.stdout.count('not in the cache; the Hub was not reached') == 3


@pytest.mark.slow
def test_names_that_the_hub_refuses_are_listed_at_once(start):
  wrong = '--config.model_path=me/none', '--config.task_kw.train=me/lost'
  for more in ((), ('--dry_run',)):
    done = start('run', *wrong, *more)
    assert done.returncode == exit_status.REFUSED
    assert "task_kw.train: 'me/lost@main' is no path here" in done.stderr
    assert 'has no data set of this name' in done.stderr
    assert "model_path: 'me/none@main' is no path here" in done.stderr
    assert 'Traceback' not in done.stderr
