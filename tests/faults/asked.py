"""The program as a process that runs many command lines.

Its memory and the time of each command are limited.
"""

import contextlib
import io
import json
import os
import pathlib
import resource
import select
import subprocess
import sys
import traceback

ROOT = pathlib.Path(__file__).parents[2]
MEMORY_GB, SECS = 6, 300.0
CRASHED = -1  # Status after a traceback.


class Program:
  """`with Program(folder) as program`: runs in that folder."""

  def __init__(self, folder):
    self._folder = folder

  def __enter__(self):
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'tests.faults.asked'],
      cwd=self._folder,
      env={**os.environ, 'PYTHONPATH': str(ROOT)},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
    )
    return self

  def __exit__(self, *_):
    self._process.kill()
    self._process.communicate()

  def ask(self, *arguments):
    """(exit status, output) of one command line.

    Raises:
      TimeoutError: it took too long.
      EOFError: the process died.
    """
    self._process.stdin.write(json.dumps(arguments).encode() + b'\n')
    self._process.stdin.flush()
    if not select.select([self._process.stdout], [], [], SECS)[0]:
      raise TimeoutError(arguments)
    if not (line := self._process.stdout.readline()):
      raise EOFError(arguments)
    return json.loads(line)


def answer():
  """Runs the command lines of stdin, one JSON list a line."""
  size = MEMORY_GB * 2**30
  resource.setrlimit(resource.RLIMIT_AS, (size, size))
  # A copy of stdout, because Rust prints to the original.
  answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  from siri_jax import main

  for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
      try:
        status = main.main(json.loads(line))
      except BaseException:  # Rust's panics are not Exceptions.
        status = CRASHED
        traceback.print_exc()
    print(json.dumps([status, said.getvalue()]), file=answers, flush=True)


if __name__ == '__main__':
  answer()
