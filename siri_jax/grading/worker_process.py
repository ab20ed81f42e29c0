"""The parent's side of a grading worker: start, requests, time limit, kill."""

import json
import os
import pathlib
import select
import subprocess
import sys
import time

import siri_jax
from siri_jax.grading.verdict import Verdict

START_SECS = 60.0  # Time limit to import sympy, on a busy machine.
TIMEOUT = Verdict(False, '', 'timeout')
DIED = Verdict(False, '', 'worker died')


class Worker:
  """A process of siri_jax.grading.worker, which may die at any time.

  Attributes:
    alive: whether it accepts requests; once False, it stays False.
    answered: number of verdicts so far.
  """

  def __init__(self, setup):
    """Starts the process without waiting until it is ready.

    Args:
      setup: the worker's first line; 'secs' is the time limit of one answer.
    Raises:
      OSError: the process cannot be started.
    """
    self._secs = setup['secs']
    # No shell and no preexec_fn: a fork that runs Python beside JAX's threads
    # may hang. In its own session, the worker does not receive ^C.
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'siri_jax.grading.worker'],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=_environment(),
      bufsize=0,
      start_new_session=True,
    )
    self.alive = True
    self.answered = 0
    self._warm = False
    self._read = b''
    os.set_blocking(self._process.stdin.fileno(), False)
    try:
      # json does not accept a ConfigDict.
      self._write(json.dumps(setup, default=dict), START_SECS)
    except OSError:
      self.kill()
      raise

  def warm_up(self):
    """Waits until the worker is ready.

    Raises:
      OSError, EOFError, ValueError: it fails to start, or not in time.
    """
    if not self._warm and (said := self._line(START_SECS)) != 'ready':
      raise ValueError(said)
    self._warm = True

  def verdicts(self, items):
    """Yields a verdict for each item, in order, until the worker is killed.

    In that case the current item gets the last verdict, TIMEOUT or DIED, and
    the remaining items get none.

    Args:
      items: answers in the worker's format, each a JSON text.
    """
    try:
      self.warm_up()
    except (OSError, EOFError, ValueError):
      self.kill()
      yield DIED
      return
    try:
      self._write(f'[{",".join(items)}]', self._secs)
      for _ in items:
        yield Verdict(*self._line(self._secs))
        self.answered += 1
    except TimeoutError:
      self.kill()
      yield TIMEOUT
    except (OSError, EOFError, ValueError, TypeError):
      self.kill()
      yield DIED

  def kill(self):
    """Kills the process; a second call does nothing."""
    self.alive = False
    self._process.kill()
    self._process.wait()
    self._process.stdin.close()
    self._process.stdout.close()

  def _write(self, text, secs):
    # Never blocks: a stopped worker reads nothing.
    left = memoryview(text.encode() + b'\n')
    deadline = time.monotonic() + secs
    while left:
      _await(self._process.stdin, select.POLLOUT, deadline)
      left = left[self._process.stdin.write(left) or 0 :]

  def _line(self, secs):
    deadline = time.monotonic() + secs
    while b'\n' not in self._read:
      _await(self._process.stdout, select.POLLIN, deadline)
      some = self._process.stdout.read(65536)
      if not some:
        raise EOFError('a grading worker exited')
      self._read += some
    line, _, self._read = self._read.partition(b'\n')
    return json.loads(line)


def _await(stream, event, deadline):
  # Not select.select: it cannot watch descriptors above 1023.
  poll = select.poll()
  poll.register(stream, event)
  if not poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
    raise TimeoutError


def _environment():
  """The worker's environment, without the parent's keys, tokens or proxies."""
  here = str(pathlib.Path(siri_jax.__file__).parents[1])
  kept = {
    name: os.environ[name]
    for name in ('PATH', 'LD_LIBRARY_PATH')
    if name in os.environ
  }
  return kept | {
    'PYTHONPATH': os.pathsep.join([here, *filter(None, sys.path)]),
    'PYTHONHASHSEED': '0',  # Fixed order of sets: the same verdicts every run.
    'PYTHONUTF8': '1',
    # No gmpy2 in sympy: Python's alarms do not interrupt its calls, and its
    # failed allocations abort the process.
    'SYMPY_GROUND_TYPES': 'python',
    'MPMATH_NOGMPY': '1',
  }
