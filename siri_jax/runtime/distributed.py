"""Several processes as one run.

Each process holds its part of every array and takes part in each program that
runs on all devices. Process 0 decides what runs next and broadcasts it. The
others keep no step, cap or signal state, so they cannot disagree.
"""

import contextlib
import io
import json
import os
import sys
import threading

import jax
import numpy as np

from siri_jax import types
from siri_jax.runtime import exit_status
from siri_jax.settings import TEXT, whole

SETTINGS = {'count': whole(1), 'coordinator': TEXT, 'index': whole(-1)}

WAIT_MS = 1000  # Between two looks at what else there is to do.
PART_BYTES = 1 << 20  # Of a message: the store takes at most 4 MB at a time.
JOIN_SECS = 300  # That one waits for the others to start,
NOTICE_SECS = 10  # and says so after these.
SHUTDOWN_SECS = 60  # That who has ended waits for the others.
HEARTBEAT_SECS = 30  # Without a sign of one, until JAX ends them all; its 100.
STOP = 'siri/stop'
START, READY = 'start', 'ready'  # Barriers.
BATCH = 'batch'  # After it, all have received all messages before it.


class RunEndedError(Exception):
  """The first process has ended the run, with this exit status."""

  def __init__(self, status):
    super().__init__(f'the first process ended with status {status}')
    self.status = status


class SingleProcess:
  """A run of one process: broadcasts go nowhere."""

  first = True

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass

  def broadcast(self, word, **given):
    """Sends a message and its arrays to all other processes."""

  def broadcast_value(self, decide):
    """The number or text that `decide` returns in the first process."""
    return decide()

  def barrier(self, where, alike):
    """Returns once every process is there, with the same as the first.

    Args:
      where: START, before devices, which meet each other, or READY, with all
        opened that one of them may be refused.
      alike: name -> text of what all have to have alike.
    Raises:
      ValueError: one of them has ended, or has something else than the
        first: each such name.
      RunEndedError: the first has.
    """

  def listening(self, relay):
    """Within it, `relay` is called where a signal came to another process."""
    return contextlib.nullcontext(relay)

  def end(self, status):
    """Ends the run in all processes; returns the exit status."""
    return status


class Leader(SingleProcess):
  """The process that decides."""

  def __init__(self, count):
    self._store, self._count = _state().client, count
    self._told = self._heard = self._kept = 0
    self._over = False

  def __exit__(self, *_):
    if not self._over:
      self.end(1)  # Something went wrong here.
    jax.distributed.shutdown()

  def broadcast(self, word, **given):
    if word == BATCH:
      self._forget()
    file = io.BytesIO()
    np.savez(file, **given)
    data, key = file.getvalue(), _key(self._told)
    places = range(0, len(data), PART_BYTES)
    for number, place in enumerate(places):
      part = data[place : place + PART_BYTES]
      self._store.key_value_set_bytes(f'{key}/{number}', part)
    self._store.key_value_set(f'{key}/head', f'{word} {len(places)}')
    self._told += 1
    if word == BATCH:
      self._heard = self._told

  def broadcast_value(self, decide):
    value = decide()
    self.broadcast('value', value=value)
    return value

  def barrier(self, where, alike):
    wrong = []
    for index in range(1, self._count):
      while not (theirs := _found(self._store, _met(where, index))):
        if _found(self._store, _ended(index), wait_ms=1):
          raise ValueError(f'process {index} cannot take part; it says why')
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
    """Deletes the messages up to the last batch, which all have received."""
    for number in range(self._kept, self._heard):
      self._store.key_value_delete(_key(number))
    self._kept = self._heard


class Follower(SingleProcess):
  """A process that follows process 0."""

  first = False

  def __init__(self, index):
    self._store, self._index, self._heard = _state().client, index, 0

  def __exit__(self, *_):
    jax.distributed.shutdown()

  def broadcast_value(self, decide):
    del decide
    return self.receive()[1]['value'].item()

  def barrier(self, where, alike):
    self._store.key_value_set(_met(where, self._index), json.dumps(alike))
    self.receive()

  def end(self, status):
    # Of use where it has not met the others, who wait for it.
    self._store.key_value_set(_ended(self._index), 'yes')
    return status

  def receive(self):
    """The next (word, arrays by name); waits for as long as it takes.

    Raises:
      RunEndedError: the run is over.
    """
    key = _key(self._heard)
    while not (head := _found(self._store, f'{key}/head')):
      pass
    word, parts = head.split()
    data = b''.join(
      self._store.blocking_key_value_get_bytes(f'{key}/{n}', WAIT_MS)
      for n in range(int(parts))
    )
    self._heard += 1
    with np.load(io.BytesIO(data)) as file:
      given = dict(file)
    if word == 'end':
      raise RunEndedError(int(given['status']))
    return word, given

  def pass_on(self, text):
    """Tells the first process that a signal came here."""
    del text
    self._store.key_value_set(STOP, 'asked', allow_overwrite=True)


