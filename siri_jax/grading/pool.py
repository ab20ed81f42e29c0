"""Grades in worker processes, so that no answer can stop a run.

The parent keeps the time limit. If a worker exceeds it or dies, its current
answer counts as wrong, and a new worker replaces it.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import queue
from typing import NamedTuple

from siri_jax import plugins
from siri_jax.grading import worker_process
from siri_jax.grading.verdict import DISAGREEMENTS, Verdict
from siri_jax.settings import real, whole

SETTINGS = {'workers': whole(1), 'secs': real(0), 'memory_gb': real(0)}

CHUNK = 16  # Answers per message.
CACHED = 50_000  # Verdicts in the cache, each about 1 KB at most.
RETIRED_AFTER = 10_000  # Answers; the caches of sympy and antlr only grow.
KEPT = 1000  # Disagreements kept until the caller clears them.


class Ticket(NamedTuple):
  """Submitted answers, an argument of `collect`."""

  answers: list[tuple[str, str]]  # Gold and text of each.
  keys: list[bytes]  # Cache key of each.
  known: dict[bytes, Verdict]  # Verdicts from the cache.
  pending: list[tuple[list[bytes], concurrent.futures.Future]]

  def is_done(self):
    """Whether `collect` would return without waiting."""
    return all(future.done() for _, future in self.pending)


class GraderPool:
  """A rule in worker processes: `with GraderPool(...) as graders`.

  Attributes:
    counts: numbers since the start: 'answers' and, among these, 'cached'
      (graded before), 'timeouts', 'crashes' and 'disagreements'.
    disagreements: responses on which the rules of `either` disagree: dicts of
      gold, text and the verdict; the newest KEPT. The caller clears them.
  """

  def __init__(self, rule, rule_kw, *, workers, secs, memory_gb):
    """Checks the rule; entering the context starts the workers.

    Args:
      rule: a rule's name (siri_jax/grading/rules.py) or 'module:function'.
      rule_kw: mapping of its settings.
      workers: number of processes.
      secs: time limit of one answer, wall-clock seconds.
      memory_gb: address space of one worker, GiB.
    Raises:
      ValueError: the rule or one of its settings is unknown.
    """
    plugins.find('grading_rule', rule, dict(rule_kw))
    self._setup = dict(
      rule=rule, rule_kw=dict(rule_kw), secs=secs, memory_gb=memory_gb
    )
    self._size = workers
    self._workers = set()
    self._idle = queue.SimpleQueue()
    self._closing = False
    self._cache = collections.OrderedDict()
    self.counts = dict.fromkeys(
      ('answers', 'cached', 'timeouts', 'crashes', 'disagreements'), 0
    )
    self.disagreements = collections.deque(maxlen=KEPT)

  def __enter__(self):
    """Starts the workers and waits until they are ready.

    Raises:
      ValueError: a worker fails to start, or its rule fails with its settings.
    """
    self._threads = concurrent.futures.ThreadPoolExecutor(
      self._size, thread_name_prefix='grading'
    )
    try:
      workers = [self._start() for _ in range(self._size)]
      for worker in workers:
        worker.warm_up()
        self._idle.put(worker)
    except (OSError, EOFError, ValueError) as error:
      self.__exit__()
      raise ValueError(
        f'a grading worker does not start ({str(error) or "no reply"}); check '
        'rule_kw and grader_kw.memory_gb'
      ) from error
    return self

  def __exit__(self, *_):
    self._closing = True
    # Twice: a thread may start a worker while the others are killed.
    for wait in (False, True):
      self._threads.shutdown(wait=wait, cancel_futures=True)
      for worker in list(self._workers):
        worker.kill()

  def grade(self, golds, texts, settings=None):
    """Returns verdicts on `texts`, in order: `submit`, then `collect`."""
    return self.collect(self.submit(golds, texts, settings))

  def submit(self, golds, texts, settings=None):
    """Sends answers to the workers and returns a ticket without waiting.

    Args:
      golds: for each answer, a reference or a list of accepted references.
      texts: the answers.
      settings: for each answer, a mapping of settings that override rule_kw,
        or None; None instead of the list overrides nothing.
    """
    answers = list(zip(golds, texts, strict=True))
    settings = settings or [None] * len(answers)
    keys, known, fresh = [], {}, {}
    for answer, changed in zip(answers, settings, strict=True):
      item = json.dumps([*answer, changed])
      key = hashlib.blake2b(item.encode(), digest_size=16).digest()
      keys.append(key)
      if key in self._cache:
        self._cache.move_to_end(key)
        known[key] = self._cache[key]
      else:
        fresh[key] = item
    pending = [
      (list(chunk), self._threads.submit(self._grade, list(chunk.values())))
      for chunk in _chunks(fresh)
    ]
    return Ticket(answers, keys, known, pending)

  def collect(self, ticket):
    """Waits for a ticket's verdicts and returns them in the order submitted."""
    new = {}
    for keys, future in ticket.pending:
      new.update(zip(keys, future.result(), strict=True))
    self._remember(new)
    found = ticket.known | new
    verdicts = [found[key] for key in ticket.keys]
    self._count(verdicts, list(new.values()))
    for (gold, text), verdict in zip(ticket.answers, verdicts, strict=True):
      if verdict.why in DISAGREEMENTS:
        self.disagreements.append(
          dict(gold=gold, text=text) | dataclasses.asdict(verdict)
        )
    return verdicts

  def _start(self):
    worker = worker_process.Worker(self._setup)
    self._workers.add(worker)
    return worker

  def _grade(self, items):
    """Grades a chunk with one worker, which is replaced if it dies."""
    worker = self._idle.get()
    verdicts = []
    try:
      while len(verdicts) < len(items):
        verdicts += worker.verdicts(items[len(verdicts) :])
        if worker.answered > RETIRED_AFTER:
          worker.kill()
        if not worker.alive and not self._closing:
          worker = self._replace(worker)
    finally:
      self._idle.put(worker)
    return verdicts

  def _replace(self, dead):
    """Returns a new worker, or the dead one if no process can start."""
    try:
      worker = self._start()
    except OSError:
      return dead
    self._workers.discard(dead)
    return worker

  def _remember(self, new):
    # The machine may have caused a timeout or crash: it is not cached.
    lasting = {
      key: verdict
      for key, verdict in new.items()
      if verdict not in (worker_process.TIMEOUT, worker_process.DIED)
    }
    self._cache.update(lasting)
    while len(self._cache) > CACHED:
      self._cache.popitem(last=False)

  def _count(self, verdicts, new):
    seen = collections.Counter(verdict.why for verdict in verdicts)
    for name, more in dict(
      answers=len(verdicts),
      cached=len(verdicts) - len(new),
      timeouts=new.count(worker_process.TIMEOUT),
      crashes=new.count(worker_process.DIED),
      disagreements=sum(seen[why] for why in DISAGREEMENTS),
    ).items():
      self.counts[name] += more


def _chunks(items):
  """Splits a mapping into pieces of CHUNK items."""
  left = iter(items.items())
  while piece := dict(itertools.islice(left, CHUNK)):
    yield piece
