"""The installed wheel, used from an empty folder as `pip install` leaves it."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
# A quickstart of a few seconds: no SFT, one layer, two steps, few problems.
SMALL = {
  'policy': 'fresh',
  'model_kw.layers': '1',
  'total_steps': '2',
  'schedule_kw.period': '2',
  'prompts_per_step': '4',
  'group_size': '2',
  'minibatches': '1',
  'task_kw.problems': '64',
  'task_kw.held_out': '8',
  'eval_kw.every': '0',
}
SETTINGS = [f'--config.{key}={value}' for key, value in SMALL.items()]
# Starts sooner.
PLAIN = ['--config.writers=()', '--config.record_kw.picture_every=0']


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """An empty folder, beside which the wheel is installed."""
  top = tmp_path_factory.mktemp('wheel')
  source = top / 'source'
  source.mkdir()
  shutil.copytree(
    ROOT / 'siri_jax',
    source / 'siri_jax',
    ignore=shutil.ignore_patterns('__pycache__'),
  )
  for name in ('pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  offline = ('--no-deps', '--no-build-isolation', '--no-index', '--quiet')
  install = [sys.executable, '-m', 'pip', 'install', *offline]
  done = subprocess.run(
    [*install, '--target', top / 'installed', source],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  (top / 'empty').mkdir()
  return top / 'empty'


def environment(place):
  """The environment of a process that uses the installed wheel."""
  return {
    **os.environ,
    'PYTHONPATH': str(place.parent / 'installed'),
    'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',  # Compiles sooner.
  }


def python(place, *words):
  """The output of `python WORDS` there."""
  done = subprocess.run(
    [sys.executable, *words],
    capture_output=True,
    text=True,
    cwd=place,
    env=environment(place),
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


# Each command line, in one process that imports the package once.
SEVERAL = """
import sys
from siri_jax import commands
for line in {lines}:
  sys.argv = ['siri-jax', *line]
  try:
    status = commands.main()
  except SystemExit as end:  # After --help.
    status = end.code
  assert not status, (line, status)
"""


def siri_jax(place, *lines):
  """The output of several `siri-jax WORDS` there, one after another."""
  return python(place, '-c', SEVERAL.format(lines=lines))


def commands():
  folder = ROOT / 'siri_jax' / 'commands'
  names = [p.stem.replace('_', '-') for p in folder.glob('[!_]*.py')]
  return ['train', *sorted(names)]


def test_every_command_has_its_help(place):
  out = siri_jax(place, *([name, '--help'] for name in commands()))
  for name in commands():
    assert f'usage: siri-jax {name}' in out


def test_the_installed_package_is_the_one_that_runs(place):
  out = python(place, '-c', 'import siri_jax; print(siri_jax.__file__)')
  assert out.startswith(str(place.parent / 'installed'))


def test_a_run_an_ablation_figures_and_a_report_need_no_checkout(place):
  script = place.parent / 'installed/bin/siri-jax'
  out = python(place, script, 'train', '--config=quickstart', *SETTINGS)
  assert 'runs/quickstart is complete' in out
  axis = ('--axis=schedule=stair', '--out=runs/shapes')
  run = 'runs/shapes/schedule=stair'
  out = siri_jax(
    place,
    ['ablate', '--config=quickstart', *axis, *SETTINGS, *PLAIN],
    ['figures', run],
    ['report', run],
  )
  assert 'stair' in out
  assert 'training.png' in out
  assert (place / 'report.html').stat().st_size > 10_000
