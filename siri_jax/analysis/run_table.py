"""The table of runs: accuracy and length at each point."""

import math

import tabulate

from siri_jax.analysis import runs as run_folders
from siri_jax.runtime import run_folder, terminal

POINTS = ('start', 'compressed', 'expanded', 'end')  # Not every eval_kw.every.
NOTES = """\
Accuracy in %, length in tokens per response, tokens trained on so far; dAcc/CR
is the relative gain in accuracy over the relative length, both against the
run's start. ± is one standard error over problems, left out where all gave the
same. Differences from a run's own start are paired by problem if both
evaluations have samples; ~ marks those within two standard errors."""
OTHERS = """\
A difference from another run is of one seed each: it has no interval. Train
several seeds by siri_jax.commands.ablate for one."""


def efficiency(accuracy, length, first_accuracy, first_length):
  """The paper's efficiency score dAcc/CR of a point against the start.

  dAcc = max(accuracy / first_accuracy - 1, 0), CR = length / first_length.

  Args:
    accuracy: share of right answers at the point, 0..1 or per cent.
    length: mean response length at the point, tokens.
    first_accuracy: accuracy at the start, in the same unit.
    first_length: mean response length at the start, tokens.
  Returns:
    float without unit; NaN if the start has no right answer.
  Source: SIRI, arxiv.org/abs/2509.25176, section 5.1.
  """
  if not first_accuracy or not length:
    return math.nan
  gain = max(accuracy / first_accuracy - 1, 0.0)
  return gain / (length / first_length)


def evaluations(run, set_name):
  """A set's records by step, each with its `efficiency` and `sources`.

  `sources` is a list of (run, step, set) of its samples. If a step has two
  records, that of a named point is used.
  """
  records = [r for r in run.evals if r['set'] == set_name]
  named_last = sorted(records, key=lambda r: r['kind'] in POINTS)
  by_step = {r['step']: r for r in named_last}
  first = next((r for r in records if r['kind'] == 'start'), None)
  scored = {}
  for step, record in sorted(by_step.items()):
    score = math.nan
    if first:
      then = first['accuracy'], first['length']
      score = efficiency(record['accuracy'], record['length'], *then)
    sources = [(run, step, set_name)]
    scored[step] = {**record, 'efficiency': score, 'sources': sources}
  return scored


def mean_over_sets(by_set):
  """The mean of several sets' evaluations, at the steps that all have.

  Args:
    by_set: result of `evaluations` for each set.
  """
  means = {}
  for step, record in by_set[0].items():
    if all(step in records for records in by_set):
      own = [records[step] for records in by_set]
      sources = [source for r in own for source in r['sources']]
      means[step] = {**record, **_mean(own), 'sources': sources}
  return means


def text(folders, style='simple'):
  """The table of runs step by step, with differences and notes.

  Args:
    folders: the runs' folders; the first run is compared with the others.
    style: a format of tabulate: 'simple' for a terminal, 'github', ...
  Returns:
    str: for each evaluated set, and for the mean of several sets, a table and
    the differences; then notes.
  """
  runs = [run_folders.read(folder) for folder in folders]
  if not runs[0].evals:
    return f'{folders[0]} has no evaluation yet.'
  names = labels(runs)
  sets = {
    name: [evaluations(run, name) for run in runs] for name in runs[0].sets
  }
  if len(sets) > 1:
    by_run = zip(*sets.values(), strict=True)
    title = 'Mean of the sets, dAcc/CR as the mean of ratios'
    sets[title] = [mean_over_sets(by_set) for by_set in by_run]
  blocks = []
  for title, by_run in sets.items():
    blocks += [title, _grid(names, by_run, style)]
    blocks += [_differences(names, by_run, style)]
  notes = f'{NOTES}\n{OTHERS}' if len(runs) > 1 else NOTES
  return '\n\n'.join(b for b in [*blocks, _settings(runs, names), notes] if b)


def labels(runs):
  """A short name for each run, from its ablation or config if possible."""
  short = [run.arm or run.short for run in runs]
  return [
    name if short.count(name) == 1 else run.name
    for name, run in zip(short, runs, strict=True)
  ]


def _mean(records):
  """Means and their standard errors over the sets' records."""
  count = len(records)
  mean = {
    name: sum(r[name] for r in records) / count
    for name in ('accuracy', 'length', 'truncated_frac', 'efficiency')
  }
  for name in ('accuracy_se', 'length_se'):
    squares = sum(_number(r[name]) ** 2 for r in records)
    mean[name] = math.sqrt(squares) / count
  return mean


def _grid(names, by_run, style):
  """The table of one set: a row for each named step and run."""
  kinds = {}  # Step -> its kind in the first run that has one.
  for records in by_run:
    for step, record in records.items():
      if record['kind'] in POINTS:
        kinds.setdefault(step, record['kind'])
  rows = [
    (step, kind, name, *_cells(records[step]))
    for step, kind in sorted(kinds.items())
    for name, records in zip(names, by_run, strict=True)
    if step in records
  ]
  headers = ('step', 'point', 'run', 'accuracy', 'length', 'tokens', 'dAcc/CR')
  return _format(rows, headers, style)


