"""The two commands, end to end, on a checkout with fake programs.

The path of the checkout has spaces. Its siri_jax.main, ruff and pytest are
small modules that print their arguments; its requirements are empty, so that
nothing is downloaded.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tools import environment

ROOT = pathlib.Path(__file__).parents[2]
# It prints its arguments, waits for SECS, and exits with the status in its
# variable.
STAND_IN = """
import os, sys, time
print('called', sys.argv[1:], os.getcwd(), flush=True)
time.sleep(float(os.environ.get('SECS', 0)))
sys.exit(int(os.environ.get('{}', 0)))
"""


def write(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def make_checkout(folder):
  """A checkout of the real commands and fake programs."""
  # Other tests unpack the notebooks' runs there at the same time.
  left_out = shutil.ignore_patterns('notebooks', '__pycache__')
  shutil.copytree(ROOT / 'tools', folder / 'tools', ignore=left_out)
  write(folder / 'requirements-cpu.txt', '# none\n')
  write(folder / 'requirements-test.txt', '-r requirements-cpu.txt\n')
  write(folder / 'requirements.txt', '# none\n')
  write(folder / 'siri_jax/main.py', STAND_IN.format('MAIN'))
  write(folder / 'ruff.py', STAND_IN.format('RUFF'))
  write(folder / 'pytest.py', STAND_IN.format('PYTEST'))
  write(folder / 'tools/benchmarks/counters.py', STAND_IN.format('COUNTERS'))
  return folder


def start(checkout, command, *flags, cwd='/', **env):
  """Starts a command without stdin, with merged output."""
  return subprocess.Popen(
    ['bash', str(checkout / 'tools' / command), *flags],
    cwd=cwd,
    env=os.environ | {'PYTHON': sys.executable} | env,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def call(*args, **kwargs):
  """The status and output of a command."""
  process = start(*args, **kwargs)
  output, _ = process.communicate(timeout=300)
  return process.returncode, output


@pytest.fixture
def bare(tmp_path):
  """A checkout without environments."""
  return make_checkout(tmp_path / 'a path with spaces')


@pytest.fixture(scope='module')
def first_calls(tmp_path_factory):
  """A checkout whose first two quickstarts ran at once.

  Returns:
    its path, and the status and output of each call.
  """
  checkout = make_checkout(tmp_path_factory.mktemp('x') / 'with spaces')
  first = start(checkout, 'quickstart.sh')
  while not (checkout / '.venv').exists():
    time.sleep(0.01)
  second = call(checkout, 'quickstart.sh')
  output, _ = first.communicate(timeout=300)
  return checkout, (first.returncode, output), second


@pytest.fixture(scope='module')
def quick(first_calls):
  """A checkout in which the quickstart was run."""
  checkout, (status, output), _ = first_calls
  assert status == 0, output
  return checkout


@pytest.fixture(scope='module')
def tested(quick, tmp_path_factory):
  """A checkout with the tests' environment, a copy of the quickstart's."""
  checkout = make_checkout(tmp_path_factory.mktemp('x') / 'with spaces')
  made = checkout / '.venv-test'
  shutil.copytree(quick / '.venv', made, symlinks=True)
  stamp = environment.stamp_of(made, checkout / 'requirements-test.txt')
  (made / environment.STAMP).write_text(stamp)
  return checkout


def program(path, command):
  """An executable at that path."""
  write(path, f'#!/bin/sh\n{command}\n')
  path.chmod(0o755)


def install(environment, name):
  """Records that version 9 of a package is installed in an environment."""
  (packages,) = (environment / 'lib').glob('python*/site-packages')
  about = f'Metadata-Version: 2.1\nName: {name}\nVersion: 9\n'
  write(packages / f'{name}-9.dist-info/METADATA', about)


def failing(folder, *names):
  """A folder of programs that fail, as a broken shim does."""
  for name in names:
    write(
      folder / name, '#!/bin/sh\necho "shim: $0: no such version"\nexit 127'
    )
    (folder / name).chmod(0o755)
  return f'{folder}:{os.environ["PATH"]}'


def test_without_a_working_python_it_prints_how_to_install_one(bare, tmp_path):
  names = ['python3.12', 'python3.13', 'python3.11', 'python3', 'python']
  path = failing(tmp_path / 'bin', *names)
  status, output = call(bare, 'quickstart.sh', PATH=path, PYTHON='')
  assert status == 1
  for name in names:
    assert f'  {name}: no such version' in output
  assert 'apt-get install python3 python3-venv' in output
  assert 'PYTHON=/path/to/python3.12 bash tools/quickstart.sh' in output
  assert not (bare / '.venv').exists()


def test_a_folder_that_it_did_not_make_is_not_changed(bare):
  write(bare / '.venv/mine', 'precious')
  status, output = call(bare, 'quickstart.sh')
  assert status == 1
  assert '.venv was not made by this command' in output
  assert (bare / '.venv/mine').read_text() == 'precious'


@pytest.mark.slow
def test_a_broken_shim_is_skipped(quick, tmp_path):
  path = failing(tmp_path / 'bin', 'python3.12', 'python3.13', 'python3.11')
  program(tmp_path / 'bin/python3', f'exec "{sys.executable}" "$@"')
  status, output = call(quick, 'quickstart.sh', PATH=path, PYTHON='')
  assert status == 0, output


@pytest.mark.slow
def test_the_second_call_reuses_the_environment(quick):
  stamp = quick / '.venv/made-of.txt'
  before = stamp.stat().st_mtime_ns
  status, output = call(quick, 'quickstart.sh')
  assert status == 0
  assert '.venv is up to date.' in output
  assert stamp.stat().st_mtime_ns == before


@pytest.mark.slow
def test_flags_and_exit_status_pass_through_from_any_folder(quick, tmp_path):
  flags = ['--workdir=a b', '--config.seed=1', '$HOME *']
  status, output = call(quick, 'quickstart.sh', *flags, cwd=tmp_path, MAIN='7')
  assert status == 7
  expected = ['--config=configs/quickstart.py', *flags]
  assert f'called {expected} {quick}' in output


@pytest.mark.slow
def test_a_named_config_replaces_the_quickstarts(quick):
  flag = '--config=configs/quickstart.py:constant'
  _, output = call(quick, 'quickstart.sh', flag)
  assert f'called {[flag]} {quick}' in output


@pytest.mark.slow
def test_training_on_a_node_makes_its_environment_with_the_package(bare):
  status, output = call(bare, 'train.sh', '--config=a.py')
  assert 'Making .venv-gpu with Python' in output
  assert 'the packages of requirements.txt' in output.replace('\n', ' ')
  # The stand-in has no pyproject.toml, so the package cannot be installed.
  assert 'pyproject.toml' in output
  assert (status, 'called' in output) == (1, False)
  install(bare / '.venv-gpu', 'siri_jax')
  flags = ['--config=a.py', '--workdir=a b']
  status, output = call(bare, 'train.sh', *flags, MAIN='7')
  assert status == 7
  assert f'called {flags} {bare}' in output


def test_training_on_a_node_without_arguments_prints_its_usage(bare):
  status, output = call(bare, 'train.sh')
  assert (status, output.startswith('usage: bash tools/train.sh --c')) == (2, 1)
  assert not (bare / '.venv-gpu').exists()


@pytest.mark.slow
def test_signals_reach_the_trainer(quick):
  process = start(quick, 'quickstart.sh', SECS='60')
  while not process.stdout.readline().startswith('called'):
    assert process.poll() is None
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=60)
  assert process.returncode == -signal.SIGTERM


@pytest.mark.slow
def test_a_failed_installation_shows_the_logs_end_and_is_made_again(bare):
  write(bare / 'requirements-cpu.txt', './absent\n')
  status, output = call(bare, 'quickstart.sh')
  assert status == 1
  assert 'pip failed; its log is .venv.log' in output
  assert 'The next call tries again.' in output
  assert 'absent' in output
  assert 'absent' in (bare / '.venv.log').read_text()
  assert 'called' not in output
  write(bare / '.venv/half-installed', '')
  write(bare / 'requirements-cpu.txt', '# none\n')
  status, output = call(bare, 'quickstart.sh')
  assert status == 0, output
  assert not (bare / '.venv/half-installed').exists()


@pytest.mark.slow
def test_changed_requirements_make_the_environment_again(tested):
  assert '.venv-test is up to date' in call(tested, 'test.sh')[1]
  # The tests' requirements include the laptop's.
  write(tested / 'requirements-cpu.txt', '# other\n')
  assert 'Making .venv-test' in call(tested, 'test.sh')[1]
  assert '.venv-test is up to date' in call(tested, 'test.sh')[1]


@pytest.mark.slow
def test_two_calls_at_once_make_one_environment(first_calls):
  _, (status, output), (second, waited) = first_calls
  assert (status, second) == (0, 0), output + waited
  assert 'Making .venv' in output
  assert 'Waiting: another call is making the same environment.' in waited
  assert '.venv is up to date.' in waited


@pytest.mark.slow
def test_pytest_arguments_keep_their_quotes(tested):
  _, output = call(tested, 'test.sh', '-m', 'not slow')
  assert f"called ['-m', 'not slow'] {tested}" in output


@pytest.mark.slow
@pytest.mark.parametrize(
  ('ruff', 'tests', 'expected'),
  [('0', '0', 0), ('1', '0', 1), ('0', '5', 5), ('1', '3', 3)],
)
def test_failing_lint_does_not_hide_the_tests(tested, ruff, tests, expected):
  status, output = call(tested, 'test.sh', RUFF=ruff, PYTEST=tests)
  assert status == expected
  calls = [line for line in output.splitlines() if line.startswith('called')]
  shown = [['check', '.'], ['format', '--check', '.'], []]
  assert calls == [f'called {args} {tested}' for args in shown]


def test_the_tests_requirements_include_the_laptops():
  held = environment.files_of(ROOT / 'requirements-test.txt')
  names = ['test', 'notebooks', 'cpu']
  assert held == [ROOT / f'requirements-{name}.txt' for name in names]


@pytest.mark.parametrize(
  'name', sorted(path.name for path in ROOT.glob('requirements*.txt'))
)
def test_every_package_is_pinned(name):
  for line in (ROOT / name).read_text().splitlines():
    assert line.startswith(('#', '-r ')) or '==' in line.split(';')[0], line


def integrated(checkout, environment, **env):
  """Status and output of .ci/run with this script for vLLM's environment.

  The plug-in that compiles for GPUs is installed, for jaxlib 9.
  """
  shutil.copytree(ROOT / '.ci', checkout / '.ci', dirs_exist_ok=True)
  install(checkout / '.venv-test', 'jaxlib')
  (checkout / '.venv-test/cuda-plugin-9').mkdir(exist_ok=True)
  write(checkout / 'tools/vllm_environment.sh', environment)
  assert os.access(checkout / '.ci/run', os.X_OK)
  return call(checkout, '../.ci/run', **env)


@pytest.mark.slow
def test_ci_runs_the_tests_and_those_with_a_server(tested):
  ready = 'cd "$(dirname "${BASH_SOURCE[0]}")/.."\npython=.venv-vllm/bin/python'
  status, output = integrated(tested, ready)
  assert status == 0, output
  calls = [line for line in output.splitlines() if "['-n', '0'" in line]
  assert ['ForH100s' in calls[0], 'test_real_vllm' in calls[1]] == [True] * 2
  assert 'SKIPPED' not in output
  assert "called ['--check']" in output
  assert integrated(tested, ready, PYTEST='3')[0] == 3
  assert integrated(tested, ready, COUNTERS='3')[0] == 3


@pytest.mark.slow
def test_without_a_server_environment_ci_prints_skipped(
  tested,
):
  status, output = integrated(tested, 'echo no such package; false; true')
  assert status == 0, output
  assert 'no such package\nSKIPPED: ' in output
  assert integrated(tested, 'false', PYTEST='3')[0] == 3


def test_output_after_the_updated_line_starts_a_new_line(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr('sys.stdout.isatty', lambda: True)
  fails = "print('Collecting a'); print('ERROR: absent'); raise SystemExit(1)"
  with open(tmp_path / 'lock', 'w') as lock:
    log = tmp_path / 'log'
    command = [sys.executable, '-c', fails]
    assert environment.run_logged(command, log, lock) == 1
  assert capsys.readouterr().out == '\r  1 packages fetched\n'
  assert 'ERROR: absent' in log.read_text()
