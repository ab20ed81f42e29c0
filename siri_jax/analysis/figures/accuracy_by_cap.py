"""Figures of accuracy under every cap, from evaluations and from runs."""

import itertools
import pathlib

import numpy as np

from siri_jax.analysis import paper_table, runs, seeds
from siri_jax.analysis.figures import panels, style
from siri_jax.grading import pass_at_k
from siri_jax.runtime import files

POINTS = 64  # Number of caps.
LOOKS = {  # Kind of evaluation -> look of its curve.
  'start': {'color': '0.55', 'linestyle': '-'},
  'compressed': {'color': style.POINTS['compressed'], 'linestyle': '--'},
  'expanded': {'color': style.POINTS['expanded'], 'linestyle': '-'},
  'end': {'color': style.BLACK, 'linestyle': ':'},
}


def draw(folders):
  """A panel for each set, a curve for each policy, a dot at 95 % accuracy.

  Args:
    folders: evaluations by siri_jax.evaluation.evaluate, which grades prefixes.
  Returns:
    matplotlib Figure without window or global state.
  """
  own = dict(
    zip(
      paper_table.labels(folders), map(paper_table.read, folders), strict=True
    )
  )
  names = list(dict.fromkeys(n for found in own.values() for n in found))
  fig, axes = style.sheet(len(names), heights=2.0)
  for ax, name in zip(axes[:, 0], names, strict=True):
    for (label, found), look in style.cycled(own.items()):
      if name in found:
        record = found[name]
        columns = (
          record['caps'],
          record['accuracy_at'],
          record['accuracy_at_se'],
        )
        _curve(ax, *columns, label, look)
        _mark(ax, record['cap_for_95'], *columns[:2], look['color'])
    _name(ax, paper_table.SETS.get(name, name))
  style.legend(fig, axes[:, 0])
  return fig


def of_runs(read):
  """Accuracy of runs under every cap, from the samples of evaluations.

  A sample longer than a cap counts as wrong, as it does for the reward. Only
  siri_jax.evaluation.evaluate finds an answer before the cut. For several seeds
  the curve is their mean and the band their range; for one run the band is one
  standard error over problems.

  Args:
    read: list of runs.Run.
  Returns:
    matplotlib Figure, a panel for each setting and set with the start and the
    newest compressed and expanded point, or the end.
  Raises:
    NothingToDrawError: no run has samples of an evaluation.
    ValueError: a file of samples is damaged; names it.
  """
  found = seeds.of(read)
  several = len({name for group in found for name in group.sets}) > 1
  parts = {}
  for group in found:
    for name in group.sets:
      curves = _newest(group, name)
      title = group.label + (f', {panels.set_name(name)}' if several else '')
      parts |= {title: curves} if curves else {}
  style.need(parts, 'no run kept the samples of an evaluation (eval/)')
  more = len(parts) - style.NAMED
  parts = dict(itertools.islice(parts.items(), style.NAMED))
  titles = [f'{title}\n{_steps(curves)}' for title, curves in parts.items()]
  fig, blocks, keys = style.grid(titles, 1, height=1.6)
  for (ax,), curves in zip(blocks, parts.values(), strict=True):
    for kind in (kind for kind in LOOKS if kind in curves):
      _, caps, spans = curves[kind]
      _curve(ax, caps, spans[0], None, None, LOOKS[kind])
      band = _from_nothing(spans[1:])
      style.band(ax, [0, *caps], *band, LOOKS[kind]['color'])
    _name(ax, '')
  for kind in LOOKS:  # In this order, also if the first panel lacks some.
    if any(kind in curves for curves in parts.values()):
      label = f'last {kind} point' if kind in style.POINTS else kind
      blocks[0][0].plot([], [], label=label, **LOOKS[kind])
  style.even(blocks)
  style.legends(blocks, keys)
  style.note(
    fig,
    'A sample longer than the cap counts as incorrect.',
    seeds.spread(found, 'bands'),
    seeds.missing(found),
    f'Not drawn: {more} more panels.' if more > 0 else '',
  )
  return fig


