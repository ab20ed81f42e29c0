"""Groups of runs that differ only in seed, and their range."""

import collections
import dataclasses
import warnings
from typing import NamedTuple

import numpy as np

from siri_jax.analysis import run_table
from siri_jax.analysis import runs as run_folders
from siri_jax.runtime import files, run_folder

MOST = 3  # Most settings in a label.


def lowest_to_highest(values):
  """(mean, lowest, highest) of several seeds' values."""
  return sum(values) / len(values), min(values), max(values)


class Point(NamedTuple):
  """An evaluation of a held-out set at one step, over a group's runs.

  Accuracy (%) and length (tokens) are (mean, low, high) each. For several runs,
  low and high are the lowest and the highest, or an interval; for one run, the
  mean minus and plus one standard error over problems.
  """

  step: int
  kind: str
  accuracy: tuple
  length: tuple


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs of the same settings.

  Attributes:
    label: the settings in which the group differs from other groups.
    runs: tuple of runs.Run, one for each seed.
  """

  label: str
  runs: tuple

  @property
  def longest(self):
    """The run with the most updates."""
    return max(self.runs, key=lambda run: run.last)

  @property
  def sets(self):
    """Names of the held-out sets of any run."""
    return list(dict.fromkeys(name for run in self.runs for name in run.sets))

  def band(self, name, scale=1.0):
    """A column of metrics.jsonl over the seeds.

    Returns:
      (steps, mean, low, high), float64 [steps] each, over seeds; NaN if no
      seed has a value.
    """
    steps = np.unique(np.concatenate([r.column('step') for r in self.runs]))
    values = np.full((len(self.runs), len(steps)), np.nan)
    for row, run in zip(values, self.runs, strict=True):
      row[np.searchsorted(steps, run.column('step'))] = run.column(name)
    with warnings.catch_warnings():  # Steps without a value in any seed.
      warnings.simplefilter('ignore', RuntimeWarning)
      reduced = [f(values, axis=0) for f in (np.nanmean, np.nanmin, np.nanmax)]
    return steps, *(scale * r for r in reduced)

  def points(self, name, over_seeds=lowest_to_highest):
    """The Points of a set, each over the runs that have it.

    Args:
      name: held-out set.
      over_seeds: values of several seeds -> (mean, low, high).
    Returns:
      list of Point, by step.
    """
    found = [run_table.evaluations(run, name) for run in self.runs]
    points = []
    for step in sorted({step for records in found for step in records}):
      there = [records[step] for records in found if step in records]
      spans = (
        _span(there, *column, over_seeds)
        for column in (('accuracy', 100), ('length', 1))
      )
      points.append(Point(step, there[0]['kind'], *spans))
    return points


def of(runs):
  """Groups of runs, in the order of their first runs.

  A second run of the same seed, such as a copy, begins another group.

  Args:
    runs: list of runs.Run.
  Returns:
    list of Group with different labels.
  """
  alike, times = {}, collections.Counter()
  for run in runs:
    key = _key(run)
    seeded = (key, run.config['seed'])
    alike.setdefault((key, times[seeded]), []).append(run)
    times[seeded] += 1
  members = list(alike.values())
  return [
    Group(label, tuple(group))
    for label, group in zip(_labels(members), members, strict=True)
  ]


def spread(groups, bars=''):
  """Explains a figure's bands and bars in sentences; '' without any.

  Args:
    groups: list of Group.
    bars: the marks of a standard error for a setting with one run, 'bars' or
      'bands'; '' if the figure shows none.
  """
  counts = sorted({len(group.runs) for group in groups})
  many = [str(n) for n in counts if n > 1]
  notes = []
  if many:
    seeds = ' to '.join(dict.fromkeys([many[0], many[-1]]))
    notes += [f'Means over {seeds} seeds; bands and bars: lowest to highest.']
  if counts[0] == 1 and bars:
    start = 'Of one run, ' if many else ''
    error = f'{start}{bars}: one standard error over problems.'
    notes += [error[0].upper() + error[1:]]
  return ' '.join(notes)


def missing(groups):
  """The notes of all runs about missing data."""
  notes = (note for g in groups for run in g.runs for note in run.notes)
  return ' '.join(dict.fromkeys(notes))


def _span(records, name, scale, over_seeds):
  values = [scale * r[name] for r in records]
  if len(values) > 1:
    return tuple(over_seeds(values))
  mean, error = values[0], scale * (records[0].get(f'{name}_se') or 0)
  return mean, mean - error, mean + error


def _settings(run):
  """The settings that affect the result, without seed, and the past's."""
  settings = _deciding(run.config)
  for past in run.past:
    before = _deciding(past.config or {})
    settings[f'past_{past.step}'] = files.to_json(before, sort_keys=True)
  return settings


def _deciding(config):
  aside = ('seed', *run_folder.RESUMABLE_SETTINGS)
  flat = run_folder.flatten(config)
  return {k: v for k, v in flat.items() if not run_folder.is_among(k, aside)}


def _key(run):
  return files.to_json(_settings(run), sort_keys=True)


def _labels(members):
  """A label for each group: the schedule, and other settings that differ."""
  firsts = [group[0] for group in members]
  short = [run.arm or run.short for run in firsts]
  labels = []
  for name, run in zip(short, firsts, strict=True):
    same = [r for r, other in zip(firsts, short, strict=True) if other == name]
    labels.append(name if len(same) == 1 else _apart(name, run, same))
  ends = run_folders.ends([run.path.resolve().parts for run in firsts])
  return [
    label if labels.count(label) == 1 else f'{label} ({"/".join(end)})'
    for label, end in zip(labels, ends, strict=True)
  ]


def _apart(name, run, same):
  """A name with the settings in which runs of that name differ."""
  flat, own = [_settings(r) for r in same], _settings(run)
  differing = [key for key in own if any(f.get(key) != own[key] for f in flat)]
  if len(differing) > MOST:
    return run.name
  parts = [f'{key.rpartition(".")[2]} {_short(own[key])}' for key in differing]
  return ', '.join([name, *parts])


def _short(value):
  """A setting's value as a label shows it."""
  return f'{value:.4g}' if isinstance(value, float) else value
