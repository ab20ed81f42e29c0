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
  fig, blocks, keys = style.grid(list(courses), 1, height=0.9)
  last = max(len(course.caps) for course in courses.values())
  for (ax,), course in zip(blocks, courses.values(), strict=True):
    _panel(ax, course)
    style.cap_axis(ax, np.concatenate([own.caps for own in courses.values()]))
    style.steps_axis(ax, last)
    ax.set_ylabel('cap, tokens')
  style.even(blocks)
  style.legends(blocks, keys)
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


def _panel(ax, course):
  style.shade(ax, course.compressed)
  steps = np.arange(len(course.caps))
  style.cap(ax, steps, course.caps, color=style.BLACK, label='cap')
