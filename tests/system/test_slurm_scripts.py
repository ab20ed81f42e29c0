"""The scripts of a job with servers and trainer, with stand-ins for both."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import launch
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SERVER = """
import json, os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
json.dump([os.environ['CUDA_VISIBLE_DEVICES'], sys.argv[1:],
           os.environ['SIRI_SERVER_KEY']], open('server.json', 'w'))
port = int(sys.argv[1].removeprefix('--port='))
if os.environ['SERVER'] == 'refuses':
  sys.exit(2)
with socket.create_server(('127.0.0.1', port)) as taken:
  open('pid', 'w').write(str(os.getpid()))
  while True:
    taken.accept()[0].close()
"""
TRAINER = """
import json, os, signal, sys, time
def save(*_):
  open('saved', 'a').write('once ')
  sys.exit(143)
signal.signal(signal.SIGTERM, save)
json.dump([os.environ['CUDA_VISIBLE_DEVICES'], sys.argv[1:],
           os.environ['SIRI_SERVER_KEY']], open('trainer.json', 'w'))
time.sleep(60 if os.environ['TRAINER'] == 'sleeps' else 0)
sys.exit(3)
"""


@pytest.fixture
def checkout(tmp_path):
  shutil.copytree(ROOT / 'tools', tmp_path / 'tools')
  (tmp_path / 'siri_jax/commands').mkdir(parents=True)
  (tmp_path / 'siri_jax/main.py').write_text(TRAINER)
  (tmp_path / 'siri_jax/commands/serve.py').write_text(SERVER)
  return tmp_path


def start(checkout, *, server='serves', trainer='ends', **env):
  # Slurm runs a copy of the file in a folder of its own.
  copy = checkout / 'spool'
  shutil.copy(checkout / 'tools/launch_slurm_vllm.sh', copy)
  return subprocess.Popen(
    ['bash', copy, '--config=a.py', '--config.server_kw.data=1'],
    cwd='/',
    env={
      **os.environ,
      'SLURM_SUBMIT_DIR': str(checkout),
      'SLURM_GPUS_ON_NODE': '8',
      'PYTHON': sys.executable,
      'SERVER_PORT': str(launch.free_port()),
      'SERVER': server,
      'TRAINER': trainer,
      **env,
    },
  )


def ended(checkout):
  """Whether the server's process has ended."""
  return not pathlib.Path('/proc', (checkout / 'pid').read_text()).exists()


def test_server_and_trainer_share_the_gpus_settings_and_key(checkout):
  assert start(checkout).wait(30) == 3
  assert ended(checkout)
  server = json.loads((checkout / 'server.json').read_text())
  trainer = json.loads((checkout / 'trainer.json').read_text())
  assert (server[0], trainer[0]) == ('0,1,2,3', '4,5,6,7')
  assert server[1][1:] == trainer[1]
  assert trainer[1][-2:] == ['--config=a.py', '--config.server_kw.data=1']
  assert server[2] == trainer[2]
  assert len(server[2]) == 32


def test_the_server_may_have_fewer_gpus(checkout):
  assert start(checkout, SERVER_GPUS='2').wait(30) == 3
  assert json.loads((checkout / 'trainer.json').read_text())[0] == '2,3,4,5,6,7'


def test_the_trainer_gets_one_term_and_then_the_server_ends(checkout):
  with start(checkout, trainer='sleeps') as process:
    deadline = time.monotonic() + 30
    while not (checkout / 'trainer.json').exists():
      assert time.monotonic() < deadline
      time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
  assert (checkout / 'saved').read_text() == 'once '
  assert ended(checkout)


def test_a_server_that_is_refused_ends_the_job(checkout):
  assert start(checkout, server='refuses').wait(30) == 2
  assert not (checkout / 'trainer.json').exists()


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
    (('launch_slurm_vllm.sh',), 'not a Slurm job; start it with: sbatch tools'),
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