def _cells(record):
  """A record's numbers as texts."""
  score = record['efficiency']
  return (
    with_error(100 * record['accuracy'], 100 * _number(record['accuracy_se'])),
    with_error(record['length'], _number(record['length_se'])),
    terminal.short(record['tokens']),
    '' if record['kind'] == 'start' or math.isnan(score) else f'{score:.2f}',
  )


def _differences(names, by_run, style):
  """Differences of the first run's last points from start and other runs."""
  own = by_run[0]
  start = {s: r for s in own for r in own.values() if r['kind'] == 'start'}
  rows = []
  for kind in POINTS[1:]:
    steps = [step for step in own if own[step]['kind'] == kind]
    others = zip(('its start', *names[1:]), (start, *by_run[1:]), strict=True)
    for name, records in others:
      step = max((step for step in steps if step in records), default=None)
      if step is not None:
        compare = _from_start if records is start else _from_other
        rows.append((step, kind, name, *compare(own[step], records[step])))
  headers = ('step', 'point', f'{names[0]} against', 'accuracy', 'length')
  return _format(rows, headers, style) if rows else ''


def paired_errors(ones, others):
  """Standard errors of the difference of two evaluations of the same problems.

  Each is the standard error of the mean over problems of the difference on a
  problem; for several sets, that of the mean over sets.

  Args:
    ones: `sources` of one evaluation.
    others: `sources` of the other.
  Returns:
    {'accuracy': percentage points, 'length': tokens}; None if samples are
    missing or the problems differ.
  """
  from siri_jax.analysis import dataframes  # A dry run must not load pandas.

  squares = {'accuracy': 0.0, 'length': 0.0}
  for pair in zip(ones, others, strict=True):
    try:
      own, other = (dataframes.by_problem(*source) for source in pair)
    except (OSError, ValueError, KeyError):
      return None
    for name in squares:
      if not own[name].index.equals(other[name].index):
        return None
      squares[name] += (own[name] - other[name]).sem() ** 2
  return {name: math.sqrt(s) / len(ones) for name, s in squares.items()}


def _from_other(one, other):
  """The difference from another run; one seed each shows no error of it."""
  for name, scale in (('accuracy', 100), ('length', 1)):
    yield f'{scale * (one[name] - other[name]):+.1f}'


def _from_start(one, other):
  """The difference from the run's start, marked if it may be noise."""
  paired = paired_errors(one['sources'], other['sources'])
  for name, scale in (('accuracy', 100), ('length', 1)):
    difference = scale * (one[name] - other[name])
    errors = [_number(record[f'{name}_se']) for record in (one, other)]
    # Without samples the errors are added as if independent: an upper bound.
    error = paired[name] if paired else scale * math.hypot(*errors)
    mark = '~ ' if abs(difference) <= 2 * error else ''
    yield mark + with_error(difference, error, '+')


def latex_comments(text):
  """A text for LaTeX: what is outside of its tables is a comment."""
  lines, inside = [], False
  for line in text.splitlines():
    inside |= line.startswith('\\begin{')
    lines.append(line if inside or not line else f'% {line}')
    inside &= not line.startswith('\\end{')
  return '\n'.join(lines)


def _format(rows, headers, style):
  """Rows that begin with step, point and run, each step named once."""
  shown, before = [], None
  for step, point, *rest in rows:
    again = (step, point) == before
    shown.append(['', '', *rest] if again else [step, point, *rest])
    before = step, point
  align = ('right', 'left', 'left', *['right'] * (len(headers) - 3))
  return tabulate.tabulate(
    shown, headers, style, disable_numparse=True, colalign=align
  )


def _settings(runs, names):
  """The settings in which the other runs differ from the first."""
  lines = []
  for name, run in zip(names[1:], runs[1:], strict=True):
    changes = run_folder.differences(runs[0].config, run.config)
    differing = dict.fromkeys(key.partition('.')[0] for key, _, _ in changes)
    listed = ', '.join(differing) or 'nothing'
    lines.append(f'{name} differs from {names[0]} in: {listed}.')
  return '\n'.join(lines)


def _number(value):
  """A value; NaN for None."""
  return math.nan if value is None else value


def with_error(value, error, sign=''):
  """A value and its standard error as text.

  The error is left out if it is NaN, None or 0: where all problems gave the
  same, they show nothing of how others would differ.
  """
  error = _number(error) or math.nan
  digits = 0 if error >= 10 else 2 if error < 0.05 else 1  # No ± 0.0.
  text = f'{value:{sign}.{digits}f}'
  return text if math.isnan(error) else f'{text} ± {error:.{digits}f}'
