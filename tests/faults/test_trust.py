"""Safety: API keys, text of models, and files."""

import json
import os
import subprocess
import sys

import launch
import pytest

from siri_jax.runtime import credentials, exit_status, run_folder
from siri_jax.runtime import files as disk

pytestmark = [
  pytest.mark.faults,
]

KEYS = [
  'hf_' + 'aB3' * 12,
  'sk-proj-' + 'aB3_' * 10,
  'ghp_' + 'aB3' * 12,
  'AKIA' + 'A1' * 8,
  'xoxb-' + '1234-' * 8,
  '0f' * 20,
  '-----BEGIN RSA PRIVATE KEY-----',
  'https://me:hush7@node7:1/x',
]


@pytest.mark.parametrize('key', KEYS)
def test_a_value_that_looks_like_a_key_is_refused_and_not_shown(
  tmp_path, cache, capsys, key
):
  run = tmp_path / 'run'
  more = f'--config.cache_dir={tmp_path}/with {key}'
  assert launch.here(run, cache, more) == exit_status.REFUSED
  said = capsys.readouterr().err
  assert 'cache_dir holds what looks like a key' in said
  assert key not in said
  assert not run.exists()


@pytest.mark.parametrize(
  'value',
  [
    f'/models--a--b/snapshots/{"0f" * 20}/',
    f'owner/name@{"0f" * 20}',
    f'owner/name@{"0f" * 20}:train',
    'runs/quickstart',
    'sk-short',
    'http://node7:8000/a@b',
    'http://me@node7:8000',
    1e-6,
    ('tensorboard',),
  ],
)
def test_a_value_that_only_resembles_a_key_is_accepted(value):
  assert credentials.faults({'name': value}) == []


def test_a_key_on_the_command_line_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'orig_argv', ['python', f'--note={KEYS[0]}'])
  with pytest.raises(run_folder.RunFolderError, match='the command line holds'):
    run_folder.RunFolder(tmp_path / 'run', {}, source='', overrides={})
  assert not (tmp_path / 'run').exists()


def test_model_text_cannot_control_a_terminal_or_break_a_record():
  text = '\x1b[2J\x1b]0;owned\x07\r\n\u2028</script>\x00\ud83d'
  line = disk.to_json({'response': text})
  assert line.isascii()
  assert line.isprintable()
  assert json.loads(line) == {'response': text}


def files(folder):
  return {p for p in folder.rglob('*') if p.is_file()}


@pytest.mark.slow
def test_a_run_writes_only_to_its_folder_and_its_cache(tmp_path, cache):
  home, elsewhere = tmp_path / 'home', tmp_path / 'elsewhere'
  for folder in (home, elsewhere):
    folder.mkdir()
  words = launch.arguments(tmp_path / 'run', cache)
  words = [
    w.replace('tests/helpers/tiny', f'{launch.ROOT}/tests/helpers/tiny')
    for w in words
  ]
  subprocess.run(
    [sys.executable, '-m', 'siri_jax.main', *words, '--config.total_steps=1'],
    cwd=elsewhere,
    env={
      **os.environ,
      'HOME': str(home),
      'PYTHONPATH': str(launch.ROOT),
      'JAX_NUM_CPU_DEVICES': '8',  # As in the tests, for cached programs.
    },
    check=True,
    stdout=subprocess.DEVNULL,
  )
  assert files(elsewhere) == set()
  # Matplotlib keeps a list of the machine's fonts.
  assert {p for p in files(home) if 'matplotlib' not in p.parts} == set()
  assert {p.name for p in tmp_path.iterdir()} == {'home', 'elsewhere', 'run'}
