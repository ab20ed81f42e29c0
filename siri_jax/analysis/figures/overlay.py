"""Several settings in the same panels, with a small panel for each cap."""

import itertools

import numpy as np

from siri_jax.analysis import seeds
from siri_jax.analysis.figures import curves, panels, style

FEW = 3  # Most settings whose bands and bars can be told apart.


def draw(runs):
  """Caps in small panels, then all lengths and all accuracies together.

  As the paper's Figure 7. The titles of the small panels name the settings of
  the colours. For runs without evaluations, accuracy is that in training, under
  each run's own cap. Bands and bars are the range over seeds; more than FEW
  settings have none.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure; settings have colours.
  Raises:
    NothingToDrawError: no run has a step yet, or all have the same settings.
  """
  found, more = curves.settings(runs)
  style.need(found[1:], 'there is one setting; `training` shows it')
  sets = list(dict.fromkeys(name for group in found for name in group.sets))
  wide, below = style.across(len(found)), min(1 + max(len(sets), 1), 3)
  deep, rows = (
    -(-n // w) for n, w in ((len(found), wide), (1 + max(len(sets), 1), below))
  )
  fig = style.empty(style.PAGE, 1.05 * deep + 2.1 * rows + 0.2)
  top, bottom = fig.subfigures(2, 1, height_ratios=(1.05 * deep, 2.1 * rows))
  small = style.subplots(top, deep, wide, 1, sharex=True, sharey=True)
  large = style.subplots(bottom, rows, below, 1, sharex=True)
  looks = list(style.cycled(found))
  last = max(group.longest.last for group in found)
  _caps(small, looks, last)
  _lengths(large.flat[0], looks)
  _accuracies(large.flat[1:], looks, sets)
  for ax in large.flat:
    style.steps_axis(ax, last)
  few = len(found) <= FEW
  note = seeds.spread(found, 'bars' if sets else '') if few else ''
  if not few and any(group.runs[1:] for group in found):
    note = 'Means over seeds; the figure training shows their range.'
  marks = (
    'Triangles: compressed (down) and expanded (up) points.' if sets else ''
  )
  style.note(
    fig, note, marks, seeds.missing(found), more and f'Not drawn: {more}'
  )
  return fig


def _caps(axes, looks, last):
  """A small panel for each setting's cap; its title is the legend."""
  for ax, item in itertools.zip_longest(axes.flat, looks):
    if item is None:
      ax.set_axis_off()
      continue
    group, look = item
    steps, cap, _, _ = group.band('cap')
    style.cap(ax, steps, cap, **look)
    ax.set_title(group.label, fontsize=style.SMALL)
    ax.tick_params(labelbottom=True)
    style.steps_axis(ax, last)
    ax.set_xlabel('')
  caps = np.concatenate([g.longest.column('cap') for g, _ in looks])
  style.cap_axis(axes.flat[0], caps)
  for ax in axes[:, 0]:
    ax.set_ylabel('cap,\ntokens')


def _lengths(ax, looks):
  for group, look in looks:
    panels.curve(ax, group, 'length_mean', bands=len(looks) <= FEW, **look)
  ax.set_ylabel('mean response\nlength, tokens')
  style.from_zero(ax)


def _accuracies(axes, looks, sets):
  """A panel for each held-out set, or one of training without any."""
  lowest = 100.0
  for ax, name in itertools.zip_longest(axes, sets or ['']):
    if name is None:
      ax.set_axis_off()
      continue
    for group, look in looks:
      if not name:
        panels.curve(ax, group, 'accuracy', 100, len(looks) <= FEW, **look)
      elif name in group.sets:
        few = len(looks) <= FEW
        found = group.points(name)
        panels.points(ax, found, 'accuracy', label=None, bars=few, **look)
    what = panels.set_name(name) if name else 'training, under the cap'
    ax.set_ylabel(
      f'accuracy on\n{what}, %' if name else f'accuracy, %\n({what})'
    )
    lowest = min(lowest, ax.dataLim.y0)
  for ax in axes[: max(len(sets), 1)]:
    style.per_cent(ax, max(0, 10 * (lowest // 10)))
