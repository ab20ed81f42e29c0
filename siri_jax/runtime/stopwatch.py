"""A stopwatch, and the handling of signals."""

import os
import select
import signal
import threading
import time

PARTS = ('rollout', 'grade', 'update', 'push')
RELAYED = 255  # Not a signal's number: another process got one.


class Stopwatch:
  """A stopwatch of laps by name, by the monotonic clock."""

  def __init__(self):
    self._began = self._last = time.monotonic()
    self._laps = dict.fromkeys(PARTS, 0.0)

  def lap(self, name):
    """Adds the time since the last call to this lap."""
    now = time.monotonic()
    self._laps[name] += now - self._last
    self._last = now

  def total(self):
    """Seconds since the start."""
    return time.monotonic() - self._began

  def seconds(self, tokens):
    """The laps, the total, and tokens a second, as in metrics.jsonl."""
    laps = {f'{name}_secs': secs for name, secs in self._laps.items()}
    total = self.total()
    return {**laps, 'step_secs': total, 'tokens_per_sec': tokens / total}


class StopRequested(Exception):  # noqa: N818  Nothing went wrong.
  """A signal asked the run to end."""


class Signals:
  """The first TERM or INT ends the run after a save, the second at once.

  The process ends within `secs`, saved or not. A thread checks the time: Python
  calls no handler while the main thread compiles or waits for a device.

  Attributes:
    asked: number of the first signal; 0 before it.
  """

  def __init__(self, say, *, secs):
    """Handles signals only within the context.

    Args:
      say: called with a message at the first signal.
      secs: most seconds from the first signal to the end.
    """
    self.asked = 0
    self._say, self._secs = say, secs
    self._before = {}

  def __enter__(self):
    self._read_end, self._write_end = os.pipe()
    os.set_blocking(self._write_end, False)
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._hear)
    self._fd_before = signal.set_wakeup_fd(self._write_end)
    self._guard = threading.Thread(target=self._end_in_time, daemon=True)
    self._guard.start()
    return self

  def __exit__(self, *_):
    signal.set_wakeup_fd(self._fd_before)
    for number, handler in self._before.items():
      signal.signal(number, handler)
    os.write(self._write_end, b'\0')
    self._guard.join()
    os.close(self._write_end)
    os.close(self._read_end)

  def raise_if_stopped(self):
    """Raises StopRequested after a signal; for work that can be repeated."""
    if self.asked:
      self.stop()

  def stop(self):
    """Raises StopRequested; for work that has saved and cannot continue."""
    raise StopRequested(self.asked)

  def relay(self):
    """Stops this process after a signal to another process of the run.

    It never counts as the second signal, because both may get the same one.
    """
    os.write(self._write_end, bytes([RELAYED]))
    self._hear(signal.SIGTERM, None)

  def _hear(self, number, frame):
    del frame
    if not self.asked:
      self.asked = number
      name = signal.Signals(number).name
      self._say(f'{name}: saving; a second signal ends the run at once')

  def _end_in_time(self):
    """Ends the process at a second signal or at the deadline."""
    seen, until = [], None
    while number := self._next(until):
      seen += [number] * (number != RELAYED)
      if len(seen) == 2:
        os._exit(128 + number)
      until = until or time.monotonic() + self._secs
    if number is None:
      late = f'not saved within {self._secs:g} s; ending without a save\n'
      os.write(2, late.encode())
      os._exit(128 + (seen or [signal.SIGTERM])[0])

  def _next(self, until):
    """The next signal's number, 0 at the end, None after the deadline."""
    poll = select.poll()
    poll.register(self._read_end, select.POLLIN)
    ours = (0, signal.SIGTERM, signal.SIGINT, RELAYED)
    while poll.poll(until and 1000 * max(0, until - time.monotonic())):
      if (number := os.read(self._read_end, 1)[0]) in ours:
        return number
    return None
