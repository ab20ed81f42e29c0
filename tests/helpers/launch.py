"""Runs the program as its users do, and tells what a run came to."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time

from siri_jax import main
from siri_jax.runtime import exit_status, files

ROOT = pathlib.Path(__file__).parents[2]
STEPS, PERIOD = 12, 8


def arguments(folder, cache, *more):
  """The command line of a run of the tiny config."""
  return [
    '--config=tests/helpers/tiny.py',
    f'--workdir={folder}',
    f'--config.cache_dir={cache}',
    f'--config.total_steps={STEPS}',
    f'--config.schedule_kw.period={PERIOD}',
    *more,
  ]


def python(program):
  """A program run by another Python at the repository's root; what it said."""
  return subprocess.run(
    [sys.executable, '-c', program],
    capture_output=True,
    text=True,
    check=True,
    cwd=ROOT,
  )


def here(folder, cache, *more):
  """The exit status of the program, run in this process."""
  return main.main(['siri_jax', *arguments(folder, cache, *more)])


@contextlib.contextmanager
def process_of(folder, cache, *more, devices=8):
  """The program as a process of its own, killed at the end.

  Its attribute `said` is the file of all that processes of this folder said.
  """
  said = folder.with_suffix('.txt')
  words = [sys.executable, '-m', 'siri_jax.main']
  with open(said, 'ab') as file:
    process = subprocess.Popen(
      [*words, *arguments(folder, cache, *more)],
      cwd=ROOT,
      stdout=file,
      stderr=subprocess.STDOUT,
      # The tests' own number: so they find each other's compiled programs.
      env={**os.environ, 'JAX_NUM_CPU_DEVICES': str(devices)},
    )
  process.said = said
  try:
    yield process
  finally:
    process.kill()
    process.wait()


def free_port():
  with socket.socket() as taken:
    taken.bind(('localhost', 0))
    return taken.getsockname()[1]


@contextlib.contextmanager
def two_processes(run, cache, *more):
  """The program as two processes with four devices each, and its settings."""
  port = free_port()
  with contextlib.ExitStack() as stack:
    yield [
      stack.enter_context(
        process_of(
          run,
          cache,
          *more,
          '--config.hosts_kw.count=2',
          f'--config.hosts_kw.coordinator=localhost:{port}',
          f'--config.hosts_kw.index={index}',
          devices=4,
        )
      )
      for index in range(2)
    ]


def finish(folder, cache, *more):
  """Runs the program in a process of its own to its end."""
  with process_of(folder, cache, *more) as process:
    assert process.wait() == exit_status.DONE, process.said.read_text()


def wait_for(process, happens):
  """Whether something happens before the process ends; waits for either."""
  while process.poll() is None:
    if happens():
      return True
    time.sleep(0.001)
  return False


def lines(folder, name):
  """Whole lines of one of a run's files of records."""
  path = folder / f'{name}.jsonl'
  return path.read_bytes().count(b'\n') if path.exists() else 0


def records(folder, name):
  return files.read_records(folder / f'{name}.jsonl')
