"""Where the time goes, and when to stop: a stopwatch, and signals."""

import os
import signal
import time

PARTS = ('rollout', 'grade', 'update', 'push')


class Watch:
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


class StopAsked(Exception):  # noqa: N818  Nothing went wrong.
  """A signal asked for an end, and everything is saved."""


class Signals:
  """TERM and INT ask for an end after this step; the second one ends at once.

  Attributes:
    asked: the number of the signal that asked, 0 while none has.
  """

  def __init__(self, say):
    self.asked = 0
    self._say = say
    self._before = {}

  def __enter__(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._hear)
    return self

  def __exit__(self, *_):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def stop(self):
    """Raises StopAsked: for work that has saved itself and cannot go on."""
    raise StopAsked(self.asked)

  def _hear(self, number, frame):
    del frame
    if self.asked:
      os._exit(128 + number)
    self.asked = number
    self._say(
      f'{signal.Signals(number).name}: saving after this step; once more ends '
      'at once'
    )
