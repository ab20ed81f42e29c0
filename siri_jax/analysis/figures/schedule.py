"""The cap against the step, of schedules or of runs."""

from typing import NamedTuple

import numpy as np

from siri_jax.algorithm import phases
from siri_jax.analysis import seeds
from siri_jax.analysis.figures import style


class Course(NamedTuple):
  """Caps and their phases.

  Attributes:
    caps: int [steps], tokens.
    compressed: list of (first step, one past the last) of compression.
  """

  caps: np.ndarray
  compressed: list


def draw(courses):
  """Caps over their steps, compression shaded, as the paper's Figure 3.

  Args:
    courses: dict label -> Course.
  Returns:
    matplotlib Figure, a panel for each cap, all with one scale.
  Raises:
    NothingToDrawError: `courses` is empty.
  """
  style.need(courses, 'no run has a step in its metrics.jsonl yet')
  wide = min(len(courses), 2)
  deep = -(-len(courses) // wide)
  fig, axes = style.sheet(deep, wide, heights=0.95, sharex=True, sharey=True)
  for ax in axes.flat[len(courses) :]:
    ax.set_axis_off()
  for place, (label, course) in enumerate(courses.items()):
    ax = axes.flat[place]
    style.shade(ax, course.compressed)
    style.cap(ax, np.arange(len(course.caps)), course.caps, color=style.BLACK)
    ax.set_title(label, fontsize=style.TEXT)
    if place % wide == 0:
      ax.set_ylabel('cap, tokens')
    if place + wide >= len(courses):
      ax.set_xlabel('step')
      ax.tick_params(labelbottom=True)
  top = max(np.max(course.caps) for course in courses.values())
  last = max(len(course.caps) for course in courses.values())
  axes[0, 0].set_ylim(0, 1.1 * top)
  axes[0, 0].set_xlim(-0.02 * last, 1.02 * last)
  style.legend(fig, axes.flat)
  return fig


def of_caps(caps):
  """The Course of a schedule's caps, compressed where they lead down.

  Args:
    caps: int [steps], tokens.
  """
  words = phases.phases(caps, phases.cap_extrema(caps))
  return Course(caps, phases.compressions(caps, words))


def of_runs(runs):
  """The caps of runs so far, by the label of their settings.

  Args:
    runs: list of runs.Run.
  Returns:
    dict label -> Course, with the phases that the run had.
  """
  longest = {group.label: group.longest for group in seeds.of(runs)}
  courses = {
    label: Course(
      run.column('cap'),
      phases.compressions(run.column('cap'), run.column('phase')),
    )
    for label, run in longest.items()
  }
  return {label: own for label, own in courses.items() if len(own.caps)}
