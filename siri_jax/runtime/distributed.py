"""Runs of several processes.

Each process holds its shard of every array and runs every program that uses all
devices. Process 0 decides what runs next and broadcasts it. The others keep no
step, cap or signal state, so they cannot disagree.
"""

import contextlib
import io
import json
import os
import re
import sys
import threading

import jax
import numpy as np

from siri_jax import types
from siri_jax.runtime import exit_status
from siri_jax.settings import Rule, whole

PLACE = re.compile(r'([\w.-]+|\[[\da-f:]+\]):\d{1,5}', re.ASCII | re.IGNORECASE)
SETTINGS = {
  'count': whole(1),
  'coordinator': Rule(
    lambda v: v == '' or (isinstance(v, str) and PLACE.fullmatch(v)),
    "HOST:PORT, or ''",
  ),
  'index': whole(-1),
}

WAIT_MS = 1000  # Poll interval of the key-value store.
PART_BYTES = 1 << 20  # Of a message: the store takes at most 4 MB at a time.
JOIN_SECS = 300  # Time that a process waits for the others to start.
NOTICE_SECS = 10  # Time after which it prints that it waits.
SHUTDOWN_SECS = 60  # Time that a finished process waits for the others.
HEARTBEAT_SECS = 30  # Without a heartbeat JAX ends all processes; default 100.
STOP = 'siri/stop'
START, READY = 'start', 'ready'  # Barriers.
BATCH = 'batch'  # All processes have received the messages before the last one.


class RunEndedError(Exception):
  """Process 0 has ended the run with this exit status."""

  def __init__(self, status):
    super().__init__(f'process 0 ended with status {status}')
    self.status = status


class SingleProcess:
  """A run of one process: broadcasts do nothing."""

  first = True

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass

  def broadcast(self, word, **given):
    """Sends a message and its arrays to all other processes."""

  def broadcast_value(self, decide):
    """The number or text that `decide` returns in process 0."""
    return decide()

  def barrier(self, where, alike):
    """Waits for all processes and compares their values with process 0's.

    Args:
      where: START, before devices are used, or READY, after everything is
        opened that may be refused.
      alike: name -> text of each value that must be equal.
    Raises:
      ValueError: a process has ended, or has other values; names each.
      RunEndedError: process 0 has ended.
    """

  def listening(self, relay):
    """A context that calls `relay` when another process gets a signal."""
    return contextlib.nullcontext(relay)

  def end(self, status):
    """Ends the run in all processes; returns the exit status."""
    return status


class Leader(SingleProcess):
  """Process 0, which decides what runs next."""

  def __init__(self, count):
    self._store, self._count = _state().client, count
    self._sent = self._received = self._kept = 0
    self._over = False

  def __exit__(self, *_):
    if not self._over:
      self.end(1)  # It failed.
    jax.distributed.shutdown()

  def broadcast(self, word, **given):
    if word == BATCH:
      self._forget()
    file = io.BytesIO()
    np.savez(file, **given)
    data, key = file.getvalue(), _key(self._sent)
    places = range(0, len(data), PART_BYTES)
    for number, place in enumerate(places):
      part = data[place : place + PART_BYTES]
      self._store.key_value_set_bytes(f'{key}/{number}', part)
    self._store.key_value_set(f'{key}/head', f'{word} {len(places)}')
    self._sent += 1
    if word == BATCH:
      self._received = self._sent

  def broadcast_value(self, decide):
    value = decide()
    self.broadcast('value', value=value)
    return value

  def barrier(self, where, alike):
    wrong = []
    for index in range(1, self._count):
      while not (theirs := _found(self._store, _met(where, index))):
        if _found(self._store, _ended(index), wait_ms=1):
          raise ValueError(f'process {index} ended; see its own message')
      wrong += _unlike(index, json.loads(theirs), alike)
    if wrong:
      raise ValueError('\n'.join(wrong))
    self.broadcast('barrier')

  @contextlib.contextmanager
  def listening(self, relay):
    ended = threading.Event()

    def listen():
      while not ended.is_set():
        if _found(self._store, STOP):
          relay()
          return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
      yield
    finally:
      ended.set()
      thread.join()

  def end(self, status):
    self._over = True
    self.broadcast('end', status=status)
    return status

  def _forget(self):
    """Deletes the messages up to the last batch: all have received them."""
    for number in range(self._kept, self._received):
      self._store.key_value_delete(_key(number))
    self._kept = self._received


class Follower(SingleProcess):
  """A process that follows process 0."""

  first = False

  def __init__(self, index):
    self._store, self._index, self._received = _state().client, index, 0

  def __exit__(self, *_):
    jax.distributed.shutdown()

  def broadcast_value(self, decide):
    del decide
    return self.receive()[1]['value'].item()

  def barrier(self, where, alike):
    self._store.key_value_set(_met(where, self._index), json.dumps(alike))
    self.receive()

  def end(self, status):
    # So that the others do not wait for it at the barrier.
    self._store.key_value_set(_ended(self._index), 'yes')
    return status

  def receive(self):
    """The next (word, arrays by name); waits without a limit.

    Raises:
      RunEndedError: the run is over.
    """
    key = _key(self._received)
    while not (head := _found(self._store, f'{key}/head')):
      pass
    word, parts = head.split()
    data = b''.join(
      self._store.blocking_key_value_get_bytes(f'{key}/{n}', WAIT_MS)
      for n in range(int(parts))
    )
    self._received += 1
    with np.load(io.BytesIO(data)) as file:
      given = dict(file)
    if word == 'end':
      raise RunEndedError(int(given['status']))
    return word, given

  def pass_on(self, text):
    """Reports to process 0 that this process got a signal."""
    del text
    self._store.key_value_set(STOP, 'asked', allow_overwrite=True)


