"""Accuracy and length against what a run has spent."""

import numpy as np

from siri_jax.analysis import equal_cost, seeds
from siri_jax.analysis.figures import curves, panels, style

POINTS = 200  # Of a line.
FEW = 4  # Most settings whose bands can be told apart.
NAMES = {  # Cost -> label, scale.
  'tokens': ('tokens trained on, millions', 1e-6),
  'sampled': ('tokens sampled, millions', 1e-6),
  'seconds': ('minutes of training', 1 / 60),
}


def draw(runs):
  """Accuracy and length against each cost: a row a measure, a column a cost.

  Lines are means over seeds of each run's line between its evaluations, as far
  as all seeds of the setting went; bands are the range. Tokens sampled have a
  column only if dynamic sampling made them differ from those trained on. The
  first held-out set of the runs is shown.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure; settings have colours.
  Raises:
    NothingToDrawError: no run has two evaluations of a set.
  """
  found, more = curves.settings(runs)
  sets = list(dict.fromkeys(name for group in found for name in group.sets))
  style.need(sets, 'no run has an evaluation in its eval.jsonl yet')
  costs = [cost for cost in NAMES if _tells(found, cost)]
  lines = {
    cost: [_lines(group, cost, sets[0]) for group in found] for cost in costs
  }
  there = any(line for own in lines.values() for line in own)
  style.need(there, 'no run has two evaluations, one before its first step')
  width = style.COLUMN if len(costs) == 1 else style.PAGE
  fig, axes = style.sheet(
    2, len(costs), width=width, heights=1.7, sharex='col', sharey='row'
  )
  for column, cost in enumerate(costs):
    _column(axes[:, column], cost, found, lines[cost])
  axes[0, 0].set_ylabel(f'accuracy on\n{panels.set_name(sets[0])}, %')
  axes[1, 0].set_ylabel('mean response\nlength, tokens')
  style.legend(fig, axes[:1, 0], columns=2 if len(costs) == 1 else 4)
  many = any(group.runs[1:] for group in found)
  bands = '; bands: lowest to highest' if len(found) <= FEW else ''
  style.note(
    fig,
    many and f'Means over seeds{bands}.',
    seeds.missing(found),
    more and f'Not drawn: {more}',
  )
  return fig


def _tells(groups, cost):
  """Whether the runs recorded a cost, and it says more than the tokens."""
  if cost == 'tokens':
    return True  # Each evaluation has them.
  runs = [run for group in groups for run in group.runs]
  spent = [run.column(equal_cost.COLUMNS[cost]) for run in runs]
  if any(np.isnan(each).any() for each in spent):
    return False
  trained = [run.column('tokens') for run in runs]
  pairs = zip(spent, trained, strict=True)
  return cost != 'sampled' or any((a != b).any() for a, b in pairs)


def _lines(group, cost, name):
  """(costs, accuracies, lengths) of a group's runs; None without any.

  Returns:
    float64 [POINTS], [S, POINTS], [S, POINTS].
  """
  read = [equal_cost.curve(run, cost, name) for run in group.runs]
  read = [each for each in read if len(each.cost) > 1 and each.cost[0] == 0]
  if not read:
    return None
  spent = np.linspace(0, min(each.cost[-1] for each in read), POINTS)
  accuracy, length = (
    np.array([np.interp(spent, each.cost, each[part]) for each in read])
    for part in (1, 2)
  )
  return spent, accuracy, length


def _column(axes, cost, groups, lines):
  """Draws the panels of one cost."""
  label, scale = NAMES[cost]
  for (group, look), line in zip(style.cycled(groups), lines, strict=True):
    if line is None:
      continue
    spent, *measures = line
    for ax, values in zip(axes, measures, strict=True):
      style.line(ax, scale * spent, values.mean(0), label=group.label, **look)
      if len(groups) <= FEW and len(values) > 1:
        low, high = values.min(0), values.max(0)
        style.band(ax, scale * spent, low, high, look['color'])
  axes[-1].set_xlabel(label)
  style.from_zero(axes[1])
