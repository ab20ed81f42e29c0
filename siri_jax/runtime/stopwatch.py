"""Where the time goes, and when to stop: a stopwatch, and signals."""

import os
import select
import signal
import threading
import time

PARTS = ('rollout', 'grade', 'update', 'push')
RELAYED = 255  # Beside the numbers of signals: one came to another process.


class Stopwatch:
  """A stopwatch of laps by name; monotonic, so no clock change moves it."""

  def __init__(self):
    self._began = self._last = time.monotonic()
    self._laps = dict.fromkeys(PARTS, 0.0)

  def lap(self, name):
    """Adds the time since the last lap to this one."""
    now = time.monotonic()
    self._laps[name] += now - self._last
    self._last = now

  def total(self):
    """Seconds since the start."""
    return time.monotonic() - self._began

  def seconds(self, tokens):
    """The laps, the whole, and tokens a second, as in metrics.jsonl."""
    laps = {f'{name}_secs': secs for name, secs in self._laps.items()}
    total = self.total()
    return {**laps, 'step_secs': total, 'tokens_per_sec': tokens / total}


class StopRequested(Exception):  # noqa: N818  Nothing went wrong.
  """A signal asked for an end."""


class Signals:
  """TERM and INT ask for an end soon; the second one ends at once.

  Soon is as soon as what cannot be done again is saved. The end comes at the
  latest some seconds later, saved or not. A thread sees to that: Python calls
  no handler while the main thread compiles or waits for a device.

  Attributes:
    asked: the number of the signal that asked, 0 while none has.
  """

  def __init__(self, say, *, secs):
    """Ready to be entered.

    Args:
      say: hears of the first signal, as text.
      secs: from the first signal to the end, at most.
    """
    self.asked = 0
    self._say, self._secs = say, secs
    self._before = {}

  def __enter__(self):
    self._heard, self._told = os.pipe()
    os.set_blocking(self._told, False)
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._hear)
    self._fd_before = signal.set_wakeup_fd(self._told)
    self._guard = threading.Thread(target=self._end_in_time, daemon=True)
    self._guard.start()
    return self

  def __exit__(self, *_):
    signal.set_wakeup_fd(self._fd_before)
    for number, handler in self._before.items():
      signal.signal(number, handler)
    os.write(self._told, b'\0')
    self._guard.join()
    os.close(self._told)
    os.close(self._heard)

  def raise_if_stopped(self):
    """Raises StopRequested after a signal: for work that can be done again."""
    if self.asked:
      self.stop()

  def stop(self):
    """Raises StopRequested: for work that has saved and cannot continue."""
    raise StopRequested(self.asked)

  def relay(self):
    """Another process of the run got a signal, which is for all of them.

    It may be the same that comes here: it never counts as the second.
    """
    os.write(self._told, bytes([RELAYED]))
    self._hear(signal.SIGTERM, None)

  def _hear(self, number, frame):
    del frame
    if not self.asked:
      self.asked = number
      name = signal.Signals(number).name
      self._say(f'{name}: saving; once more ends at once')

  def _end_in_time(self):
    """Ends the process at a second signal or when the time is over."""
    seen, until = [], None
    while number := self._next(until):
      seen += [number] * (number != RELAYED)
      if len(seen) == 2:
        os._exit(128 + number)
      until = until or time.monotonic() + self._secs
    if number is None:
      late = f'not saved within {self._secs:g} s; ending without\n'
      os.write(2, late.encode())
      os._exit(128 + (seen or [signal.SIGTERM])[0])

  def _next(self, until):
    """A signal's number, 0 at the end of the block, None once it is late."""
    poll = select.poll()
    poll.register(self._heard, select.POLLIN)
    ours = (0, signal.SIGTERM, signal.SIGINT, RELAYED)
    while poll.poll(until and 1000 * max(0, until - time.monotonic())):
      if (number := os.read(self._heard, 1)[0]) in ours:
        return number
    return None
