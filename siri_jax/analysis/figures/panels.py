"""Panels against the step: length, accuracy, entropy and outcomes."""

import itertools

import numpy as np

from siri_jax.algorithm import phases
from siri_jax.analysis import runs
from siri_jax.analysis.figures import style

OUTCOMES = {  # Column -> label, colour.
  'length_correct': ('right', style.RIGHT),
  'length_wrong': ('wrong', style.WRONG),
}


def compressed_spans(run):
  """(first step, one past the last) of every stretch of compression."""
  return _spans(run, phases.compressions)


def expanded_spans(run):
  """The same of expansion."""
  return _spans(run, phases.expansions)


def _spans(run, stretches):
  steps = np.append(run.column('step'), run.last)
  spans = stretches(run.column('cap'), run.column('phase'))
  return [(steps[begin], steps[end]) for begin, end in spans]


def shade(ax, group):
  """Shades the phases of compression."""
  style.shade(ax, compressed_spans(group.longest))


def curve(ax, group, name, scale=1.0, **look):
  """A column's mean and range over the seeds.

  Args:
    ax: matplotlib Axes.
    group: seeds.Group.
    name: a column of metrics.jsonl.
    scale: factor of the values.
    **look: properties of the line, including `color`.
  """
  steps, mean, low, high = group.band(name, scale)
  style.line(ax, steps, mean, **look)
  if len(group.runs) > 1:
    style.band(ax, steps, low, high, look['color'])


def lengths(ax, group):
  """The cap, the mean length, and the range of the length."""
  shade(ax, group)
  steps, cap, _, _ = group.band('cap')
  style.cap(ax, steps, cap, color=style.BLACK, label='cap')
  curve(ax, group, 'length_mean', color=style.BLUE, label='mean length')
  if len(group.runs) == 1:
    steps, mean, _, _ = group.band('length_mean')
    _, high, _, _ = group.band('length_p90')
    light = {'alpha': 0.4, 'label': 'to 90th percentile'}
    style.band(ax, steps, mean, high, style.SKY, **light)
  ax.set_ylabel('response, tokens')
  style.from_zero(ax)


def accuracy(ax, group):
  """Accuracy in training, and at the evaluations of held-out sets."""
  shade(ax, group)
  label = 'training, under the cap'
  curve(ax, group, 'accuracy', 100, color=style.BLUE, label=label)
  for name, colour in zip(group.sets, itertools.cycle(style.SET_COLOURS)):
    points(ax, group.points(name), 'accuracy', color=colour, label=name)
  named = {r['kind'] for run in group.runs for r in run.evals}
  for kind in sorted(named & set(style.MARKERS)):
    marker = style.MARKERS[kind]
    ax.plot([], [], marker, color=style.GREY, markersize=4.5, label=kind)
  ax.set_ylabel('accuracy, %')


def points(ax, found, what, *, color, label, linestyle='-', against='step'):
  """Points joined by a line, with a marker for their kind and error bars.

  Args:
    ax: matplotlib Axes.
    found: list of seeds.Point.
    what: the field on the vertical axis.
    color: colour of line, markers and bars.
    label: label of the line.
    linestyle: style of the line.
    against: the field on the horizontal axis; if it is not the step, it has
      bars too.
  """
  across = [
    p.step if against == 'step' else getattr(p, against)[0] for p in found
  ]
  means = [getattr(p, what)[0] for p in found]
  line = {'color': color, 'linestyle': linestyle}
  ax.plot(across, means, linewidth=0.8, alpha=0.6, label=label, **line)
  for x, point in zip(across, found, strict=True):
    bars = {'yerr': _bar(getattr(point, what))}
    if against != 'step':
      bars['xerr'] = _bar(getattr(point, against))
    drawn = ax.errorbar(
      x,
      getattr(point, what)[0],
      **bars,
      color=color,
      marker=style.MARKERS.get(point.kind, 'o'),
      markersize=4.5 if point.kind in style.MARKERS else 3,
      elinewidth=0.7,
      capsize=1.2,
    )
    for part in (*drawn[1], *drawn[2]):
      part.set_alpha(0.6)


def entropy(ax, group):
  """The policy's entropy per token."""
  shade(ax, group)
  curve(ax, group, 'entropy', color=style.BLUE)
  ax.set_ylabel('entropy,\nnats a token')
  style.from_zero(ax)


def outcomes(ax, group):
  """Mean lengths of right, wrong and cut samples."""
  shade(ax, group)
  for column, (label, colour) in OUTCOMES.items():
    curve(ax, group, column, color=colour, label=label)
  cut = [(r.column('step'), runs.length_cut(r)) for r in group.runs]
  steps, lengths = (np.concatenate(part) for part in zip(*cut, strict=True))
  ax.plot(steps, lengths, '.', color=style.CUT, markersize=2, label='cut')
  ax.set_ylabel('response, tokens')
  style.from_zero(ax)


def cut(ax, group):
  """The share of samples cut by the cap."""
  shade(ax, group)
  curve(ax, group, 'truncated_frac', 100, color=style.BLACK)
  ax.set_ylabel('cut, %')
  style.from_zero(ax)


def _bar(span):
  """(mean, low, high) as the two lengths of an error bar."""
  mean, low, high = span
  return [[mean - low], [high - mean]]
