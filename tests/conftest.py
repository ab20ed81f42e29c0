"""Shared fixtures: fake devices, public data, a tiny run, a table of faults."""

import fcntl
import gc
import math
import os
import pathlib
from typing import NamedTuple

# Set before JAX is imported; child processes inherit them. For the tests
# marked gpu: JAX_PLATFORMS=cuda,cpu.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('WANDB_MODE', 'offline')
os.environ.setdefault('MPLBACKEND', 'Agg')
# Child processes start a quarter of a second sooner with our bytecode kept.
os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
# torch's threads spin while they wait: a sixth of the CPU time of its tests.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import hypothesis
import jax
import pytest
import tabulate

from siri_jax.runtime import xla_flags

jax.config.update('jax_num_cpu_devices', 8)
# The first three flags more than halve the compile time. The last one raises
# the time (40 s) after which XLA ends a process whose devices wait for each
# other on two busy cores.
XLA_FLAGS = (
  '--xla_backend_optimization_level=0 '
  '--xla_llvm_disable_expensive_passes=true '
  '--xla_cpu_parallel_codegen_split_count=1 '
  '--xla_cpu_collective_call_terminate_timeout_seconds=600'
)
# XLA's older emitters compile in a sixth of the time. jax 0.10 has them, 0.12
# does not, and XLA ends a process with an unknown flag.
if jax.__version_info__ < (0, 11):
  XLA_FLAGS += ' --xla_cpu_use_fusion_emitters=false'
# What a run sets, so that a child process that sets it computes the same.
XLA_FLAGS += f' {xla_flags.CPU_FLAG}'
os.environ.setdefault('XLA_FLAGS', XLA_FLAGS)
# The garbage collector takes a tenth of the time of tracing and parsing if it
# starts at every 700 new objects, Python's default.
gc.set_threshold(50_000, 50, 100)
# The same examples each time, without a deadline.
hypothesis.settings.register_profile(
  'repeatable', derandomize=True, deadline=None, database=None
)
hypothesis.settings.register_profile(
  'thousand', hypothesis.settings.get_profile('repeatable'), max_examples=1000
)
hypothesis.settings.load_profile('repeatable')

# Folders of tests with whole runs.
LONGEST = ('experiments', 'faults', 'offline', 'system', 'tools')
DATA = pathlib.Path(__file__).parents[1] / '../shared/data'


@pytest.fixture(scope='session')
def shared_data():
  """The folder of public problems, tokenizer and grading cases."""
  folder = pathlib.Path(os.environ.get('SIRI_DATA', DATA)).resolve()
  if not folder.is_dir():
    pytest.skip(f'no public data in {folder}: name its folder in SIRI_DATA')
  return folder


@pytest.fixture(scope='session')
def shared(tmp_path_factory):
  """A folder of all the processes that share these tests."""
  base = tmp_path_factory.getbasetemp()
  several = 'PYTEST_XDIST_WORKER' in os.environ
  folder = (base.parent if several else base) / 'shared'
  folder.mkdir(exist_ok=True)
  return folder


@pytest.fixture(scope='session')
def cache(shared):
  """Folder of compiled programs, which all tests and processes share."""
  return shared / 'cache'


@pytest.fixture(scope='session')
def whole(shared, cache):
  """The folder of a tiny run that nothing disturbed."""
  import launch  # Here, for it takes seconds.

  run = shared / 'run'
  with open(shared / 'run.lock', 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not run.exists():
      shown = ('writers', "('tensorboard',)"), ('record_kw.picture_every', 6)
      flags = [f'--config.{key}={value}' for key, value in shown]
      launch.finish(run, cache, *flags)
  return run


def pytest_collection_modifyitems(items):
  for item in items:
    # The run takes half a minute in each test process.
    if 'whole' in getattr(item, 'fixturenames', ()):
      item.add_marker('slow')
  # Several processes take files in this order. The longest files come first, so
  # that no process has one left when the others have ended.
  items.sort(key=lambda item: item.path.parent.name not in LONGEST)


def pytest_collection_finish():
  gc.freeze()  # What was imported is not garbage: collections need not read it.


def pytest_runtest_setup(item):
  if item.get_closest_marker('gpu') and jax.default_backend() != 'gpu':
    pytest.skip('needs a GPU')
  wanted = 'pretrained' in item.config.option.markexpr
  if item.get_closest_marker('pretrained') and not wanted:
    pytest.skip('fetches a model: bash tools/test.sh -m pretrained')


class Told(NamedTuple):
  """A line of the table; `row` gives its order."""

  row: int
  fault: str
  happened: str
  secs: float = math.nan
  lost: int | None = None


HEADERS = ('fault', 'what happened', 'recovery, s', 'steps lost')


@pytest.fixture
def tell(request):
  """Adds a line to the table: tell(row, fault, happened, secs, lost)."""

  def add(*parts, **named):
    # In the test's report, because tests run in several processes.
    line = tuple(Told(*parts, **named))
    request.node.user_properties.append(('fault', line))

  return add


def pytest_terminal_summary(terminalreporter):
  """Prints the table, if a test injected a fault."""
  told = [
    Told(*line)
    for report in terminalreporter.stats.get('passed', ())
    for name, line in report.user_properties
    if name == 'fault'
  ]
  if not told:
    return
  lines = [
    (
      line.fault,
      line.happened,
      '' if math.isnan(line.secs) else f'{line.secs:.1f}',
      '' if line.lost is None else line.lost,
    )
    for line in sorted(told, key=lambda line: line.row)
  ]
  terminalreporter.section('faults')
  terminalreporter.write_line(tabulate.tabulate(lines, HEADERS, 'pipe'))
