"""Panels against the step: length, accuracy, entropy, outcomes, updates."""

import itertools

import numpy as np

from siri_jax.algorithm import phases
from siri_jax.analysis import paper_table, runs
from siri_jax.analysis.figures import style

OUTCOMES = {  # Column -> label, colour.
  'length_correct': ('correct', style.BLUE),
  'length_wrong': ('incorrect', style.VERMILLION),
}
TIMES = {  # Column -> label, colour.
  'rollout_secs': ('sampling', style.BLUE),
  'grade_secs': ('grading', style.ORANGE),
  'update_secs': ('update', style.GREEN),
  'push_secs': ('weight push', style.PINK),
}


def set_name(name):
  """The name of a held-out set as a figure shows it."""
  own = {'held_out': 'held-out problems', **paper_table.SETS}
  return own.get(name, name)


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


def curve(ax, group, name, scale=1.0, bands=True, **look):
  """A column's mean and, with `bands`, its range over the seeds.

  Args:
    ax: matplotlib Axes.
    group: seeds.Group.
    name: a column of metrics.jsonl.
    scale: factor of the values.
    bands: whether to draw the range.
    **look: properties of the line, including `color`.
  """
  steps, mean, low, high = group.band(name, scale)
  style.line(ax, steps, mean, **look)
  if bands and len(group.runs) > 1:
    style.band(ax, steps, low, high, look['color'])


def lengths(ax, group):
  """The cap, the mean length, and the range of the length."""
  shade(ax, group)
  steps, cap, _, _ = group.band('cap')
  style.cap(ax, steps, cap, color=style.BLACK, label='cap')
  curve(ax, group, 'length_mean', color=style.BLUE, label='mean length')
  p90 = {'color': style.ORANGE, 'linestyle': '--', 'linewidth': 0.8}
  steps, mean, _, _ = group.band('length_p90')
  style.line(ax, steps, mean, label='90th percentile', **p90)
  ax.set_ylabel('response length,\ntokens')
  style.from_zero(ax)


def accuracy(ax, group):
  """Accuracy in training, and at the evaluations of held-out sets."""
  shade(ax, group)
  label = 'training, under the cap'
  curve(ax, group, 'accuracy', 100, color=style.GREEN, label=label)
  for name, colour in zip(group.sets, itertools.cycle(style.SET_COLOURS)):
    found = group.points(name)
    points(ax, found, 'accuracy', color=colour, label=set_name(name))
  named = {r['kind'] for run in group.runs for r in run.evals}
  for kind in sorted(named & set(style.MARKERS)):
    look = {'color': style.GREY, 'markersize': 4.5}
    ax.plot([], [], style.MARKERS[kind], label=kind, **look)
  ax.set_ylabel('accuracy, %')
  style.per_cent(ax)


def points(ax, found, what, *, color, label, linestyle='-', bars=True):
  """Points joined by a line, with a marker for their kind and error bars.

  Args:
    ax: matplotlib Axes.
    found: list of seeds.Point.
    what: the field on the vertical axis.
    color: colour of line, markers and bars.
    label: label of the line.
    linestyle: style of the line.
    bars: whether to draw error bars.
  """
  steps = [p.step for p in found]
  means = [getattr(p, what)[0] for p in found]
  line = {'color': color, 'linestyle': linestyle}
  ax.plot(steps, means, linewidth=0.8, alpha=0.6, label=label, **line)
  for kind in dict.fromkeys(p.kind for p in found):
    alike = [p for p in found if p.kind == kind]
    spans = np.array([getattr(p, what) for p in alike])
    drawn = ax.errorbar(
      [p.step for p in alike],
      spans[:, 0],
      yerr=bar(spans.T) if bars else None,
      color=color,
      linestyle='',
      marker=style.MARKERS.get(kind, 'o'),
      markersize=4.5 if kind in style.MARKERS else 3,
      elinewidth=0.7,
      capsize=1.2,
    )
    for part in (*drawn[1], *drawn[2]):
      part.set_alpha(0.6)


def _measured(ax, group, column, label, color, scale=1.0):
  """One column's curve over shaded compressions, with the axis' label."""
  shade(ax, group)
  curve(ax, group, column, scale, color=color)
  ax.set_ylabel(label)


def entropy(ax, group):
  """The policy's entropy per token."""
  _measured(ax, group, 'entropy', 'entropy,\nnats per token', style.BLUE)
  style.from_zero(ax)


def outcomes(ax, group):
  """Mean lengths of correct, incorrect and truncated samples, and the cap."""
  shade(ax, group)
  steps, cap, _, _ = group.band('cap')
  style.cap(ax, steps, cap, color=style.BLACK, label='cap', linewidth=0.7)
  for column, (label, colour) in OUTCOMES.items():
    curve(ax, group, column, color=colour, label=label)
  clipped = [r for r in group.runs if r.config['cap_at'] != 'sampler']
  for run in clipped:  # Otherwise a truncated sample is as long as the cap.
    at = run.column('step'), runs.length_cut(run)
    label = 'truncated' if run is clipped[0] else None
    ax.plot(*at, '.', color=style.GREY, markersize=2, label=label)
  ax.set_ylabel('response length,\ntokens')
  style.from_zero(ax)


def truncated(ax, group):
  """The share of samples that the cap truncated."""
  _measured(ax, group, 'truncated_frac', 'truncated, %', style.GREY, 100)
  style.from_zero(ax)


def reward(ax, group):
  """The mean reward of a step."""
  _measured(ax, group, 'reward_mean', 'mean reward', style.GREEN)


def loss(ax, group):
  """The loss of a step's updates."""
  _measured(ax, group, 'loss', 'loss', style.VERMILLION)


def grad_norm(ax, group):
  """The norm of the gradient before clipping."""
  _measured(ax, group, 'grad_norm', 'gradient norm', style.PINK)
  style.from_zero(ax)


def times(ax, group):
  """The seconds of a step's parts, stacked; means over the seeds.

  The first step compiles. It may be higher than the axis.
  """
  bottom = 0.0
  for column, (label, colour) in TIMES.items():
    steps, mean, _, _ = group.band(column)
    top = bottom + np.nan_to_num(mean)
    ax.fill_between(
      steps, bottom, top, color=colour, label=label, linewidth=0, step='post'
    )
    bottom = top
  ax.set_ylabel('time of a step, s')
  ax.set_ylim(0, 1.08 * max(np.max(bottom[1:], initial=0.0), 1e-3))


def speed(ax, group):
  """Response tokens a second."""
  curve(ax, group, 'tokens_per_sec', color=style.BLACK)
  ax.set_ylabel('tokens per second')
  style.from_zero(ax)


def bar(span):
  """(mean, low, high), a number or [N] each, as the lengths of error bars."""
  mean, low, high = np.reshape(span, (3, -1))
  return [mean - low, high - mean]
