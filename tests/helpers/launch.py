"""Runs the program as users do, and reads its results."""

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
  """The output of a program run by another Python in the repository."""
  return subprocess.run(
    [sys.executable, '-c', program],
    capture_output=True,
    text=True,
    check=True,
    cwd=ROOT,
  )


def here(folder, cache, *more):
  """Runs the program in this process; returns its exit status."""
  return main.main(arguments(folder, cache, *more))


@contextlib.contextmanager
def process_of(folder, cache, *more, devices=8):
  """A context with the program as a process, killed at the end.

  Its attribute `said` is the output of all processes of this folder.
  """
  said = folder.with_suffix('.txt')
  words = [sys.executable, '-m', 'siri_jax.main']
  with open(said, 'ab') as file:
    process = subprocess.Popen(
      [*words, *arguments(folder, cache, *more)],
      cwd=ROOT,
      stdout=file,
      stderr=subprocess.STDOUT,
      # As in the tests, so that they share compiled programs.
      env={**os.environ, 'JAX_NUM_CPU_DEVICES': str(devices)},
    )
  process.said = said
  try:
    yield process
  finally:
    process.kill()
    process.wait()


def server_processes(folder):
  """Pid -> command of all processes of servers whose pushes are in a folder."""
  mark = f'SIRI_PUSHES={folder.resolve()}'.encode()
  found = {}
  for path in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):  # Another user's, or it has ended.
      if mark in (path / 'environ').read_bytes().split(b'\0'):
        words = (path / 'cmdline').read_bytes().decode().split('\0')
        found[int(path.name)] = ' '.join(words)
  return found


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
  """Runs the program as a process to its end."""
  with process_of(folder, cache, *more) as process:
    assert process.wait() == exit_status.DONE, process.said.read_text()


def wait_for(process, happens):
  """Waits for an event or the end of the process; whether it happened."""
  while process.poll() is None:
    if happens():
      return True
    time.sleep(0.01)
  return False


def wait_until(happens, secs=60.0):
  """Waits until something happens, some seconds at most."""
  until = time.monotonic() + secs
  while not happens():
    assert time.monotonic() < until
    time.sleep(0.02)


def lines(folder, name):
  """Number of complete lines of one of a run's files."""
  path = folder / f'{name}.jsonl'
  return path.read_bytes().count(b'\n') if path.exists() else 0


def records(folder, name):
  return files.read_records(folder / f'{name}.jsonl')
