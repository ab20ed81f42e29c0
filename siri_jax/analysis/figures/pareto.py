"""Accuracy against mean length, with the Pareto front."""

import numpy as np

from siri_jax.analysis import seeds
from siri_jax.analysis.figures import panels, style

FRONT = 'Pareto front'
CROWDED = 0.3  # Share of the accuracies' range below which half is crowded.
NUMBERED = 3  # Most settings for which points are numbered by cycle.


def front(tokens, accuracy):
  """The Pareto front of points.

  A point is dominated by one that has the same accuracy with fewer tokens, or a
  higher accuracy with the same tokens.

  Args:
    tokens: float [n], mean length of a response.
    accuracy: float [n], in any unit.
  Returns:
    int [k], indices of the front, tokens and accuracy ascending.
  """
  # With equal tokens the most accurate first; with equal both, the first.
  order = np.lexsort((-np.asarray(accuracy), np.asarray(tokens)))
  kept, best = [], -np.inf
  for i in order:
    if accuracy[i] > best:
      kept.append(int(i))
      best = accuracy[i]
  return np.array(kept, int)


def draw(runs):
  """Accuracy against tokens, the trace of each setting and the Pareto front.

  As the paper's Figure 1: from the start through compressed and expanded
  points, or through every evaluation if the cap has fewer than two extrema.
  Points are means over seeds. Bars are the range over seeds, or one standard
  error over problems for one run. If the more accurate half of the points is
  crowded, a second panel shows only that half.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure.
  Raises:
    NothingToDrawError: no run has an evaluation yet.
  """
  found = seeds.of(runs)
  sets = list(dict.fromkeys(name for group in found for name in group.sets))
  style.need(sets, 'no run has an evaluation in its eval.jsonl yet')
  parts = []
  for name in sets:
    traces = [(g, _trace(g, name)) for g in found if name in g.sets]
    parts.append((name, traces, None))
    if closer := _upper_half(traces):
      parts.append((f'{name}, its upper half', traces, closer))
  heights = [1.7 if closer else 2.1 for _, _, closer in parts]
  fig, axes = style.sheet(len(parts), heights=heights)
  for ax, (title, traces, closer) in zip(axes[:, 0], parts, strict=True):
    _panel(ax, traces)
    ax.set_title(title, fontsize=style.TEXT)
    ax.set_ylabel('accuracy, %')
    if closer:
      ax.set(**closer)
      _lighten(ax)
  axes[-1, 0].set_xlabel('mean length of a response, tokens')
  style.legend(fig, axes[:, 0])
  style.note(fig, seeds.spread(found, 'bars'), seeds.missing(found))
  return fig


def _lighten(ax):
  """Makes traces and bars lighter than the points."""
  points = {'o', *style.MARKERS.values()}
  for part in (*ax.collections, *ax.lines):
    kept = part.get_label() == FRONT
    if part in ax.lines:
      kept |= part.get_marker() in points
    part.set_alpha(None if kept else 0.35)


def _trace(group, name):
  """A group's points at start, extrema and end; all without extrema."""
  points = group.points(name)
  turns = sum(p.kind in style.MARKERS for p in points)
  return [p for p in points if turns < 2 or p.kind != 'cadence']


def _upper_half(traces):
  """Limits of the more accurate half of the points; None if not crowded."""
  spots = [(p.length[0], p.accuracy[0]) for _, points in traces for p in points]
  tokens, accuracy = np.transpose(spots)
  upper = accuracy >= np.median(accuracy)
  if np.ptp(accuracy[upper]) > CROWDED * np.ptp(accuracy):
    return None
  limits = []
  for values, least in ((tokens[upper], 1.0), (accuracy[upper], 0.3)):
    room = max(0.15 * np.ptp(values), least)
    limits.append((min(values) - room, max(values) + room))
  return dict(zip(('xlim', 'ylim'), limits, strict=True))


def _panel(ax, traces):
  for (group, points), look in style.cycled(traces):
    panels.points(
      ax, points, 'accuracy', against='length', label=group.label, **look
    )
    if len(traces) <= NUMBERED:
      _number(ax, points, look['color'])
  points = [point for _, points in traces for point in points]
  tokens = np.array([p.length[0] for p in points])
  accuracy = np.array([p.accuracy[0] for p in points])
  best = front(tokens, accuracy)
  wide = {'color': '0.8', 'linewidth': 4, 'solid_capstyle': 'round'}
  ax.plot(tokens[best], accuracy[best], label=FRONT, zorder=0, **wide)
  for kind in sorted({p.kind for p in points} & set(style.MARKERS)):
    marker = style.MARKERS[kind]
    ax.plot([], [], marker, color=style.GREY, markersize=4.5, label=kind)
  ax.margins(0.08)


def _number(ax, points, colour):
  """Labels each compressed or expanded point with its number."""
  seen = dict.fromkeys(style.MARKERS, 0)
  for point in points:
    if point.kind in seen:
      seen[point.kind] += 1
      ax.annotate(
        str(seen[point.kind]),
        (point.length[0], point.accuracy[0]),
        (3, 3 if point.kind == 'expanded' else -8),
        textcoords='offset points',
        annotation_clip=True,
        fontsize=style.SMALL,
        color=colour,
      )
