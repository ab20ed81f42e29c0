"""The figure of one run: cap, length, accuracy and entropy."""

import pathlib

from siri_jax.analysis import runs, seeds
from siri_jax.analysis.figures import panels, style
from siri_jax.runtime import files


def draw(run):
  """Draws a finished or unfinished run against the step.

  Args:
    run: Run.
  Returns:
    matplotlib Figure without window or global state.
  """
  fig, axes = style.sheet(3, heights=(1.5, 1.5, 1.0), sharex=True)
  axes, (group,) = axes[:, 0], seeds.of([run])
  style.title(fig, f'{run.name}: {run.config["schedule"]} cap')
  panels.lengths(axes[0], group)
  panels.accuracy(axes[1], group)
  panels.entropy(axes[2], group)
  style.legends([axes], None)
  style.steps_axis(axes[-1], run.last)
  note = seeds.spread([group], 'bars' if group.sets else '')
  style.note(fig, note, seeds.missing([group]))
  fig.align_ylabels()
  return fig


def save(folder):
  """Draws the run of a folder; returns the path of its picture.png."""
  path = pathlib.Path(folder) / 'picture.png'
  files.write_atomically(path, style.png(draw(runs.read(folder))))
  return path
