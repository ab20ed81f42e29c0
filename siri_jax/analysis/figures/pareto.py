"""Accuracy against mean length at the last points of each setting."""

import itertools

import numpy as np
from matplotlib import ticker

from siri_jax.analysis import intervals, seeds
from siri_jax.analysis.figures import panels, style

CROWDED = 0.3  # Share of the range below which the chosen points are crowded.
LAST = {  # Point of a setting -> marker.
  'last compressed point': 'v',
  'last expanded point': '^',
  'last evaluation': 'o',
}
FEW = 8  # Most settings whose legend fits a column.
FILLS = ('full', 'none', 'left', 'bottom')


def chosen(points):
  """The points of a setting that are compared.

  Args:
    points: list of seeds.Point, by step.
  Returns:
    dict name in LAST -> Point: of a cap that cycles the newest compressed and
    expanded one, and the newest evaluation unless it is one of them.
  """
  newest = {p.kind: p for p in points if p.kind in style.MARKERS}
  found = {}
  if len(newest) == len(style.MARKERS):
    names = zip(style.MARKERS, LAST, strict=False)
    found = {name: newest[kind] for kind, name in names}
  if points and points[-1] not in found.values():
    found['last evaluation'] = points[-1]
  return found


def draw(runs):
  """Accuracy against tokens at the last points of each setting.

  As the paper's Figure 1, without the paths: the newest compressed and expanded
  point, and the newest evaluation. Points are means over seeds with a 95 %
  interval of Student's t; for one run bars are one standard error over
  problems. The common start is grey, or in the note if it is far from all
  points.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure, a panel for each held-out set.
  Raises:
    NothingToDrawError: no run has an evaluation yet.
  """
  found = seeds.of(runs)
  sets = list(dict.fromkeys(name for group in found for name in group.sets))
  style.need(sets, 'no run has an evaluation in its eval.jsonl yet')
  width = style.COLUMN if len(found) <= FEW else style.PAGE
  fig, axes = style.sheet(len(sets), width=width, heights=2.3)
  far = []
  for ax, name in zip(axes[:, 0], sets, strict=True):
    own = [group for group in found if name in group.sets]
    far.append(_panel(ax, own, name))
    if sets[1:]:
      ax.set_title(panels.set_name(name), fontsize=style.TEXT)
    ax.set_ylabel(f'accuracy on\n{panels.set_name(name)}, %')
  axes[-1, 0].set_xlabel('mean response length, tokens')
  style.legend(fig, axes[:, 0], columns=4)
  said = _bars(found), _steps(found, sets[0]), *far, seeds.missing(found)
  style.note(fig, *said)
  return fig


def _panel(ax, groups, name):
  """Draws a set's points; returns a sentence about a start out of view."""
  looks = itertools.cycle(itertools.product(FILLS, style.COLOURS))
  traces = [(group, group.points(name, intervals.of_mean)) for group in groups]
  marks = {kind for _, points in traces for kind in chosen(points)}
  for kind in (k for k in LAST if k in marks):
    ax.plot([], [], LAST[kind], color=style.GREY, label=kind, markersize=4.5)
  spots = []
  for (group, points), (fill, colour) in zip(traces, looks, strict=False):
    look = {'color': colour, 'fillstyle': fill, 'linestyle': ''}
    ax.plot([], [], 's', label=group.label, **look)
    for kind, point in chosen(points).items():
      spots.append(_point(ax, point, marker=LAST[kind], **look))
  starts = [p for _, points in traces for p in points if p.kind == 'start']
  far = _start(ax, starts, np.array(spots), panels.set_name(name))
  for axis, least in ((ax.xaxis, 5), (ax.yaxis, 1)):  # Tokens, points.
    low, high = axis.get_view_interval()
    room = max(least - (high - low), 0) / 2
    axis.set_view_interval(low - room, high + room, ignore=True)
    axis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
  low, high = ax.get_ylim()
  room = 0.05 * (high - low)
  ax.set_ylim(max(low, -room), min(high, 100 + room))
  return far


def _point(ax, point, **look):
  """Draws a point with its bars; returns (tokens, accuracy)."""
  at = point.length[0], point.accuracy[0]
  mean, low, high = point.accuracy
  inside = mean, max(low, 0), min(high, 100)
  bars = panels.bar(point.length), panels.bar(inside)
  drawn = ax.errorbar(
    *at, xerr=bars[0], yerr=bars[1], markersize=5, elinewidth=0.7, **look
  )
  for part in drawn[2]:
    part.set_alpha(0.4)
  return at


def _start(ax, starts, spots, name):
  """Draws the mean start in grey, or returns it as a sentence if far away."""
  if not starts:
    return ''
  tokens, accuracy = np.mean([(p.length[0], p.accuracy[0]) for p in starts], 0)
  ranges = np.ptp(spots, 0), np.ptp([*spots, (tokens, accuracy)], 0)
  if ranges[0][1] < CROWDED * ranges[1][1]:
    return (
      f'Not in view: the start, {accuracy:.1f} % of {name} at {tokens:,.0f} '
      'tokens.'
    )
  look = {'color': style.GREY, 'linestyle': '', 'label': 'mean start'}
  ax.plot(tokens, accuracy, marker='D', markersize=4, **look)
  return ''


def _bars(groups):
  """A sentence about the bars."""
  several = [g for g in groups if len(g.runs) > 1]
  counts = sorted({len(g.runs) for g in several})
  parts = []
  if several:
    span = ' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    parts.append(f"Means of {span} seeds, bars: 95 % intervals by Student's t.")
  if len(several) < len(groups):
    parts.append('One run, bars: one standard error over problems.')
  return ' '.join(parts)


def _steps(groups, name):
  """The steps of the chosen points of each setting, as a sentence."""
  labels = {}
  for group in groups:
    steps = [str(p.step) for p in chosen(group.points(name)).values()]
    labels.setdefault(' and '.join(steps), []).append(group.label)
  labels.pop('', None)
  if len(labels) == 1:
    (steps,) = labels
    return f'The points are after step{"s" * (" " in steps)} {steps}.'
  parts = [f'{steps} ({", ".join(own)})' for steps, own in labels.items()]
  return f'The points are after steps {"; ".join(parts)}.'
