"""The documented command with the real tokenizer and problems."""

import gzip
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import launch
import pytest

from siri_jax.grading import extract
from siri_jax.runtime import exit_status
from tools import soak

pytestmark = pytest.mark.slow
DOCUMENT = pathlib.Path(__file__).parents[2] / 'docs/data.md'


def documented(data):
  """The arguments of the command of docs/data.md for the paper's config."""
  blocks = re.findall(r'^```\n(.*?)^```', DOCUMENT.read_text(), re.M | re.S)
  (block,) = [b for b in blocks if 'siri_jax.main --config=configs/cos' in b]
  command = block[block.index('--config=') :].replace('$DATA', str(data))
  return shlex.split(command.replace('\\\n', ' '))


def run(data, cache, folder):
  """Runs it with fewer problems; returns its output."""
  few = folder.with_name('few.jsonl')  # The whole set takes a minute to read.
  text = (data / 'problems/deepscaler_train.jsonl').read_text()
  lines = text.splitlines(keepends=True)
  few.write_text(''.join(lines[:500] + sorted(lines, key=len)[-5:]))
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'siri_jax.main', *documented(data)),
      *(f'--workdir={folder}', f'--config.cache_dir={cache}'),
      *(f'--config.task_kw.train={few}', '--config.eval_kw.samples=1'),
      '--config.total_steps=2',
    ],
    cwd=launch.ROOT,
    env={**os.environ, 'JAX_NUM_CPU_DEVICES': '1', 'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
  )
  assert done.returncode == exit_status.DONE, done.stdout + done.stderr
  return done.stdout


def rows_of(path):
  return [json.loads(line) for line in gzip.open(path, 'rt')]


def test_the_documented_command_trains_on_real_problems(
  shared_data, cache, tmp_path
):
  folder = tmp_path / 'run'
  said = run(shared_data, cache, folder)
  assert re.search(r'[1-5] prompts over 512 tokens dropped', said)
  first = soak.untimed(folder / 'metrics.jsonl')
  assert [r['step'] for r in first] == [0, 1]
  for record in first:
    assert record['length_mean'] <= record['cap'] <= 32
    assert record['tokens'] == 8 * record['length_mean']
    assert 11 < record['entropy'] < 12  # Random policy: log(151665) = 11.93.
  (start, end) = launch.records(folder, 'eval')
  assert (start['set'], start['problems'], start['kind']) == (
    'aime24',
    30,
    'start',
  )
  assert end['step'] == 2
  rows = rows_of(folder / 'rollouts' / '000000.jsonl.gz')
  assert len(rows) == 8
  for row in rows:
    # It never ends its thought, so no answer is found.
    assert extract.after_thought(row['response'], 'continuation') is None
    assert (row['correct'], row['why']) == (False, 'unfinished thought')
