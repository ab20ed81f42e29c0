"""Runs that were set alike but for their seed, and what their seeds span."""

import dataclasses
import warnings
from typing import NamedTuple

import numpy as np

from siri_jax.analysis import run_table
from siri_jax.runtime import files, run_folder

MOST = 3  # Settings that a label names.


class Point(NamedTuple):
  """A held-out set's measure after so many updates, over a group's runs.

  Accuracy (%) and length (tokens) are (mean, low, high) each: over several
  runs the lowest and the highest, of one run one standard error over problems
  to either side.
  """

  step: int
  kind: str
  accuracy: tuple
  length: tuple


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs of the same settings.

  Attributes:
    label: what sets them apart from the other groups, in a few words.
    runs: tuple of runs.Run, one a seed.
  """

  label: str
  runs: tuple

  @property
  def longest(self):
    """The run that is the furthest on."""
    return max(self.runs, key=lambda run: run.last)

  @property
  def sets(self):
    """Names of the sets that any of them was measured on."""
    return list(dict.fromkeys(name for run in self.runs for name in run.sets))

  def band(self, name, scale=1.0):
    """A column of metrics.jsonl over the seeds.

    Returns:
      (steps, mean, low, high), float64 [steps] each; low and high are those
      of the seeds, nan where none has a value.
    """
    steps = np.unique(np.concatenate([r.column('step') for r in self.runs]))
    values = np.full((len(self.runs), len(steps)), np.nan)
    for row, run in zip(values, self.runs, strict=True):
      row[np.searchsorted(steps, run.column('step'))] = run.column(name)
    with warnings.catch_warnings():  # Steps that no seed has a value at.
      warnings.simplefilter('ignore', RuntimeWarning)
      reduced = [f(values, axis=0) for f in (np.nanmean, np.nanmin, np.nanmax)]
    return steps, *(scale * r for r in reduced)

  def points(self, name):
    """The Points of a set, each over the runs that have got there."""
    found = [run_table.evaluations(run, name) for run in self.runs]
    points = []
    for step in sorted({step for records in found for step in records}):
      there = [records[step] for records in found if step in records]
      spans = (_span(there, *c) for c in (('accuracy', 100), ('length', 1)))
      points.append(Point(step, there[0]['kind'], *spans))
    return points


def of(runs):
  """Groups of runs, in the order in which their first ones come.

  Args:
    runs: list of runs.Run.
  Returns:
    list of Group, each with a label of its own.
  """
  alike = {}
  for run in runs:
    alike.setdefault(_key(run), []).append(run)
  members = list(alike.values())
  return [
    Group(label, tuple(group))
    for label, group in zip(_labels(members), members, strict=True)
  ]


def spread(groups, bars=''):
  """What bands and bars stand for, in sentences; '' where there are none.

  Args:
    groups: list of Group.
    bars: what shows a standard error where a setting has one run, 'bars' or
      'bands'; '' for a figure that then shows none.
  """
  counts = sorted({len(group.runs) for group in groups})
  many = [str(n) for n in counts if n > 1]
  told = []
  if many:
    seeds = ' to '.join(dict.fromkeys([many[0], many[-1]]))
    told += [f'Means over {seeds} seeds; bands and bars: lowest to highest.']
  if counts[0] == 1 and bars:
    who = 'Of one run, ' if many else ''
    error = f'{who}{bars}: one standard error over problems.'
    told += [error[0].upper() + error[1:]]
  return ' '.join(told)


def missing(groups):
  """What the runs lack, in sentences."""
  notes = (note for g in groups for run in g.runs for note in run.notes)
  return ' '.join(dict.fromkeys(notes))


def _span(records, name, scale):
  values = [scale * r[name] for r in records]
  mean = sum(values) / len(values)
  if len(values) > 1:
    return mean, min(values), max(values)
  error = scale * (records[0].get(f'{name}_se') or 0)
  return mean, mean - error, mean + error


def _settings(run):
  """What decides what a run learns but for its seed, and its past likewise."""
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
  """A label a group: the schedule, then what else sets it apart."""
  firsts = [group[0] for group in members]
  short = [run.arm or run.short for run in firsts]
  labels = []
  for name, run in zip(short, firsts, strict=True):
    same = [r for r, other in zip(firsts, short, strict=True) if other == name]
    labels.append(name if len(same) == 1 else _apart(name, run, same))
  return [
    label if labels.count(label) == 1 else f'{label} ({run.name})'
    for label, run in zip(labels, firsts, strict=True)
  ]


def _apart(name, run, same):
  """A name with the settings in which runs of that name differ."""
  flat, own = [_settings(r) for r in same], _settings(run)
  differing = [key for key in own if any(f.get(key) != own[key] for f in flat)]
  if not differing or len(differing) > MOST:
    return run.name
  told = (f'{key.rpartition(".")[2]} {own[key]}' for key in differing)
  return f'{name}, {", ".join(told)}'
