"""The pool of servers: load balancing, retries and stalls.

A request goes to the least loaded server. A server that fails gets no requests
for a while, longer after each failure, and gets the newest weights before its
next request. If it samples no token for too long, its requests are cancelled.
"""

import concurrent.futures
import contextlib
import random
import re
import threading
import time

from siri_jax.rollout import http_client

LOOK_SECS = 2.0  # Interval at which token counters are polled.
REST_SECS, LONGEST_REST_SECS = 0.5, 30.0  # Pause after a failure; it doubles.
TRIES = 3  # Least attempts at a request, regardless of time.
TOKENS = re.compile(rb'^vllm:generation_tokens_total\b.*?\s(\S+)$', re.M)


class ClientClosedError(Exception):
  """The client was closed during a request."""


class Server:
  """The state of a server in the pool.

  Attributes:
    line: http_client.Connection to it.
    current: whether it is known to serve the newest weights.
    load: requests in progress.
    failures: failures in a row.
  """

  def __init__(self, url):
    self.line = http_client.Connection(url)
    self.current = False
    self.load = self.failures = 0
    self.lock = threading.Lock()  # Held during a push of weights.
    self.rests_until = 0.0
    self.tokens, self.moved = -1.0, 0.0  # Token counter; time of last change.

  def look(self):
    """Polls the server's token counter."""
    found = TOKENS.findall(self.line.ask('GET', '/metrics'))
    tokens = sum(map(float, found))
    if tokens != self.tokens:
      self.tokens, self.moved = tokens, time.monotonic()


class ServerPool:
  """All servers of a run.

  Attributes:
    hosts: list of Server.
  """

  def __init__(self, urls, *, patience_secs, grace_secs, refresh, say):
    """Makes no request.

    Args:
      urls: addresses.
      patience_secs: time without a token after which requests are cancelled;
        time of failures after which a request raises.
      grace_secs: added to the latter, for servers that are restarted.
      refresh: Server -> None; pushes the newest weights unless it serves them.
      say: called with messages when a server fails or is back.
    Raises:
      ValueError: an address is invalid.
    """
    self.hosts = [Server(url) for url in urls]
    self._patience, self._refresh, self._say = patience_secs, refresh, say
    self._longest = patience_secs + grace_secs
    self._changed = threading.Condition()

  def run(self, work, ended):
    """Calls work(host) until it succeeds and returns its result.

    Args:
      work: Server -> anything; it is retried after http_client.TransientError.
      ended: threading.Event that ends the retries.
    Raises:
      http_client.ServerError: it failed for too long, or a server refused.
      ClientClosedError: `ended` was set.
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
        if tries >= TRIES and time.monotonic() - since > self._longest:
          raise http_client.ServerError(
            f'{error} ({tries} tries in {time.monotonic() - since:.0f} s). '
            'Restart that server (siri_jax.commands.serve) if it is down, '
            'then resume the run with the same command'
          ) from error
      else:
        self._worked(host)
        return done
      finally:
        self._give_back(host)

  def each(self, work):
    """Calls work(host) on all servers in parallel.

    A server that fails gets the newest weights before its next request.

    Raises:
      http_client.ServerError: all servers failed for too long.
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
    """A context that cancels requests `own` of servers that stall."""
    over = threading.Event()
    for host in self.hosts:
      host.moved = time.monotonic()
    threading.Thread(target=self._watch, args=(own, over), daemon=True).start()
    try:
      yield
    finally:
      over.set()

  def break_off(self, own):
    """Cancels the open requests with key `own`."""
    for host in self.hosts:
      host.line.break_off(own)
    with self._changed:
      self._changed.notify_all()

  def _watch(self, own, over):
    """Polls the servers and cancels the requests of those that stall."""
    while not over.wait(min(LOOK_SECS, self._patience / 4)):
      for host in self.hosts:
        if not host.load:
          host.moved = time.monotonic()
          continue
        with contextlib.suppress(http_client.ServerError):
          host.look()
        if time.monotonic() - host.moved > self._patience:
          self._say(
            f'{host.line.url} sampled no token for {self._patience:g} s; its '
            'requests are cancelled and retried'
          )
          host.current, host.moved = False, time.monotonic()
          host.line.break_off(own)

  def _take(self, ended):
    """The least loaded server that is not paused; waits for one."""
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
        return  # One failure may end many requests; it counts once.
      rest = min(REST_SECS * 2**host.failures, LONGEST_REST_SECS)
      host.failures += 1
      host.rests_until = time.monotonic() + rest * random.uniform(0.75, 1.25)
      if host.failures == 1:
        self._say(f'{error}; retrying')

  def _worked(self, host):
    with self._changed:
      if host.failures > 1:
        self._say(f'{host.line.url} is back after {host.failures} failures')
      host.failures = 0
