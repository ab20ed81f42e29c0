"""The help of the scripts in tools/, and their refusals of wrong calls."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]

SCRIPTS = sorted(
  path.name
  for path in (ROOT / 'tools').glob('*.sh')
  if path.read_text().startswith('#!')
)


@pytest.mark.parametrize('name', SCRIPTS)
@pytest.mark.parametrize('flag', ['-h', '--help'])
def test_every_script_has_its_help(name, flag):
  found = subprocess.run(
    ['bash', ROOT / 'tools' / name, flag],
    capture_output=True,
    text=True,
    cwd='/',
    env={k: v for k, v in os.environ.items() if 'SLURM' not in k},
  )
  assert (found.returncode, found.stderr) == (0, '')
  first, *_ = found.stdout.splitlines()
  assert first == (ROOT / 'tools' / name).read_text().splitlines()[1][2:]
  assert f'tools/{name}' in found.stdout
  assert 'set -' not in found.stdout


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (('supervise.sh',), 'usage: bash tools/supervise.sh [-n TIMES] COMMAND'),
    (('supervise.sh', '-n'), 'usage: bash tools/supervise.sh'),
    (('supervise.sh', '-n', 'x', 'true'), 'usage: bash tools/supervise.sh'),
    (('launch_slurm.sh',), 'not a Slurm job; start it with: sbatch tools/'),
  ],
)
def test_a_wrong_call_is_refused_in_a_line_without_its_number(words, message):
  name, *more = words
  found = subprocess.run(
    ['bash', ROOT / 'tools' / name, *more],
    capture_output=True,
    text=True,
    env={k: v for k, v in os.environ.items() if 'SLURM' not in k},
  )
  assert found.returncode == 2
  (line,) = found.stderr.splitlines()
  assert line.startswith(message)
