"""Figures against the step, a column of panels for each setting."""

from siri_jax.analysis import seeds
from siri_jax.analysis.figures import panels, style


def training(runs):
  """Cap, length and accuracy against the step, a column for each setting.

  As the paper's Figures 4, 5 and 8. Bands and bars are the range over seeds.
  With one run, bars are one standard error over problems.

  Args:
    runs: list of runs.Run; runs that differ only in seed are one setting.
  Returns:
    matplotlib Figure.
  Raises:
    NothingToDrawError: no run has a step or an evaluation yet.
  """
  rows = panels.lengths, panels.accuracy
  return _grid(runs, rows, bars='bars')


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
  """Mean length of correct and incorrect samples, and the truncated share.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure, a column for each setting; bands as in `entropy`.
  Raises:
    NothingToDrawError: no run has a step yet.
  """
  at_cap = all(run.config['cap_at'] == 'sampler' for run in runs)
  said = 'A truncated sample is as long as the cap.' if at_cap else ''
  return _grid(runs, (panels.outcomes, panels.truncated), said=said)


def updates(runs):
  """Reward, loss and gradient norm against the step; bands as in `entropy`.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure, a column for each setting.
  Raises:
    NothingToDrawError: no run recorded a loss.
  """
  _need(runs, 'loss')
  return _grid(runs, (panels.reward, panels.loss, panels.grad_norm))


def timing(runs):
  """Seconds of a step's parts and tokens a second against the step.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure, a column for each setting.
  Raises:
    NothingToDrawError: no run recorded times.
  """
  _need(runs, 'step_secs')
  said = 'The first step compiles and may be above the axis.'
  return _grid(runs, (panels.times, panels.speed), said=said)


def settings(runs):
  """The groups that have a step, at most NAMED, and a note about the others.

  Args:
    runs: list of runs.Run.
  Returns:
    list of seeds.Group, str.
  Raises:
    NothingToDrawError: no run has a step yet.
  """
  found = [g for g in seeds.of(runs) if len(g.longest.column('step'))]
  style.need(found, 'no run has a step in its metrics.jsonl yet')
  more = len(found) - style.NAMED
  return found[: style.NAMED], f'{more} more settings.' if more > 0 else ''


def _need(runs, column):
  there = any(column in run.metrics for run in runs)
  style.need(there, f'no run has {column} in its metrics.jsonl')


def _grid(runs, rows, bars='', said=''):
  """A column of panels for each group, all with one scale."""
  found, more = settings(runs)
  fig, blocks, keys = style.grid([group.label for group in found], len(rows))
  for group, axes in zip(found, blocks, strict=True):
    for panel, ax in zip(rows, axes, strict=True):
      panel(ax, group)
    style.steps_axis(axes[-1], max(g.longest.last for g in found))
  style.even(blocks)
  style.legends(blocks, keys)
  note = seeds.spread(found, bars)
  style.note(
    fig, said, note, seeds.missing(found), more and f'Not drawn: {more}'
  )
  # Only these have labels; aligning all of them takes seconds.
  fig.align_ylabels(
    [a for a in blocks.flat if a.get_subplotspec().is_first_col()]
  )
  return fig
