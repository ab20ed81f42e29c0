"""Accuracy and length of arms at equal cost, each arm against the first.

A run's value at a budget is on the straight line between its two nearest
evaluations; a run has none beyond its last one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tabulate

from siri_jax.analysis import intervals, run_table
from siri_jax.runtime import terminal

COSTS = {  # Cost -> its unit.
  'tokens': 'response tokens trained on',
  'sampled': 'response tokens sampled in training',
  'seconds': 'seconds of training steps',
}
# Cost -> its column of metrics.jsonl; the tokens are in eval.jsonl.
COLUMNS = {'sampled': 'sampled_tokens', 'seconds': 'step_secs'}
MEASURES = ('accuracy', 'length', 'mean_accuracy')
QUARTERS = 4  # Budgets by default: so many parts of what all runs have spent.
NOTES = f"""\
Accuracy in %, length in tokens per response, each the mean over seeds ± its
standard error. To here: mean accuracy over the costs from 0 to the budget.
Against the first arm: the mean difference over the seeds that both have and its
interval by Student's t over them; the intervals of a column hold together at
{intervals.LEVEL} %, by Bonferroni's correction. Seen from: the smallest
difference in accuracy that such an interval shows with a power of
{intervals.POWER} %. † One seed: no interval."""


class Curve(NamedTuple):
  """The evaluations of a run by what it had spent; [E] each, float64.

  Attributes:
    cost: in the unit of COSTS, ascending.
    accuracy: per cent.
    length: mean response tokens.
  """

  cost: Any
  accuracy: Any
  length: Any


def curve(run, cost='tokens', set_name=None):
  """The Curve of a run.

  Args:
    run: runs.Run.
    cost: one of COSTS.
    set_name: held-out set; by default the run's first one.
  Returns:
    Curve; empty if the run has no evaluation of the set.
  Raises:
    ValueError: the cost is unknown, or the run did not record it.
  """
  if cost not in COSTS:
    raise ValueError(f'unknown cost {cost!r}; choose from {", ".join(COSTS)}')
  found = run_table.evaluations(run, set_name or (run.sets or [''])[0])
  records = list(found.values())
  spent = [record['tokens'] for record in records]
  if cost != 'tokens':
    each = run.column(COLUMNS[cost])
    if np.isnan(each).any():
      raise ValueError(
        f'{run.path}: metrics.jsonl lacks {COLUMNS[cost]} in some steps; '
        'compare by tokens'
      )
    spent = np.append(0.0, np.cumsum(each))[list(found)]
  return Curve(
    np.array(spent, float),
    np.array([100.0 * record['accuracy'] for record in records]),
    np.array([record['length'] for record in records], float),
  )


def at(found, budget):
  """A Curve's measures at a budget.

  Args:
    found: Curve.
    budget: in the Curve's unit, 0 or more.
  Returns:
    dict of floats by MEASURES: accuracy (%), length (tokens), and the mean
    accuracy over the costs from 0 to the budget; NaN where the run has not
    spent so much, or was not evaluated before its first step.
  """
  cost = found.cost
  if not len(cost) or cost[0] > 0 or not 0 <= budget <= cost[-1]:
    return dict.fromkeys(MEASURES, math.nan)
  accuracy, length = (float(np.interp(budget, cost, y)) for y in found[1:])
  before = cost < budget
  path = np.append(found.accuracy[before], accuracy)
  area = np.trapezoid(path, np.append(cost[before], budget))
  mean = float(area) / budget if budget else accuracy
  return {'accuracy': accuracy, 'length': length, 'mean_accuracy': mean}


def budgets_of(arms, cost='tokens', set_name=None):
  """Quarters of the most that all runs have spent, to two digits.

  Args:
    arms: dict label -> dict seed -> runs.Run.
    cost: one of COSTS.
    set_name: held-out set; by default each run's first one.
  Returns:
    list of float, ascending; empty if a run has no evaluation after its start.
  """
  return _quarters(_curves(arms, cost, set_name))


def _curves(arms, cost, set_name):
  """(arm, seed) -> Curve of each run."""
  return {
    (arm, seed): curve(run, cost, set_name)
    for arm, own in arms.items()
    for seed, run in own.items()
  }


def _quarters(curves):
  """The budgets of budgets_of, of (arm, seed) -> Curve."""
  ends = (each.cost[-1] if len(each.cost) else 0.0 for each in curves.values())
  most = min(ends, default=0.0)
  if most <= 0:
    return []
  unit = 10.0 ** (math.floor(math.log10(most)) - 1)
  parts = np.arange(1, QUARTERS + 1) / QUARTERS
  return (np.floor(parts * most / unit) * unit).tolist()


def of_groups(groups):
  """The arms of seeds.Groups: dict label -> dict seed -> runs.Run."""
  return {g.label: {run.config['seed']: run for run in g.runs} for g in groups}


def by_seed(arms, budgets=None, cost='tokens', set_name=None):
  """Each run at budgets.

  Args:
    arms: dict label -> dict seed -> runs.Run.
    budgets: in the cost's unit; by default those of budgets_of.
    cost: one of COSTS.
    set_name: held-out set; by default each run's first one.
  Returns:
    DataFrame, a row for each budget, arm and seed that has spent so much: at,
    arm, seed, accuracy, length, mean_accuracy, as in `at`.
  Raises:
    ValueError: as `curve`.
  """
  curves = _curves(arms, cost, set_name)
  if budgets is None:
    budgets = _quarters(curves)
  rows = [
    {'at': budget, 'arm': arm, 'seed': seed, **at(found, budget)}
    for budget in budgets
    for (arm, seed), found in curves.items()
  ]
  frame = pd.DataFrame(rows, columns=['at', 'arm', 'seed', *MEASURES])
  return frame.dropna(ignore_index=True)


def table(arms, budgets=None, cost='tokens', set_name=None):
  """Arms at budgets, each against the first.

  Args:
    arms: dict label -> dict seed -> runs.Run.
    budgets: in the cost's unit; by default those of budgets_of.
    cost: one of COSTS.
    set_name: held-out set; by default each run's first one.
  Returns:
    DataFrame, a row for each budget and arm that has a run with so much: at,
    arm, runs; accuracy, length and mean_accuracy with _se; for all but the
    first accuracy_diff and length_diff with _low, _high and _least, the
    smallest difference that the interval would show, and pairs: seeds that
    both arms have; with one, the edges are NaN.
  Raises:
    ValueError: as `curve`.
  """
  each = by_seed(arms, budgets, cost, set_name)
  compared = max(each['at'].nunique() * (len(arms) - 1), 1)
  rows = []
  for budget, there in each.groupby('at'):
    own = {
      arm: found.set_index('seed')[[*MEASURES]]
      for arm, found in there.groupby('arm', sort=False)
    }
    first = next(iter(arms))
    for arm, found in own.items():
      row = {'at': budget, 'arm': arm, 'runs': len(found)}
      for name in MEASURES:
        row |= {name: found[name].mean(), f'{name}_se': found[name].sem()}
      if arm != first and first in own:
        row |= _differences(own[first], found, compared)
      rows.append(row)
  return pd.DataFrame(rows)


def text(frame, cost='tokens', style='simple'):
  """A table of `table` as text."""
  if not len(frame):
    return 'No run has been evaluated at its start and after it yet.'
  shown = cells(frame, cost)
  align = ('right', 'left', *['right'] * (len(shown) - 2))
  return tabulate.tabulate(
    shown, 'keys', style, disable_numparse=True, colalign=align
  )


def cells(frame, cost='tokens'):
  """The columns of a table of `table` as texts, by their heads."""
  return {
    COSTS[cost]: [terminal.short(value) for value in frame['at']],
    'arm': frame['arm'],
    'runs': frame['runs'],
    'accuracy': with_error(frame, 'accuracy'),
    'to here': with_error(frame, 'mean_accuracy'),
    'length': with_error(frame, 'length'),
    'accuracy, difference': with_interval(frame, 'accuracy'),
    'seen from': _least(frame),
    'length, difference': with_interval(frame, 'length'),
  }


def with_error(frame, name, digits=1):
  """The column `name` of a table with its standard errors, as texts."""
  texts = []
  for value, error in zip(frame[name], frame[f'{name}_se'], strict=True):
    places = digits + (error < 0.5 * 10**-digits)  # ± 0.0 would say no error.
    shown = f'{value:.{places}f}'
    texts.append(
      shown if math.isnan(error) else f'{shown} ± {error:.{places}f}'
    )
  return texts


def with_interval(frame, name):
  """The differences of `name` in a table with their intervals, as texts."""
  if f'{name}_diff' not in frame:
    return [''] * len(frame)
  columns = [frame[f'{name}_{part}'] for part in ('diff', 'low', 'high')]
  return [
    '' if math.isnan(diff) else f'{diff:+.1f} {_edges(low, high)}'
    for diff, low, high in zip(*columns, strict=True)
  ]


def _differences(first, other, compared):
  """The columns of an arm's differences from the first arm."""
  gaps = (other - first).dropna()
  if not len(gaps):
    return {}
  row = {'pairs': len(gaps)}
  for name in ('accuracy', 'length'):
    found = intervals.contrast(gaps[name], compared)._asdict()
    row |= {f'{name}_diff': found.pop('mean')}
    row |= {f'{name}_{part}': value for part, value in found.items()}
  return row


def _least(frame):
  """The smallest differences that would have been seen, as texts."""
  if 'accuracy_least' not in frame:
    return [''] * len(frame)
  return ['' if math.isnan(x) else f'{x:.1f}' for x in frame['accuracy_least']]


def _edges(low, high):
  """An interval as text; † without one."""
  return '†' if math.isnan(low) else f'[{low:+.1f}, {high:+.1f}]'
