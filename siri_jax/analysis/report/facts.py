"""Facts of runs for the report: times, events, settings and results."""

import collections
import datetime
import json
import re
from typing import NamedTuple

import numpy as np

from siri_jax.analysis import (
  ablation_table,
  equal_cost,
  intervals,
  run_table,
)
from siri_jax.config import base
from siri_jax.runtime import files, run_folder

NAMED = run_table.POINTS
# Counts, errors and intervals: 1,234; 1.4M; 98.2 ± 0.4; +0.3 [-0.3, +0.8].
NUMBER = re.compile(r'([-+±†\d,.:/ \[\]kMG]|to)*')


class Table(NamedTuple):
  """A table of texts; the first column names the row."""

  title: str
  heads: list
  rows: list
  note: str = ''

  @property
  def numeric(self):
    """The indices of the columns of numbers, which are aligned right."""
    columns = [[str(cell) for cell in c] for c in zip(*self.rows, strict=True)]
    return {
      i
      for i, cells in enumerate(columns)
      if i and all(map(NUMBER.fullmatch, cells))
    }

  def without_empty(self):
    """The table without columns that have no text in any row."""
    kept = [
      i for i, c in enumerate(zip(*self.rows, strict=True)) if any(map(str, c))
    ]
    return self._replace(
      heads=[self.heads[i] for i in kept],
      rows=[[row[i] for i in kept] for row in self.rows],
    )


def runs(groups):
  """What each run is: progress, times, speed, commit and machine."""
  heads = ['run', 'setting', 'seed', 'steps', 'started (UTC)', 'time in steps']
  heads += ['tokens', 'tokens/s', 'commit', 'host']
  rows = [[run.name, g.label, *_run(run)] for g in groups for run in g.runs]
  return Table('Progress', heads, rows).without_empty()


def _run(run):
  done = run.last if len(run.column('step')) else 0
  secs = float(np.nansum(run.column('step_secs')))
  tokens = float(np.nansum(run.column('tokens')))
  git = run.info.get('git', {})
  attempts = run.info.get('attempts', [])
  return [
    run.config['seed'],
    f'{done:,} / {run.config["total_steps"]:,}',
    attempts[0].get('started', '')[:16].replace('T', ' ') if attempts else '',
    str(datetime.timedelta(seconds=round(secs))) if secs else '',
    f'{tokens:,.0f}' if tokens else '',
    f'{tokens / secs:,.0f}' if secs and tokens else '',
    git.get('sha', '')[:9] + (' changed' if git.get('dirty') else ''),
    run.info.get('host', ''),
  ]


def commands(groups):
  """The command of each run's first attempt, by run."""
  found = {r.name: r.info.get('argv', []) for g in groups for r in g.runs}
  return {
    name: ' '.join(map(str, argv)) for name, argv in found.items() if argv
  }


def events(groups):
  """The events of all runs, alarms first."""
  rows = []
  for run in (run for group in groups for run in group.runs):
    for event in _events(run):
      known = ('kind', 'time', 'step', 'name', 'told')
      more = {k: v for k, v in event.items() if k not in known}
      told = event.get('told') or (files.to_json(more) if more else '')
      kind = ' '.join(str(event.get(k, '')) for k in ('kind', 'name'))
      time = str(event.get('time', ''))[:19].replace('T', ' ')
      rows.append([kind.strip(), run.name, event.get('step', ''), time, told])
  rows.sort(key=lambda row: not row[0].startswith('alarm'))
  return Table(
    'Events and alarms', ['event', 'run', 'step', 'time (UTC)', 'text'], rows
  )


def _events(run):
  """The records of events.jsonl that can be read."""
  try:
    found = files.read_records(run.path / 'events.jsonl')
  except (OSError, ValueError) as error:
    return [{'kind': 'unreadable', 'told': str(error)}]
  return [event for event in found if isinstance(event, dict)]


def settings(groups):
  """Tables of settings: those that differ between runs, changed ones, others.

  Returns:
    (Table of the settings that differ, a row a setting's group; Table of
    those that all share and that differ from the defaults; Table of the rest).
  """
  flat = [run_folder.flatten(group.runs[0].config) for group in groups]
  names = list(dict.fromkeys(name for own in flat for name in own))
  values = {
    n: [shown(own[n]) if n in own else '' for own in flat] for n in names
  }
  aside = {'seed'}
  differing = [n for n in names if len({*values[n]}) > 1 and n not in aside]
  seeds = [', '.join(str(r.config['seed']) for r in g.runs) for g in groups]
  rows = [
    [group.label, *(values[n][i] for n in differing), seeds[i]]
    for i, group in enumerate(groups)
  ]
  default = run_folder.flatten(base.get_config().to_dict())
  shared = [n for n in names if n not in differing and n not in aside]
  changed = [
    n for n in shared if n not in default or shown(default[n]) != values[n][0]
  ]
  heads = ['setting', 'value', 'default']
  return (
    Table('Settings that differ', ['arm', *differing, 'seeds'], rows),
    Table(
      'Settings that differ from the defaults',
      heads,
      [[n, values[n][0], shown(default.get(n, ''))] for n in changed],
    ),
    Table(
      'Settings with their defaults',
      heads[:2],
      [[n, values[n][0]] for n in shared if n not in changed],
    ),
  )


def shown(value):
  """A value as people write it: 0.009, true, a text without quotes."""
  if isinstance(value, float):
    return f'{value:.6g}'
  return value if isinstance(value, str) else json.dumps(value, default=str)


def results(groups):
  """Tables of results: arms at the end, then each named evaluation."""
  tables = []
  if any(len(group.runs) > 1 for group in groups):
    arms = equal_cost.of_groups(groups)
    ends = ablation_table.Ablation(
      {
        arm: {seed: run.path for seed, run in own.items()}
        for arm, own in arms.items()
      }
    ).table()
    if len(ends):
      columns, note = ablation_table.cells(ends), ablation_table.NOTES
      tables.append(_of_columns('Arms at the end', columns, note))
    equal = equal_cost.table(arms)
    if len(equal):
      columns, note = equal_cost.cells(equal), equal_cost.NOTES
      tables.append(_of_columns('Arms at equal cost', columns, note))
  heads = ['setting', 'seeds', 'set', 'step', 'point']
  heads += [
    'accuracy, %',
    'accuracy interval',
    'length, tokens',
    'length interval',
  ]
  rows = [row for group in groups for row in _points(group)]
  note = (
    f"Interval: {intervals.LEVEL} % by Student's t over seeds; "
    'of one run plus and minus one standard error over problems.'
  )
  return [*tables, Table('Evaluations', heads, rows, note)] if rows else tables


def _of_columns(title, columns, note):
  """A Table of texts by head."""
  rows = list(zip(*columns.values(), strict=True))
  return Table(title, [*columns], rows, note)


def _points(group):
  counts = collections.Counter(
    (record['set'], record['step'])
    for run in group.runs
    for record in {(r['set'], r['step']): r for r in run.evals}.values()
  )
  for name in group.sets:
    for point in group.points(name, intervals.of_mean):
      if point.kind in NAMED:
        yield [
          group.label,
          counts[name, point.step],
          name,
          point.step,
          point.kind,
          *_span(*np.clip(point.accuracy, 0, 100)),
          *_span(*point.length),
        ]


def _span(mean, low, high):
  return f'{mean:,.1f}', f'{low:,.1f} to {high:,.1f}' if low < high else ''
