"""The vLLM servers of a run: those of others, or the run's own processes."""

import contextlib
import fcntl
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time

import jax

from siri_jax.rollout import (
  guard,
  http_client,
  placement,
  server_command,
  weight_sync,
)

HOST = '127.0.0.1'  # Where our own servers listen.
LOOK_SECS = 0.5  # Interval at which a server that starts is polled.
CLEAR_SECS = guard.STOP_SECS + 10  # Time in which a server's processes end.
TAIL = 8  # Lines of a server's output in a message.


class External:
  """Servers that somebody else starts and restarts.

  Attributes:
    urls: their addresses.
    grace_secs: time that a restart takes at most, beyond patience_secs.
  """

  grace_secs = 0.0

  def __init__(self, urls):
    self.urls = tuple(urls)

  def revive(self, url):
    """Restarts the server at this address if its process has ended."""


class Process:
  """A guard with a server below it, in a process group of their own."""

  def __init__(self, words, environment, output=None):
    """Starts the guard; when this process ends, so does the server.

    Args:
      words: the server's command line.
      environment: its environment.
      output: file for what it prints; None: that of this process.
    """
    # -I: the folder of guard.py must not be on the path of imports.
    self._guard = subprocess.Popen(
      [sys.executable, '-I', guard.__file__, *words],
      bufsize=0,
      stdin=subprocess.PIPE,
      stdout=output,
      stderr=None if output is None else subprocess.STDOUT,
      env=environment,
      start_new_session=True,
    )

  def ended(self):
    """Whether it has ended."""
    return self._guard.poll() is not None

  def wait(self):
    """Waits for its end."""
    self._guard.wait()

  def ask_to_end(self):
    """Makes the guard end the server: TERM, then KILL."""
    self._guard.stdin.close()

  def end(self):
    """Ends all of its processes, in CLEAR_SECS at most."""
    self.ask_to_end()
    with contextlib.suppress(subprocess.TimeoutExpired):
      self._guard.wait(CLEAR_SECS)
    # A guard that was killed has left its group behind.
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._guard.pid, signal.SIGKILL)
    self._guard.wait()


class Server:
  """One server of a run.

  Attributes:
    line: http_client.Connection to it.
    log: path of its output, which is appended.
    process: its Process; None before `start`.
    restarts: how often it was restarted.
    lock: held during a restart.
  """

  process = None
  restarts = 0

  def __init__(self, port, log, words, environment):
    """Starts nothing.

    Args:
      port: its port.
      log: see Attributes.
      words: its command line.
      environment: its environment.
    """
    self.line = http_client.Connection(f'http://{HOST}:{port}')
    self.log, self.lock = log, threading.Lock()
    self._words, self._environment = words, environment

  def start(self):
    """Starts its process once no process of an earlier start is left.

    Raises:
      http_client.ServerError: some are left.
    """
    with open(self.log, 'ab') as output:
      # The server's processes inherit this lock, which ends with the last one.
      until = time.monotonic() + CLEAR_SECS
      while not _locked(output):
        if time.monotonic() > until:
          raise http_client.ServerError(
            f'{self.log} is in use by processes of an earlier server; end them'
          )
        time.sleep(LOOK_SECS)
      self.process = Process(self._words, self._environment, output)

  def ending(self):
    """A message that it has ended, with the end of its output."""
    lines = self.log.read_text(errors='replace').splitlines()
    shown = [f'  {line}' for line in lines if line.strip()][-TAIL:]
    return '\n'.join(
      [f'the server at {self.line.url} ended. The end of {self.log}:', *shown]
    )


