"""The Dockerfile, as far as a machine without Docker can test it."""

import fnmatch
import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
KNOWN = {'FROM', 'RUN', 'USER', 'WORKDIR', 'ENV', 'COPY', 'ENTRYPOINT', 'CMD'}


def instructions():
  """(instruction, its text) for each line of the Dockerfile, joined."""
  lines = (ROOT / 'Dockerfile').read_text().splitlines()
  text = '\n'.join(line for line in lines if not line.startswith('#'))
  joined = re.sub(r'\\\n\s*', '', text)
  return [tuple(line.split(' ', 1)) for line in joined.splitlines() if line]


def of(kind):
  return [text for name, text in instructions() if name == kind]


def sent(path):
  """Whether .dockerignore lets a path of the checkout into the image."""
  kept = True
  for line in (ROOT / '.dockerignore').read_text().splitlines():
    rule = line.removeprefix('!')
    if not line.startswith('#') and fnmatch.fnmatch(path.parts[0], rule):
      kept = line.startswith('!')
  return kept


def test_it_has_known_instructions_and_one_pinned_base():
  assert {name for name, _ in instructions()} <= KNOWN
  (base,) = of('FROM')
  assert instructions()[0] == ('FROM', base)
  assert re.fullmatch(r'nvidia/cuda:\d+\.\d+\.\d+-base-ubuntu24\.04', base)


@pytest.mark.parametrize('command', of('RUN'))
def test_each_command_is_valid_shell(command):
  subprocess.run(['bash', '-n', '-c', command], check=True)
  # A list of packages that is kept makes the image larger.
  if 'apt-get update' in command:
    assert command.endswith('rm -rf /var/lib/apt/lists/*')
    assert '--no-install-recommends' in command
  for words in re.findall(r'pip install ([^&]*)', command):
    assert '--no-cache-dir' in words


def test_the_program_runs_as_a_user_who_may_write_runs():
  (user,) = of('USER')
  made = ' '.join(of('RUN')[:2])
  assert f'useradd --uid 1001 --create-home {user}' in made
  (workdir,) = of('WORKDIR')
  assert f'--owner={user} {workdir} {workdir}/runs' in made
  order = [name for name, _ in instructions()]
  assert order.index('USER') < order.index('COPY')


def test_what_is_copied_exists_and_is_sent():
  sources = [
    word
    for text in of('COPY')
    for word in shlex.split(text)[:-1]
    if not word.startswith('--')
  ]
  assert sources == ['requirements.txt', '.']
  needed = ['requirements.txt', 'pyproject.toml', 'README.md', 'LICENSE']
  for name in [*needed, 'siri_jax', 'configs', 'tools']:
    assert (ROOT / name).exists()
    assert sent(pathlib.Path(name))
  for name in ('.git', '.venv', '.venv-gpu', 'runs', 'tests', 'docs'):
    assert not sent(pathlib.Path(name))


@pytest.mark.slow
def test_its_entry_point_prints_its_help():
  (entry,), (default,) = of('ENTRYPOINT'), of('CMD')
  program, *words = json.loads(entry) + json.loads(default)
  assert program == 'python'
  found = subprocess.run(
    [sys.executable, *words],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert '--config' in found.stdout
