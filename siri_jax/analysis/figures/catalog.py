"""The list of all figures of runs."""

import functools

from siri_jax.algorithm import schedule_presets
from siri_jax.analysis.figures import (
  accuracy_by_cap,
  curves,
  lag,
  pareto,
  schedule,
  words,
)

CYCLE = {'low': 8192, 'high': 16384, 'period': 640}  # The paper's, 1.5B.


def shapes(read):
  """Every schedule over one cycle, with the first run's caps and period.

  As the paper's Figure 3; with the paper's caps if no run has a cycle.

  Args:
    read: list of runs.Run.
  Returns:
    matplotlib Figure.
  Raises:
    ValueError: a schedule has no line in schedule_presets.py.
  """
  own = [run.config['schedule_kw'] for run in read]
  cycle = next((kw for kw in own if CYCLE.keys() <= kw.keys()), CYCLE)
  cycle = {name: cycle[name] for name in CYCLE}
  lines = schedule_presets.presets(**cycle)

  from siri_jax.config import cost_table  # Here, because it imports JAX.

  return schedule.draw(cost_table.every(lines, cycle['period']))


def own_shapes(read):
  """The caps of the runs, a panel for each setting."""
  return schedule.draw(schedule.of_runs(read))


def every(chosen=None):
  """The figures by name: each a function of a list of runs.Run.

  Args:
    chosen: words to count, or None for the default ones.
  Returns:
    dict name -> function that returns a matplotlib Figure.
  """
  return {
    'schedules': shapes,
    'schedule': own_shapes,
    'training': curves.training,
    'overlay': curves.overlay,
    'pareto': pareto.draw,
    'words': functools.partial(words.draw, words=chosen),
    'entropy': curves.entropy,
    'lag': lag.draw,
    'outcomes': curves.outcomes,
    'caps': accuracy_by_cap.of_runs,
  }


def drawn(read, chosen=None):
  """Draws one figure after another.

  Args:
    read: list of runs.Run.
    chosen: words to count, or None.
  Yields:
    name, and a matplotlib Figure or the reason why it cannot be drawn.
  """
  for name, draw in every(chosen).items():
    try:
      yield name, draw(read)
    except ValueError as error:  # Nothing to draw, or damaged samples.
      yield name, str(error)