def join(kw):
  """Joins the run's processes; call it before JAX uses a device.

  Args:
    kw: the config's hosts_kw.
  Returns:
    SingleProcess, Leader or Follower; a context manager.
  Raises:
    ValueError: the address of process 0 is unknown, or a process is missing.
  """
  if kw.count == 1:
    return SingleProcess()
  # JAX's preemption service would take TERM from stopwatch.Signals, which has
  # a deadline, and delay the save to the end of the next step.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    with _patience(kw):
      jax.distributed.initialize(
        kw.coordinator or None,
        kw.count,
        kw.index if kw.coordinator else None,
        cluster_detection_method='deactivate' if kw.coordinator else None,
        initialization_timeout=2 * JOIN_SECS,  # Longer than ours.
        heartbeat_timeout_seconds=HEARTBEAT_SECS,
        shutdown_timeout_seconds=SHUTDOWN_SECS,
      )
  except (ValueError, RuntimeError) as error:
    why = str(error).partition('\n')[0]
    raise ValueError(
      f'hosts_kw.count={kw.count}: the processes cannot connect: {why} Start '
      'them with srun or mpirun, or give each one the HOST:PORT of process 0 '
      'as hosts_kw.coordinator, and its own hosts_kw.index'
    ) from error
  index = _state().process_id
  return Follower(index) if index else Leader(kw.count)


@contextlib.contextmanager
def _patience(kw):
  """Exits if the others do not come in time; JAX would abort instead."""
  come = threading.Event()
  where = kw.coordinator or "the cluster's address of process 0"

  def wait():
    if come.wait(NOTICE_SECS):
      return
    print(f'waiting for {kw.count} processes at {where}', file=sys.stderr)
    if come.wait(JOIN_SECS - NOTICE_SECS):
      return
    print(
      f'refused: hosts_kw.count={kw.count}: after {JOIN_SECS} s not all '
      f'processes had connected to {where}. Check that all of them can reach '
      'it, with the same hosts_kw.count and a different hosts_kw.index each',
      file=sys.stderr,
      flush=True,
    )
    os._exit(exit_status.REFUSED)

  threading.Thread(target=wait, daemon=True).start()
  try:
    yield
  finally:
    come.set()


def encode_batch(samples, advantages):
  """A batch as arrays by name, which `decode_batch` reads.

  Args:
    samples: list of B types.Tokens.
    advantages: float32 [B].
  """
  logp = [
    np.full(s.response_ids.size, np.nan, np.float32)
    if s.sampler_logp is None
    else s.sampler_logp
    for s in samples
  ]
  forced = [
    np.zeros(s.response_ids.size, bool) if s.forced is None else s.forced
    for s in samples
  ]
  whole = types.Chunks(0, 0, 0)
  return {
    'prompts': np.concatenate([s.prompt_ids for s in samples]),
    'prompt_ends': np.cumsum([s.prompt_ids.size for s in samples]),
    'responses': np.concatenate([s.response_ids for s in samples]),
    'response_ends': np.cumsum([s.response_ids.size for s in samples]),
    'sampler_logp': np.concatenate(logp),
    'forced': np.concatenate(forced),
    'chunks': np.asarray([s.chunks or whole for s in samples], np.int32),
    'advantages': advantages,
  }


def decode_batch(given):
  """The inverse of `encode_batch`.

  Args:
    given: result of `encode_batch`.
  Returns:
    list of B types.Tokens, float32 [B] advantages.
  """
  parts = [
    np.split(given[name], given[ends][:-1])
    for name, ends in (
      ('prompts', 'prompt_ends'),
      ('responses', 'response_ends'),
      ('sampler_logp', 'response_ends'),
      ('forced', 'response_ends'),
    )
  ]
  samples = [
    types.Tokens(
      prompt_ids=prompt,
      response_ids=response,
      sampler_logp=logp,
      forced=forced,
      chunks=types.Chunks(*map(int, chunks)) if chunks.any() else None,
    )
    for prompt, response, logp, forced, chunks in zip(
      *parts, given['chunks'], strict=True
    )
  ]
  return samples, given['advantages']


def _unlike(index, theirs, ours):
  """A message for each value in which a process differs from process 0."""
  return [
    f'process {index} has {name}={theirs.get(name)}, process 0 has '
    f'{ours.get(name)}; start all with the same command line'
    for name in {**ours, **theirs}
    if theirs.get(name) != ours.get(name)
  ]


def _found(store, key, wait_ms=WAIT_MS):
  """The text of a key; None if it does not appear in time."""
  try:
    return store.blocking_key_value_get(key, wait_ms)
  except jax.errors.JaxRuntimeError as error:
    if 'DEADLINE_EXCEEDED' not in str(error):
      raise
  return None


def _key(number):
  return f'siri/{number}'


def _met(where, index):
  return f'siri/{where}/{index}'


def _ended(index):
  return f'siri/ended/{index}'


def _state():
  """JAX's state of the processes, with the key-value store of process 0."""
  # Not public. jax.experimental.multihost_utils would use the devices, which
  # must be free while process 0 samples, and jax.process_index waits for the
  # devices of all processes.
  from jax._src import distributed

  return distributed.global_state
