"""Figures against the step: training, entropy, outcomes, overlay."""

import numpy as np

from siri_jax.analysis import seeds
from siri_jax.analysis.figures import panels, style


def training(runs):
  """Cap, length and accuracy against the step, a column for each setting.

  As the paper's Figures 4, 5 and 8. Bands and bars are the range over seeds.
  With one run, the band of lengths ends at the 90th percentile, and bars are
  one standard error over problems.

  Args:
    runs: list of runs.Run; runs that differ only in seed are one setting.
  Returns:
    matplotlib Figure.
  Raises:
    NothingToDrawError: no run has a step or an evaluation yet.
  """
  rows = panels.lengths, panels.accuracy
  return _grid(runs, rows, columns=3, bars='bars')


def entropy(runs):
  """Entropy against the step with shaded phases, a panel for each setting.

  As the paper's Figures 9 and 10. Bands are the range over seeds.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure.
  Raises:
    NothingToDrawError: no run has a step yet.
  """
  return _grid(runs, (panels.entropy,))


def outcomes(runs):
  """Mean length of right, wrong and cut samples, and the share of cut ones.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure, a column for each setting; bands as in `entropy`.
  Raises:
    NothingToDrawError: no run has a step yet.
  """
  return _grid(runs, (panels.outcomes, panels.cut), columns=4)


def overlay(runs):
  """Several settings in the same panels, as the paper's Figure 7.

  Accuracy is the mean over held-out sets. For a run without evaluations, it is
  the accuracy in training, under its own cap. Bands and bars as in `training`.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure: caps, mean lengths and accuracy; settings have colours.
  Raises:
    NothingToDrawError: no run has a step yet.
  """
  found = _groups(runs)
  sets = list(dict.fromkeys(name for group in found for name in group.sets))
  rows = 2 + max(len(sets), 1)
  fig, axes = style.sheet(rows, heights=(0.8, *[1.4] * (rows - 1)), sharex=True)
  axes = axes[:, 0]
  for group, look in style.cycled(found):
    steps, cap, _, _ = group.band('cap')
    style.cap(axes[0], steps, cap, label=group.label, **look)
    panels.curve(axes[1], group, 'length_mean', **look)
    for ax, name in zip(axes[2:], sets, strict=False):
      if name in group.sets:
        panels.points(ax, group.points(name), 'accuracy', label=None, **look)
      ax.set_ylabel(f'{name},\naccuracy, %')
    if not sets:
      panels.curve(axes[2], group, 'accuracy', 100, **look)
      axes[2].set_ylabel('training\naccuracy, %')
  for ax, label in zip(
    axes, ('cap, tokens', 'mean length,\ntokens'), strict=False
  ):
    ax.set_ylabel(label)
    style.from_zero(ax)
  style.legend(fig, axes[:1])
  style.steps_axis(axes[-1], max(g.longest.last for g in found))
  note = seeds.spread(found, 'bars' if sets else '')
  style.note(fig, note, seeds.missing(found))
  fig.align_ylabels()
  return fig


def _groups(runs):
  found = seeds.of(runs)
  steps = [g for g in found if len(g.longest.column('step'))]
  style.need(steps, 'no run has a step in its metrics.jsonl yet')
  return steps


def _grid(runs, rows, columns=2, bars=''):
  """A column of panels for each group, all with one scale."""
  found = _groups(runs)
  fig, blocks = style.grid([group.label for group in found], len(rows))
  for group, axes in zip(found, blocks, strict=True):
    for panel, ax in zip(rows, axes, strict=True):
      panel(ax, group)
    style.steps_axis(axes[-1], max(g.longest.last for g in found))
  style.even(blocks)
  style.legend(fig, np.ravel(blocks), columns)
  style.note(fig, seeds.spread(found, bars), seeds.missing(found))
  return fig
