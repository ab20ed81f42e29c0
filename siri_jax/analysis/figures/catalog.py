"""The list of all figures of runs."""

import functools

from siri_jax.algorithm import schedule_presets
from siri_jax.analysis.figures import (
  accuracy_by_cap,
  cost,
  curves,
  lag,
  overlay,
  pareto,
  schedule,
  words,
)
from siri_jax.config import base

CYCLE = ('low', 'high', 'period')  # The settings of a cycle.


def shapes(read):
  """Every schedule over one cycle, with the first run's caps and period.

  As the paper's Figure 3; with the paper's caps if no run has a cycle. A closed
  loop is simulated on the run's uncapped_length_kw.

  Args:
    read: list of runs.Run.
  Returns:
    matplotlib Figure.
  Raises:
    ValueError: a schedule has no line in schedule_presets.py.
  """
  own = [r.config for r in read if {*CYCLE} <= r.config['schedule_kw'].keys()]
  c = base.get_config().to_dict() | (own[0] if own else {})
  cycle = {name: c['schedule_kw'][name] for name in CYCLE}
  lines = schedule_presets.presets(**cycle)

  # Here, because they import JAX.
  from siri_jax.config import cost_model, cost_table

  lengths = cost_model.lognormal(**c['uncapped_length_kw'])
  caps = cost_table.every(lines, cycle['period'], lengths)
  return schedule.draw({name: schedule.of_caps(caps[name]) for name in caps})


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
    'overlay': overlay.draw,
    'pareto': pareto.draw,
    'cost': cost.draw,
    'words': functools.partial(words.draw, words=chosen),
    'entropy': curves.entropy,
    'lag': lag.draw,
    'outcomes': curves.outcomes,
    'updates': curves.updates,
    'timing': curves.timing,
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
  for name in every(chosen):
    yield name, one(name, read, chosen)


def one(name, read, chosen=None):
  """A figure by its name, or the reason why it cannot be drawn, as text."""
  try:
    return every(chosen)[name](read)
  except ValueError as error:  # Nothing to draw, or damaged samples.
    return str(error)
