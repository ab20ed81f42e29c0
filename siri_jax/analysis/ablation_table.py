"""The table of an ablation's arms: means over seeds, and intervals."""

import dataclasses
import functools
import math
import pathlib

import numpy as np
import pandas as pd
import tabulate

from siri_jax.analysis import (
  dataframes,
  equal_cost,
  intervals,
  run_table,
  validate,
)
from siri_jax.analysis import runs as run_folders
from siri_jax.runtime import terminal

NOTES = f"""\
Accuracy in %, length in tokens per response, tokens trained on, each the mean
over seeds ± its standard error (deviation over seeds / sqrt(seeds)). Against
the first arm: the mean difference over the seeds and problems that both arms
have, and its {intervals.LEVEL} % interval by Student's t over both. † One seed:
no interval, because one seed shows nothing of how seeds differ."""


def read(out):
  """The Ablation that a folder lists.

  Raises:
    ValueError: it is not an ablation's folder.
  """
  path = pathlib.Path(out) / 'ablation.json'
  if not path.exists():
    raise ValueError(f'{out} is not an ablation: it has no {path.name}')
  listed, arms = validate.json_object(path), {}
  try:
    for run in listed['runs']:
      folders = arms.setdefault(run['arm'], {})
      folders[run['labels'].get('seed', '')] = path.parent / run['name']
  except (KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{path} does not list the runs: {error!r}') from error
  return Ablation(arms)


@dataclasses.dataclass(frozen=True)
class Ablation:
  """The runs of an ablation, by arm; shows itself in a notebook as a table.

  Attributes:
    arms: dict arm -> dict seed's label -> path of a run's folder.
  """

  arms: dict

  @functools.cached_property
  def runs(self):
    """list of runs.Run, arm by arm; runs without a folder are left out."""
    folders = (f for found in self.arms.values() for f in found.values())
    return [run_folders.read(f) for f in folders if f.is_dir()]

  @property
  def by_seed(self):
    """dict arm -> dict seed -> runs.Run, of the runs that have a folder."""
    read = {run.path: run for run in self.runs}
    return {
      arm: {seed: read[f] for seed, f in found.items() if f in read}
      for arm, found in self.arms.items()
    }

  def only(self, *names):
    """The Ablation of these arms, the first of which others are compared with.

    Raises:
      ValueError: there is no such arm; names those that there are.
    """
    if unknown := [name for name in names if name not in self.arms]:
      raise ValueError(f'no arm {unknown}; choose from {list(self.arms)}')
    return Ablation({name: self.arms[name] for name in names})

  def table(self, at=None, set_name=None):
    """Arms at one point, each against the first.

    Args:
      at: updates done; by default the end, to which a run that is still going
        on does not count.
      set_name: held-out set; by default the first one.
    Returns:
      DataFrame, a row an arm: runs, accuracy, accuracy_se, length, length_se,
      tokens, efficiency (dAcc/CR against each run's own start), and for all but
      the first accuracy_diff, length_diff with _low and _high, and pairs: seeds
      that both arms have; with one, _low and _high are NaN. Accuracies and
      their differences in per cent. An arm without such an evaluation in any
      run has no row.
    """
    points = {
      arm: {
        seed: point
        for seed, folder in folders.items()
        if (point := _point(folder, at, set_name)) is not None
      }
      for arm, folders in self.arms.items()
    }
    points = {arm: found for arm, found in points.items() if found}
    first = next(iter(points.values()), None)
    rows = []
    for arm, found in points.items():
      row = {'arm': arm, 'runs': len(found)}
      for name in ('accuracy', 'length', 'tokens', 'efficiency'):
        row |= _mean(name, [point[name] for point in found.values()])
      if found is not first:
        for name in ('accuracy', 'length'):
          row |= _difference(name, first, found)
      rows.append(row)
    return pd.DataFrame(rows)

  def at_cost(self, budgets=None, cost='tokens', set_name=None):
    """Arms at equal cost, each against the first; see equal_cost.table."""
    return equal_cost.table(self.by_seed, budgets, cost, set_name)

  def seeds_at_cost(self, budgets=None, cost='tokens', set_name=None):
    """Every run at equal cost; see equal_cost.by_seed."""
    return equal_cost.by_seed(self.by_seed, budgets, cost, set_name)

  def change(self, name, early, late, set_name=None):
    """How a measure of each arm changed between two points of its runs.

    Args:
      name: 'accuracy' (per cent) or 'length' (tokens).
      early: updates done.
      late: updates done.
      set_name: held-out set; by default each run's first one.
    Returns:
      dict arm -> intervals.Interval over its seeds and problems.
    Raises:
      ValueError: a run has no such evaluation.
    """
    found = {}
    for arm, folders in self.arms.items():
      read = [run_folders.read(folder) for folder in folders.values()]
      found[arm] = intervals.paired(
        *(
          [
            dataframes.by_problem(r, at, set_name or r.sets[0])[name]
            for r in read
          ]
          for at in (early, late)
        )
      )
    return found

  def _repr_markdown_(self):
    return text(self.table(), 'github')


def text(frame, style='simple'):
  """A table of `Ablation.table` as text, with the failed runs below it."""
  why = frame['why'] if 'why' in frame else pd.Series(index=frame.index)
  failed, frame = frame[why.notna()], frame[why.isna()]
  lines = [f'{row.arm}: {row.why}' for row in failed.itertuples()]
  if not len(frame):
    return '\n'.join(lines or ['No run has been evaluated yet.'])
  shown = cells(frame)
  align = ('left', *['right'] * (len(shown) - 1))
  grid = tabulate.tabulate(
    shown, 'keys', style, disable_numparse=True, colalign=align
  )
  return '\n'.join([grid, *lines])


def cells(frame):
  """The columns of a table of `Ablation.table` as texts, by their heads."""
  return {
    'arm': frame['arm'],
    'runs': frame['runs'],
    'accuracy': equal_cost.with_error(frame, 'accuracy'),
    'length': equal_cost.with_error(frame, 'length'),
    'tokens': [terminal.short(tokens) for tokens in frame['tokens']],
    'dAcc/CR': equal_cost.with_error(frame, 'efficiency', 2),
    'accuracy, difference': equal_cost.with_interval(frame, 'accuracy'),
    'length, difference': equal_cost.with_interval(frame, 'length'),
  }


def _point(folder, at, set_name):
  """The results of one run: numbers, and arrays by problem; None if none."""
  try:
    run = run_folders.read(folder)
  except FileNotFoundError:
    return None
  if not run.sets:
    return None
  name = set_name or run.sets[0]
  records = run_table.evaluations(run, name)
  step = run.config['total_steps'] if at is None else at
  if step not in records:
    return None
  record = records[step]
  return {
    'accuracy': 100 * record['accuracy'],
    'length': record['length'],
    'tokens': record['tokens'],
    'efficiency': record['efficiency'],
    'by_problem': dataframes.by_problem(run, step, name),
  }


def _mean(name, values):
  """The mean over seeds and its standard error; NaN with one seed."""
  error = math.nan
  if len(values) > 1:
    error = np.std(values, ddof=1) / math.sqrt(len(values))
  return {name: float(np.mean(values)), f'{name}_se': float(error)}


def _difference(name, first, other):
  """The mean difference and its interval, over the seeds that both have."""
  seeds = [seed for seed in first if seed in other]
  if not seeds:
    return {}
  pairs = [
    pd.concat(
      [p[seed]['by_problem'][name] for p in (first, other)],
      axis=1,
      join='inner',
    ).to_numpy()
    for seed in seeds
  ]
  found = intervals.paired(*np.stack(pairs).transpose(2, 0, 1))
  if len(seeds) == 1:
    found = found._replace(low=math.nan, high=math.nan)
  return {
    f'{name}_diff': found.mean,
    f'{name}_low': found.low,
    f'{name}_high': found.high,
    'pairs': len(seeds),
  }
