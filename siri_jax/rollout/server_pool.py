"""The servers that sample, which of them to ask, and whether they move.

Work goes to the least loaded server that is up to date. One that fails rests
for a while, longer each time, and is looked at before it is used again; one
that makes no token for too long has its requests broken off.
"""

import concurrent.futures
import contextlib
import random
import re
import threading
import time

from siri_jax.rollout import http_client

LOOK_SECS = 2.0  # Between two looks at the servers' token counters.
REST_SECS, LONGEST_REST_SECS = 0.5, 30.0  # After a failure; it doubles.
TRIES = 3  # Of a piece of work, however long they take.
TOKENS = re.compile(rb'^vllm:generation_tokens_total\b.*?\s(\S+)$', re.M)


class ClientClosedError(Exception):
  """The client was closed during a request."""


class Server:
  """A server as its client knows it.

  Attributes:
    line: http_client.Connection to it.
    current: whether it is known to serve the newest weights.
    load: pieces of work under way there.
    failures: in a row.
  """

  def __init__(self, url):
    self.line = http_client.Connection(url)
    self.current = False
    self.load = self.failures = 0
    self.lock = threading.Lock()  # Of its being brought up to date.
    self.rests_until = 0.0
    self.tokens, self.moved = -1.0, 0.0  # Its counter, and when it last rose.

  def look(self):
    """Notes whether the server has made tokens since the last look."""
    found = TOKENS.findall(self.line.ask('GET', '/metrics'))
    tokens = sum(map(float, found))
    if tokens != self.tokens:
      self.tokens, self.moved = tokens, time.monotonic()


class ServerPool:
  """All servers of a run.

  Attributes:
    hosts: list of Host.
  """

  def __init__(self, urls, *, patience_secs, refresh, say):
    """Nothing is asked yet.

    Args:
      urls: addresses.
      patience_secs: without a token, until requests are broken off; and of
        failures in a row, until a piece of work is given up.
      refresh: Host -> None; brings a server up to date that is not, or may
        not be.
      say: hears of servers that fail and that come back, as text.
    Raises:
      ValueError: an address is none.
    """
    self.hosts = [Server(url) for url in urls]
    self._patience, self._refresh, self._say = patience_secs, refresh, say
    self._changed = threading.Condition()

  def run(self, work, ended):
    """What work(host) returns, tried until it succeeds.

    Args:
      work: Server -> anything; raises http_client.TransientError to be
        tried again.
      ended: threading.Event after which nothing is tried any more.
    Raises:
      http_client.ServerError: it failed for too long, or a server refuses.
      ClientClosedError: it was ended before.
    """
    tries, since = 0, None
    while True:
      host = self._take(ended)
      try:
        self._refresh(host)
        done = work(host)
      except http_client.TransientError as error:
        if ended.is_set():
          raise ClientClosedError from error
        self._failed(host, error)
        tries, since = tries + 1, since or time.monotonic()
        if tries >= TRIES and time.monotonic() - since > self._patience:
          raise http_client.ServerError(
            f'{error} ({tries} tries in {time.monotonic() - since:.0f} s). '
            'Look at that server and start it again if need be '
            '(siri_jax.commands.serve); the same command goes on'
          ) from error
      else:
        self._worked(host)
        return done
      finally:
        self._give_back(host)

  def each(self, work):
    """Does work(host) on all servers at a time.

    One that fails rests, and is looked at before it is used again.

    Raises:
      http_client.ServerError: it failed on all of them, for too long.
    """
    with concurrent.futures.ThreadPoolExecutor(len(self.hosts)) as pool:
      done = [pool.submit(work, host) for host in self.hosts]
    passing = [d.exception() for d in done]
    for host, error in zip(self.hosts, passing, strict=True):
      if isinstance(error, http_client.TransientError):
        self._failed(host, error)
      elif error:
        raise error
    if all(passing):
      self.run(work, threading.Event())

  @contextlib.contextmanager
  def watched(self, own):
    """Within it, requests `own` are cancelled where nothing moves."""
    over = threading.Event()
    for host in self.hosts:
      host.moved = time.monotonic()
    threading.Thread(target=self._watch, args=(own, over), daemon=True).start()
    try:
      yield
    finally:
      over.set()

  def break_off(self, own):
    """Ends the exchanges under way that are `own`."""
    for host in self.hosts:
      host.line.break_off(own)
    with self._changed:
      self._changed.notify_all()

  def _watch(self, own, over):
    """Looks at the servers from time to time."""
    while not over.wait(min(LOOK_SECS, self._patience / 4)):
      for host in self.hosts:
        if not host.load:
          host.moved = time.monotonic()
          continue
        with contextlib.suppress(http_client.ServerError):
          host.look()
        if time.monotonic() - host.moved > self._patience:
          self._say(
            f'{host.line.url} has made no token for {self._patience:g} s; its '
            'requests are broken off and asked again'
          )
          host.current, host.moved = False, time.monotonic()
          host.line.break_off(own)

  def _take(self, ended):
    """The least loaded server that does not rest; waits for one."""
    with self._changed:
      while not ended.is_set():
        now = time.monotonic()
        ready = [h for h in self.hosts if h.rests_until <= now]
        if ready:
          host = min(ready, key=lambda h: h.load)
          host.load += 1
          return host
        first = min(host.rests_until for host in self.hosts)
        self._changed.wait(min(first - now, 1.0))
    raise ClientClosedError

  def _give_back(self, host):
    with self._changed:
      host.load -= 1
      self._changed.notify_all()

  def _failed(self, host, error):
    with self._changed:
      host.current = False
      if time.monotonic() < host.rests_until:
        return  # One fault may end many requests: it counts once.
      rest = min(REST_SECS * 2**host.failures, LONGEST_REST_SECS)
      host.failures += 1
      host.rests_until = time.monotonic() + rest * random.uniform(0.75, 1.25)
      if host.failures == 1:
        self._say(f'{error}; it is asked again')

  def _worked(self, host):
    with self._changed:
      if host.failures > 1:
        self._say(f'{host.line.url} is back, after {host.failures} failures')
      host.failures = 0
