"""Samples the next step while this one trains: one step off policy."""

import concurrent.futures


class RolloutPrefetcher:
  """A thread that collects the next step; `get` raises its errors."""

  def __init__(self, collect):
    """Makes the thread; starts no step.

    Args:
      collect: (step, cap, watch) -> the step's samples, from the newest
        weights.
    """
    self._collect = collect
    self._pool = concurrent.futures.ThreadPoolExecutor(1, 'sampling ahead')
    self._begun = {}

  def start(self, step, cap, watch):
    """Starts to collect a step."""
    self._begun = {step: self._pool.submit(self._collect, step, cap, watch)}

  def get(self, step, cap, watch):
    """The samples of a step; collects them now if it was not started."""
    if step not in self._begun:
      return self._collect(step, cap, watch)
    return self._begun.pop(step).result()

  def wait(self):
    """Waits until sampling has ended, so that weights may change."""
    concurrent.futures.wait(self._begun.values())

  def close(self):
    """Waits for the step in progress and ends the thread."""
    self._pool.shutdown()
