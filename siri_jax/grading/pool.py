"""Grades in worker processes that may be killed: no answer can stop a run.

The parent holds the clock. A worker that overruns it, or dies, costs the one
answer that it was at, which counts as wrong, and is replaced.
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

CHUNK = 16  # Answers of one message.
CACHED = 50_000  # Verdicts kept, of at most a kilobyte or so.
RETIRED_AFTER = 10_000  # Answers; sympy's and antlr's caches only grow.
KEPT = 1000  # Disagreements kept until somebody takes them.


class Ticket(NamedTuple):
  """Answers on their way through the workers; `collect` takes it."""

  answers: list[tuple[str, str]]  # Gold and text of each.
  keys: list[bytes]  # And what the cache knows it by.
  known: dict[bytes, Verdict]  # Those it had at once.
  pending: list[tuple[list[bytes], concurrent.futures.Future]]

  def is_done(self):
    """Whether `collect` would not have to wait."""
    return all(future.done() for _, future in self.pending)


class GraderPool:
  """A rule in worker processes: `with GraderPool(...) as graders`.

  Attributes:
    counts: since the start, how many answers were 'answers' and, of these,
      'cached' (met before), 'timeouts', 'crashes' and 'disagreements'.
    disagreements: responses that `either`'s rules judged apart: dicts of gold,
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
    """Starts the workers and waits till they are warm.

    Raises:
      ValueError: one does not start, or its rule fails as it is set.
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
        f'a grading worker does not start ({str(error) or "no answer"}): look '
        'at rule_kw and grader_kw.memory_gb'
      ) from error
    return self

  def __exit__(self, *_):
    self._closing = True
    # Twice: a thread may be starting a worker while the others are killed.
    for wait in (False, True):
      self._threads.shutdown(wait=wait, cancel_futures=True)
      for worker in list(self._workers):
        worker.kill()

  def grade(self, golds, texts, settings=None):
    """Verdicts on `texts`, in order: `submit` and `collect` in one."""
    return self.collect(self.submit(golds, texts, settings))

  def submit(self, golds, texts, settings=None):
    """Hands answers to the workers and returns a ticket at once.

    Args:
      golds: the reference of each answer, or a list of which any will do.
      texts: what was answered.
      settings: for each answer a mapping of the rule's settings that differ
        from rule_kw, or None; nothing for no differences.
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
    """Waits for a ticket's verdicts and returns them as they were submitted."""
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
    """Verdicts on a chunk, by one worker and those that have to replace it."""
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
    """A new worker; the dead one, which grades nothing, where none starts."""
    try:
      worker = self._start()
    except OSError:
      return dead
    self._workers.discard(dead)
    return worker

  def _remember(self, new):
    # A timeout says as much of the machine as of the answer: not kept.
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
  """A mapping in pieces of CHUNK."""
  left = iter(items.items())
  while piece := dict(itertools.islice(left, CHUNK)):
    yield piece
