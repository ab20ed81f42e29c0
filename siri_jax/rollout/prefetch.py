"""Samples the next step while this one trains: one step off policy."""

import concurrent.futures


class RolloutPrefetcher:
  """A thread that collects the step after this one.

  What it raises comes out where its step is taken.
  """

  def __init__(self, collect):
    """Nothing is begun yet.

    Args:
      collect: (step, cap, watch) -> what the step samples, with the weights
        that were pushed last.
    """
    self._collect = collect
    self._pool = concurrent.futures.ThreadPoolExecutor(1, 'sampling ahead')
    self._begun = {}

  def start(self, step, cap, watch):
    """Begins to collect a step."""
    self._begun = {step: self._pool.submit(self._collect, step, cap, watch)}

  def get(self, step, cap, watch):
    """The samples of a step; collects them now if it was not started."""
    if step not in self._begun:
      return self._collect(step, cap, watch)
    return self._begun.pop(step).result()

  def wait(self):
    """Waits until nothing is being sampled, so that weights may change."""
    concurrent.futures.wait(self._begun.values())

  def close(self):
    """Ends the thread, once what it is at has ended."""
    self._pool.shutdown()