def right_within(rows, caps):
  """Mean accuracy over problems if samples longer than a cap are wrong.

  Args:
    rows: samples with problem_id, correct and length (tokens).
    caps: int [K], tokens.
  Returns:
    accuracy float [K] from 0 to 1, and its standard error over problems.
  """
  _, problems = np.unique(
    [row['problem_id'] for row in rows], return_inverse=True
  )
  # A cap below the length, or a wrong answer, gives nothing.
  reached = np.searchsorted(caps, [row['length'] for row in rows])
  reached[[not row['correct'] for row in rows]] = len(caps)
  sums = np.zeros((problems.max() + 1, len(caps) + 1))
  np.add.at(sums, (problems, reached), 1)
  means = sums.cumsum(axis=1)[:, :-1] / np.bincount(problems)[:, None]
  error = np.full(len(caps), np.nan)
  if len(means) > 1:
    error = means.std(axis=0, ddof=1) / len(means) ** 0.5
  return means.mean(axis=0), error


def save(out, folders):
  """Draws evaluations to a folder; returns the path of its caps.png."""
  path = pathlib.Path(out) / 'caps.png'
  files.write_atomically(path, style.png(draw(folders)))
  return path


def _newest(group, name):
  """{kind: (step, caps, (mean, low, high))} of the last points of all runs."""
  latest = {p.kind: p.step for p in group.points(name) if p.kind in LOOKS}
  found = {}
  for kind, step in latest.items():
    rows = [_samples(run, step, name) for run in group.runs]
    if not all(rows):
      continue
    most = max(row['length'] for own in rows for row in own)
    highest = group.longest.config['eval_kw']['cap']
    caps = pass_at_k.caps(max(most, highest), POINTS)
    found[kind] = step, caps, _span([right_within(own, caps) for own in rows])
  return found


def _steps(curves):
  """'steps 0, 120, 144': the steps of the curves."""
  steps = sorted(step for step, _, _ in curves.values())
  return f'step{"s" if steps[1:] else ""} {", ".join(map(str, steps))}'


def _samples(run, step, name):
  """An evaluation's samples; [] if it has none."""
  paths = run.sample_files('eval').get(step, [])
  named = [path for path in paths if path.name == f'{name}.jsonl.gz']
  return [row for path in named for row in runs.read_samples(path)]


def _span(pairs):
  """(mean, low, high) of the seeds' curves, in per cent."""
  curves = 100 * np.array([accuracy for accuracy, _ in pairs])
  mean, low, high = curves.mean(0), curves.min(0), curves.max(0)
  if len(pairs) == 1:
    error = 100 * np.nan_to_num(pairs[0][1])
    low, high = mean - error, mean + error
  return mean, low, high


def _curve(ax, caps, accuracy, errors, label, look):
  """Draws accuracy from a cap of 0 on, with its standard error."""
  scale = 1 if errors is None else 100  # Records have shares.
  (values,) = _from_nothing([scale * np.array(accuracy)])
  ax.plot([0, *caps], values, linewidth=1.2, label=label, **look)
  if errors is not None:
    error = np.array([100 * (e or 0) for e in (0, *errors)])
    style.band(ax, [0, *caps], values - error, values + error, look['color'])


def _from_nothing(curves):
  """Curves extended by accuracy 0 at cap 0."""
  return [np.concatenate([[0.0], curve]) for curve in curves]


def _mark(ax, at, caps, accuracy, colour):
  """A dot at the cap that reaches 95 % of the accuracy."""
  if at is not None:
    height = 100 * np.interp(at, [0, *caps], [0, *accuracy])
    ax.plot(at, height, 'o', color=colour, markersize=4)


def _name(ax, name):
  ax.set_ylabel(f'{name}\naccuracy, %'.strip())
  ax.set_xlabel('cap, tokens')
  ax.set_xlim(left=0)
  style.per_cent(ax)
