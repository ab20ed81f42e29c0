"""Accuracy against the length of a response, and which points none beats."""

import numpy as np
from matplotlib import patches

from siri_jax.analysis import groups, panels, style

FRONT = 'Pareto front'
LEAST = (2, 1)  # Tokens and per cent round the front, at least.
NUMBERED = 3  # Settings at most whose points are numbered by their cycle.


def front(tokens, accuracy):
  """The points that no other one beats.

  A point is beaten by one that is as accurate in fewer tokens, or more
  accurate in as many.

  Args:
    tokens: float [n], mean length of a response.
    accuracy: float [n], in any unit.
  Returns:
    int [k], their indices, tokens and accuracy rising.
  """
  # Of as many tokens the most accurate first; of equals, the first.
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
  points. Means over the seeds; bars reach from the lowest to the highest, or
  one standard error over problems to either side where there is one run.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure, for each held-out set a panel with all points and one
    of those near the front.
  Raises:
    NothingToDrawError: no run was measured yet.
  """
  found = groups.of(runs)
  sets = list(dict.fromkeys(name for group in found for name in group.sets))
  style.need(sets, 'no run has an evaluation in its eval.jsonl yet')
  fig, axes = style.sheet(2 * len(sets), heights=[2.1, 1.6] * len(sets))
  for pair, name in zip(axes.reshape(-1, 2), sets, strict=True):
    own = [g for g in found if name in g.sets]
    for ax in pair:
      _panel(ax, own, name)
      ax.set_ylabel('accuracy, %')
    _near_the_front(*pair)
    pair[0].set_title(name, fontsize=style.TEXT)
    pair[1].set_title(f'{name}, near the front', fontsize=style.TEXT)
  axes[-1, 0].set_xlabel('mean length of a response, tokens')
  style.legend(fig, axes[:, 0])
  style.note(
    fig, groups.spread(found, f'bars: {groups.ERROR}'), groups.missing(found)
  )
  return fig


def _panel(ax, found, name):
  traces = [(group, group.points(name)) for group in found]
  for (group, points), look in style.cycled(traces):
    panels.points(
      ax, points, 'accuracy', against='length', label=group.label, **look
    )
    if len(found) <= NUMBERED:
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


def _near_the_front(whole, near):
  """Closes in on the front, and frames in the whole what is shown there."""
  (line,) = (found for found in near.lines if found.get_label() == FRONT)
  limits = []
  for values, least in zip(line.get_data(), LEAST, strict=True):
    room = max(0.35 * np.ptp(values), least)
    limits.append((min(values) - room, max(values) + room))
  near.set(xlim=limits[0], ylim=limits[1])
  corner, size = np.transpose(limits)[0], np.ptp(limits, axis=1)
  frame = patches.Rectangle(corner, *size, fill=False, color=style.GREY)
  frame.set_linewidth(0.6)
  whole.add_patch(frame)


def _number(ax, points, colour):
  """Writes beside each compressed or expanded point which one it is."""
  seen = dict.fromkeys(style.MARKERS, 0)
  for point in points:
    if point.kind in seen:
      seen[point.kind] += 1
      ax.annotate(
        str(seen[point.kind]),
        (point.length[0], point.accuracy[0]),
        (3, 3 if point.kind == 'expanded' else -8),
        textcoords='offset points',
        fontsize=style.SMALL,
        color=colour,
      )
