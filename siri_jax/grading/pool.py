"""Grades in worker processes that may be killed: no answer can stop a run.

The parent holds the clock. A worker that overruns it, or dies, costs the one
answer that it was at, which counts as wrong, and is replaced.
"""

import collections
import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import queue
import select
import subprocess
import sys
import time
from typing import NamedTuple

import siri_jax
from siri_jax import lookup
from siri_jax.grading.verdict import DISAGREEMENTS, Verdict

START_SECS = 60.0  # Until a worker has imported sympy, on a busy machine.
CHUNK = 16  # Answers of one message.
CACHED = 50_000  # Verdicts kept, of at most a kilobyte or so.
KEPT = 1000  # Disagreements kept until somebody takes them.
TIMEOUT = Verdict(False, '', 'timeout')
DIED = Verdict(False, '', 'worker died')


class Ticket(NamedTuple):
  """Answers on their way through the workers; `collect` takes it."""

  keys: list[bytes]  # Of every answer, in order.
  answers: list[tuple[str, str]]  # Gold and text of each.
  known: dict[bytes, Verdict]  # Those that the cache had.
  pending: list  # (keys, future list of their verdicts)


class Graders:
  """A rule in `workers` processes: `with Graders(...) as graders`.

  Attributes:
    counts: how many answers were 'graded' and, of these, 'cached' (met
      before), 'timeouts', 'crashes' and 'disagreements'; since the start.
    disagreements: what `either` was of two minds about, as dicts of gold,
      text, extracted and why; the newest KEPT. Whoever logs them clears them.
  """

  def __init__(self, rule, rule_kw, *, workers, secs, memory_gb):
    """Binds the rule; entering the context starts the workers.

    Args:
      rule: a rule's name (siri_jax/grading/rules.py) or 'module:function'.
      rule_kw: mapping of its settings.
      workers: how many processes.
      secs: wall-clock seconds that one answer may take.
      memory_gb: address space of one worker, GiB.
    Raises:
      ValueError: the rule is unknown or its settings are.
    """
    rule_kw = dict(rule_kw)
    lookup.find('rule', rule, rule_kw)
    self._setup = dict(
      rule=rule, rule_kw=rule_kw, secs=secs, memory_gb=memory_gb
    )
    self._size = workers
    self._idle = queue.SimpleQueue()
    self._alive = set()
    self._closing = False
    self._cache = collections.OrderedDict()
    self.counts = dict.fromkeys(
      ('graded', 'cached', 'timeouts', 'crashes', 'disagreements'), 0
    )
    self.disagreements = collections.deque(maxlen=KEPT)

  def __enter__(self):
    """Starts the workers and waits till they are warm.

    Raises:
      RuntimeError: one does not start.
    """
    self._threads = concurrent.futures.ThreadPoolExecutor(
      self._size, thread_name_prefix='grading'
    )
    try:
      for worker in self._threads.map(self._start, range(self._size)):
        self._idle.put(worker)
    except (OSError, EOFError, ValueError) as error:
      self.__exit__()
      raise RuntimeError(
        'a grading worker did not start; what it says: '
        'python -m siri_jax.grading.worker < /dev/null'
      ) from error
    return self

  def __exit__(self, *_):
    self._closing = True
    self._threads.shutdown(wait=False, cancel_futures=True)
    for worker in list(self._alive):
      worker.kill()
    self._threads.shutdown()

  def grade(self, golds, texts, settings=None):
    """Verdicts on `texts`, in order: `submit` and `collect` in one."""
    return self.collect(self.submit(golds, texts, settings))

  def submit(self, golds, texts, settings=None):
    """Hands answers to the workers and returns a ticket at once.

    Args:
      golds: the reference of each answer, or a list of them of which any do.
      texts: what was answered.
      settings: for each answer the rule's settings that differ from rule_kw,
        or None.
    """
    settings = settings or itertools.repeat(None)
    answers = list(zip(golds, texts, strict=True))
    keys, known, fresh = [], {}, {}
    for (gold, text), changed in zip(answers, settings, strict=False):
      item = json.dumps([gold, text, changed])
      key = hashlib.blake2b(item.encode(), digest_size=16).digest()
      keys.append(key)
      if key in self._cache:
        self._cache.move_to_end(key)
        known[key] = self._cache[key]
      else:
        fresh[key] = item
    pending = [
      (chunk, self._threads.submit(self._grade, [fresh[key] for key in chunk]))
      for chunk in _chunks(list(fresh), CHUNK)
    ]
    return Ticket(keys, answers, known, pending)

  def collect(self, ticket):
    """Waits for a ticket's verdicts and returns them in the order submitted."""
    found = dict(ticket.known)
    for keys, future in ticket.pending:
      found.update(zip(keys, future.result(), strict=True))
    verdicts = [found[key] for key in ticket.keys]
    self._count(verdicts, cached=len(verdicts) - sum(map(len, ...)))
    return verdicts
