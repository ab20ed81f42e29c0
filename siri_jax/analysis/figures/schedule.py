"""The cap against the step, of schedules or of runs."""

import numpy as np

from siri_jax.algorithm import phases
from siri_jax.analysis import seeds
from siri_jax.analysis.figures import style


def draw(caps):
  """Caps over their steps, compression shaded, as the paper's Figure 3.

  Args:
    caps: dict label -> int [steps], tokens.
  Returns:
    matplotlib Figure, a panel for each cap, all with one scale.
  Raises:
    NothingToDrawError: `caps` is empty.
  """
  style.need(caps, 'no run has a step in its metrics.jsonl yet')
  wide = min(len(caps), 2)
  deep = -(-len(caps) // wide)
  fig, axes = style.sheet(deep, wide, heights=0.95, sharex=True, sharey=True)
  for ax in axes.flat[len(caps) :]:
    ax.set_axis_off()
  for place, (label, values) in enumerate(caps.items()):
    ax = axes.flat[place]
    _panel(ax, np.asarray(values))
    ax.set_title(label, fontsize=style.TEXT)
    if place % wide == 0:
      ax.set_ylabel('cap, tokens')
    if place + wide >= len(caps):
      ax.set_xlabel('step')
      ax.tick_params(labelbottom=True)
  top = max(np.max(values) for values in caps.values())
  last = max(len(values) for values in caps.values())
  axes[0, 0].set_ylim(0, 1.1 * top)
  axes[0, 0].set_xlim(-0.02 * last, 1.02 * last)
  style.legend(fig, axes.flat)
  return fig


def of_runs(runs):
  """The caps of runs so far, by the label of their settings.

  Args:
    runs: list of runs.Run.
  Returns:
    dict label -> int [steps], tokens.
  """
  caps = {g.label: g.longest.column('cap') for g in seeds.of(runs)}
  return {label: values for label, values in caps.items() if len(values)}


def _panel(ax, caps):
  words = phases.phases(caps, phases.cap_extrema(caps))
  style.shade(ax, phases.compressions(caps, words))
  style.cap(ax, np.arange(len(caps)), caps, color=style.BLACK)