class Owned(External):
  """Servers that this process starts, restarts and ends."""

  def __init__(self, made, settings, report):
    """Starts nothing.

    Args:
      made: list of Server.
      settings: the config's server_kw.
      report: called with a message when a server is restarted.
    """
    super().__init__(server.line.url for server in made)
    self.grace_secs = settings.start_secs
    self._made, self._settings, self._report = made, settings, report
    self._closed = False

  def start(self, screen, signals):
    """Starts all servers and waits until they answer.

    Args:
      screen: terminal.Terminal.
      signals: stopwatch.Signals.
    Raises:
      http_client.ServerError: one ends, or does not answer in start_secs.
      stopwatch.StopRequested: a signal came.
    """
    began, waiting, count = time.monotonic(), self._made, len(self._made)
    screen.say(f'starting vLLM; its output is in {self._made[0].log.parent}')
    for server in self._made:
      server.start()
    while waiting := [each for each in waiting if served(each.line) is None]:
      signals.raise_if_stopped()
      for each in waiting:
        if each.process.ended():
          raise http_client.ServerError(each.ending())
      if time.monotonic() - began > self._settings.start_secs:
        raise http_client.ServerError(
          f'{waiting[0].line.url} did not answer within server_kw.start_secs='
          f'{self._settings.start_secs:g}; its output is in {waiting[0].log}'
        )
      screen.working('starting servers', count - len(waiting), count)
      time.sleep(LOOK_SECS)
    if self._settings.placement == 'shared':  # The trainer begins.
      for each in self._made:
        each.line.post(weight_sync.SLEEP, secs=self._settings.push_secs)
    screen.working('set-up')
    secs = time.monotonic() - began
    screen.say(f'vLLM answers at {", ".join(self.urls)} after {secs:.0f} s')

  def revive(self, url):
    """Restarts a server that has ended; it answers some time later.

    Raises:
      http_client.ServerError: it was restarted too often.
    """
    server, most = self._made[self.urls.index(url)], self._settings.restarts
    with server.lock:
      if self._closed or not server.process.ended():
        return
      if server.restarts >= most:
        raise http_client.ServerError(
          f'{server.ending()}\nIt was restarted {most} times '
          '(server_kw.restarts). The same command resumes the run'
        )
      server.restarts += 1
      self._report(
        f'the server at {url} ended; restart {server.restarts} of {most}'
      )
      server.process.end()
      server.start()

  def close(self):
    """Ends all servers."""
    self._closed = True
    running = [server for server in self._made if server.process]
    for server in running:
      server.process.ask_to_end()
    for server in running:
      with server.lock:
        server.process.end()


def served(line):
  """The label of a server's weights; None until it has a model and our key.

  Args:
    line: http_client.Connection to it.
  """
  with contextlib.suppress(OSError):
    line.ask('GET', '/health')
    return weight_sync.version_of(line)
  return None


@contextlib.contextmanager
def serving(plan, task, folder, screen, signals, report):
  """A context with the servers of a config; starts those that are its own.

  Args:
    plan: plan.Plan.
    task: types.Task.
    folder: folder of the servers' output.
    screen: terminal.Terminal.
    signals: stopwatch.Signals.
    report: called with a message when a server is restarted.
  Yields:
    External, or Owned that answer; those that share GPUs sleep.
  Raises:
    ValueError: vLLM does not support the policy, or JAX was started before
      placement.reserve.
    http_client.ServerError, stopwatch.StopRequested: see Owned.start.
  """
  if not placement.starts_servers(plan.c):
    yield External(plan.c.server_kw.urls)
    return
  with _new_key():  # Before the servers' environment is made.
    made = _servers(plan, task, pathlib.Path(folder))
    with contextlib.closing(Owned(made, plan.c.server_kw, report)) as owned:
      owned.start(screen, signals)
      yield owned


def _servers(plan, task, folder):
  """The Servers of a plan, not started; see `serving`."""
  c, shares = plan.c, placement.shares(plan.c)
  if wrong := server_command.misfit(c, task):
    raise ValueError(wrong)
  if shares.trainer and jax.local_device_count() != len(shares.trainer):
    raise ValueError(
      f'JAX was started with {jax.local_device_count()} GPUs, and this run '
      f'trains on {len(shares.trainer)}; start it in a process of its own'
    )
  folder.mkdir(parents=True, exist_ok=True)
  model = server_command.model_folder(c, task, folder / 'model')
  ports = _free_ports(len(shares.servers))
  return [
    Server(
      port,
      folder / f'{number}.txt',
      server_command.arguments(plan, model, host=HOST, port=port, gpus=gpus),
      server_command.environment(c, gpus),
    )
    for number, (port, gpus) in enumerate(
      zip(ports, shares.servers, strict=True)
    )
  ]


@contextlib.contextmanager
def _new_key():
  """A context with a new API key of the servers in the environment."""
  before = os.environ.get(http_client.KEY)
  os.environ[http_client.KEY] = secrets.token_hex(16)
  try:
    yield
  finally:
    del os.environ[http_client.KEY]
    if before is not None:
      os.environ[http_client.KEY] = before


def _free_ports(count):
  """Different free ports of this machine."""
  with contextlib.ExitStack() as stack:
    taken = [stack.enter_context(socket.socket()) for _ in range(count)]
    for each in taken:
      each.bind((HOST, 0))
    return [each.getsockname()[1] for each in taken]


def _locked(file):
  """Whether a file could be locked."""
  with contextlib.suppress(BlockingIOError):
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True
  return False
