"""One grading worker as its parent sees it: started, asked, timed, killed."""

import json
import os
import pathlib
import select
import subprocess
import sys
import time

import siri_jax
from siri_jax.grading.verdict import Verdict

START_SECS = 60.0  # Until a worker has imported sympy, on a busy machine.
TIMEOUT = Verdict(False, '', 'timeout')
DIED = Verdict(False, '', 'worker died')


class Worker:
  """A process of siri_jax.grading.worker that may be lost at any time.

  Attributes:
    alive: whether it can be asked; a worker never comes back.
    answered: how many verdicts it has given.
  """

  def __init__(self, setup):
    """Starts it; it warms up while others work.

    Args:
      setup: the worker's first line; 'secs' is the time of one answer.
    Raises:
      OSError: the machine starts no process.
    """
    self._secs = setup['secs']
    # Neither shell nor preexec_fn: a fork that runs Python beside JAX's
    # threads may hang. In a session of its own, ^C is the parent's alone.
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
      # A ConfigDict is no dict to json.
      self._write(json.dumps(setup, default=dict), START_SECS)
    except OSError:
      self.kill()
      raise

  def warm_up(self):
    """Waits till it is ready to grade.

    Raises:
      OSError, EOFError, ValueError: it does not come up, or not in time.
    """
    if not self._warm and (said := self._line(START_SECS)) != 'ready':
      raise ValueError(said)
    self._warm = True

  def verdicts(self, items):
    """Yields a verdict for each item, in order, till it has to be killed.

    The last verdict then is that of the item it was at, TIMEOUT or DIED; the
    rest are unanswered.

    Args:
      items: answers as the worker reads them, each a JSON text.
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
    """Ends it, whatever it does; again is no harm."""
    self.alive = False
    self._process.kill()
    self._process.wait()
    self._process.stdin.close()
    self._process.stdout.close()

  def _write(self, text, secs):
    # Never blocking: a worker that was stopped reads nothing.
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
        raise EOFError('a grading worker ended')
      self._read += some
    line, _, self._read = self._read.partition(b'\n')
    return json.loads(line)


def _await(stream, event, deadline):
  # Not select.select, which cannot watch descriptors above 1023.
  poll = select.poll()
  poll.register(stream, event)
  if not poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
    raise TimeoutError


def _environment():
  """All that a worker is to know: no key, token or proxy of the parent's."""
  here = str(pathlib.Path(siri_jax.__file__).parents[1])
  kept = {
    name: os.environ[name]
    for name in ('PATH', 'LD_LIBRARY_PATH')
    if name in os.environ
  }
  return kept | {
    'PYTHONPATH': os.pathsep.join([here, *filter(None, sys.path)]),
    'PYTHONHASHSEED': '0',  # Sets in one order: the same verdicts every run.
    'PYTHONUTF8': '1',
    # sympy takes up gmpy2 where it finds it, whose calls no alarm of Python's
    # interrupts and whose allocations abort the process.
    'SYMPY_GROUND_TYPES': 'python',
    'MPMATH_NOGMPY': '1',
  }
