"""An attempt at a run as a process with an injected fault.

The fault is real; only its moment is chosen. At a call of a function, or while
a checkpoint is half written, the process kills itself, sends itself signals or
fills its disk.
"""

import functools
import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from typing import NamedTuple

import launch

FORKS = multiprocessing.get_context('forkserver')
# Imported once and forked, attempts need not import them again. A run imports
# the last three late.
PRELOADED = [
  'siri_jax.main',
  *('siri_jax.grading.rules', 'siri_jax.data.tasks', 'grain'),
]
ROOM = 500  # Bytes that a file may have once the disk is full.


class Harm(NamedTuple):
  """The fault of an attempt, and its place.

  Attributes:
    deed: one of DEEDS.
    place: 'module:function', before whose call it happens, or a pattern of
      files in the run's folder, after the first of which it happens.
    call: number of that call.
  """

  deed: str
  place: str
  call: int = 1


class Attempt(NamedTuple):
  """The outcome of an attempt.

  Attributes:
    status: the process's exit status, -n where signal n killed it.
    said: all of its output.
    step: updates done at its start; -1: it never started.
    steps: records in metrics.jsonl at its end.
    secs: seconds until its first new record, 0.0 without one.
  """

  status: int
  said: str
  step: int
  steps: int
  secs: float


def make(folder, cache, *more, harm=None, hours=0, devices=8):
  """Runs one attempt to its end.

  Args:
    folder: the run's folder.
    cache: folder of compiled programs.
    *more: further arguments of the command line.
    harm: Harm, or None.
    hours: error of the process's clock.
    devices: number of CPU devices.
  Returns:
    Attempt.
  """
  FORKS.set_forkserver_preload(PRELOADED)
  arguments = launch.arguments(folder, cache, *more)
  before, secs, began = len(_starts(folder)), 0.0, time.monotonic()
  # A pipe, because a file would be on the full disk.
  heard, terminal = FORKS.Pipe(duplex=False)
  os.set_blocking(heard.fileno(), False)
  process = FORKS.Process(
    target=_run, args=(folder, terminal, arguments, harm, hours, devices)
  )
  process.start()
  terminal.close()
  said = b''
  while process.exitcode is None:
    process.join(0.05)
    said += _read(heard)
    starts = _starts(folder)[before:]
    if not secs and starts and launch.lines(folder, 'metrics') > starts[0]:
      secs = time.monotonic() - began
  starts = _starts(folder)[before:]
  return Attempt(
    status=process.exitcode,
    said=(said + _read(heard)).decode(),
    step=starts[0] if starts else -1,
    steps=launch.lines(folder, 'metrics'),
    secs=secs,
  )


def _read(pipe):
  """The content of a pipe."""
  try:
    return os.read(pipe.fileno(), 2**20)
  except BlockingIOError:
    return b''


def _starts(folder):
  """Updates done at the start of each attempt."""
  path = folder / 'RUN.json'
  info = json.loads(path.read_text()) if path.exists() else {'attempts': []}
  return [attempt['step'] for attempt in info['attempts']]


# In the process.


def _run(folder, terminal, arguments, harm, hours, devices):
  for number, name in ((1, 'stdout'), (2, 'stderr')):
    os.dup2(terminal.fileno(), number)
    setattr(sys, name, open(number, 'w', buffering=1))  # noqa: SIM115
  _mistake_the_time(hours)
  import jax

  from siri_jax import main

  jax.config.update('jax_num_cpu_devices', devices)
  if harm:
    _prepare(harm, folder)
  sys.exit(main.main(arguments))


def _mistake_the_time(hours):
  """Sets a wrong clock and another time zone."""
  real = time.time
  time.time = lambda: real() + 3600 * hours
  os.environ['TZ'] = f'XXX{hours:+d}'
  time.tzset()


def _prepare(harm, folder):
  deed = DEEDS[harm.deed]
  if ':' not in harm.place:
    waits = functools.partial(_await, folder, harm.place, deed)
    threading.Thread(target=waits, daemon=True).start()
    return
  module, _, path = harm.place.partition(':')
  owner = importlib.import_module(module)
  *inner, name = path.split('.')
  for part in inner:
    owner = getattr(owner, part)
  real, calls = getattr(owner, name), []

  def harmed(*args, **kwargs):
    calls.append(1)
    if len(calls) == harm.call:
      deed()
    return real(*args, **kwargs)

  setattr(owner, name, harmed)


def _await(folder, pattern, deed):
  while not any(folder.glob(pattern)):
    time.sleep(0.0005)
  deed()


def _send(*numbers):
  for number in numbers:
    os.kill(os.getpid(), number)


def _fill_disk():
  resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))


DEEDS = {
  'KILL': functools.partial(_send, signal.SIGKILL),
  'TERM': functools.partial(_send, signal.SIGTERM),
  'TERM and INT': functools.partial(_send, signal.SIGTERM, signal.SIGINT),
  'full disk': _fill_disk,
}