def join(kw):
  """This process's part in a run; to be called before JAX meets a device.

  Args:
    kw: the config's hosts_kw.
  Returns:
    Alone, First or Other, to be entered.
  Raises:
    ValueError: nothing tells where the others are, or they do not come.
  """
  if kw.count == 1:
    return SingleProcess()
  # It would take TERM from stopwatch.Signals, which keeps the deadline, and
  # have all go on to the end of the next step before they save.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    with _patience(kw):
      jax.distributed.initialize(
        kw.coordinator or None,
        kw.count,
        kw.index if kw.coordinator else None,
        cluster_detection_method='deactivate' if kw.coordinator else None,
        initialization_timeout=2 * JOIN_SECS,  # Ours is over before.
        heartbeat_timeout_seconds=HEARTBEAT_SECS,
        shutdown_timeout_seconds=SHUTDOWN_SECS,
      )
  except (ValueError, RuntimeError) as error:
    why = str(error).partition('\n')[0]
    raise ValueError(
      f'hosts_kw.count={kw.count}: the processes do not find each other: '
      f'{why} Start them by a cluster that JAX knows (srun, mpirun), or give '
      'each one hosts_kw.coordinator=HOST:PORT of the first and its index'
    ) from error
  index = _state().process_id
  return Follower(index) if index else Leader(kw.count)


@contextlib.contextmanager
def _patience(kw):
  """Ends this process where the others do not come; JAX would abort it."""
  come = threading.Event()
  where = kw.coordinator or 'the address that the cluster gives'

  def wait():
    if come.wait(NOTICE_SECS):
      return
    print(f'waiting for {kw.count} processes at {where}', file=sys.stderr)
    if come.wait(JOIN_SECS - NOTICE_SECS):
      return
    print(
      f'refused: hosts_kw.count={kw.count}: after {JOIN_SECS} s not all of '
      f'them had come to {where}. That is the first one, which all have to '
      'reach; each needs the same count and an index of its own',
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
  return {
    'prompts': np.concatenate([s.prompt_ids for s in samples]),
    'prompt_ends': np.cumsum([s.prompt_ids.size for s in samples]),
    'responses': np.concatenate([s.response_ids for s in samples]),
    'response_ends': np.cumsum([s.response_ids.size for s in samples]),
    'sampler_logp': np.concatenate(logp),
    'advantages': advantages,
  }


def decode_batch(given):
  """What `encode_batch` was given.

  Args:
    given: what `encode_batch` returned.
  Returns:
    list of B types.Tokens, float32 [B] advantages.
  """
  parts = [
    np.split(given[name], given[ends][:-1])
    for name, ends in (
      ('prompts', 'prompt_ends'),
      ('responses', 'response_ends'),
      ('sampler_logp', 'response_ends'),
    )
  ]
  samples = [
    types.Tokens(prompt_ids=prompt, response_ids=response, sampler_logp=logp)
    for prompt, response, logp in zip(*parts, strict=True)
  ]
  return samples, given['advantages']


def _unlike(index, theirs, ours):
  """What another process has otherwise than the first, a line each."""
  return [
    f'process {index} has {name}={theirs.get(name)}, the first one '
    f'{ours.get(name)}: start all with the same command line'
    for name in {**ours, **theirs}
    if theirs.get(name) != ours.get(name)
  ]


def _found(store, key, wait_ms=WAIT_MS):
  """The text under a key, None where there is none for a while."""
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
  """What JAX knows of the processes, with the first one's key-value store."""
  # Not public: jax.experimental.multihost_utils sends by the devices, which
  # are to be free while the first process samples; and jax.process_index
  # waits for the devices of all.
  from jax._src import distributed

  return distributed.global_state
