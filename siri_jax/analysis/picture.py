"""A run's picture: cap, length, accuracy and entropy against the step.

python -m siri_jax.analysis.picture runs/quickstart [...]
"""

import io
import itertools
import pathlib
import sys

import numpy as np
from matplotlib import figure, ticker
from matplotlib.backends import backend_agg

from siri_jax import run_folder
from siri_jax.analysis import runs

# Okabe and Ito's colours, which colour-blind people tell apart.
BLACK, BLUE, SKY = '#000000', '#0072B2', '#56B4E9'
SET_COLOURS = ('#D55E00', '#009E73', '#CC79A7', '#E69F00')
MARKERS = {'compressed': 'v', 'expanded': '^'}  # Others are dots.
SHADE = '0.9'


def draw(run):
  """Draws a run, finished or going on.

  Args:
    run: Run.
  Returns:
    matplotlib Figure, bound to no window and no global state.
  """
  fig = figure.Figure(figsize=(7.2, 7.0), layout='constrained')
  backend_agg.FigureCanvasAgg(fig)
  axes = fig.subplots(3, sharex=True, height_ratios=(3, 3, 2))
  fig.suptitle(f'{run.name}: {run.config["schedule"]} cap', fontsize=12)
  for ax in axes:
    for begin, end in compressed_spans(run):
      ax.axvspan(begin, end, color=SHADE, linewidth=0, zorder=0)
    ax.grid(axis='y', color='0.85', linewidth=0.6)
    ax.spines[['top', 'right']].set_visible(False)
  _draw_lengths(axes[0], run)
  _draw_accuracy(axes[1], run)
  _draw_entropy(axes[2], run)
  for ax in axes[:2]:  # Above the axes, where it hides no data.
    where = {'loc': 'lower left', 'bbox_to_anchor': (0, 1), 'ncols': 4}
    ax.legend(**where, frameon=False, fontsize=9, columnspacing=1.4)
  last = _last_step(run)
  axes[-1].set_xlim(-0.01 * last, 1.01 * last)
  axes[-1].set_xlabel('step')
  axes[-1].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  fig.align_ylabels()
  return fig


def save(folder):
  """Draws the run in a folder, and returns the path of its picture.png."""
  data = io.BytesIO()
  draw(runs.read(folder)).savefig(data, format='png', dpi=150)
  path = pathlib.Path(folder) / 'picture.png'
  run_folder.write_atomically(path, data.getvalue())
  return path


def compressed_spans(run):
  """(first step, one past the last) of every stretch of compression.

  There is none where the cap never moved: a constant cap has no phases.
  """
  if len(np.unique(run.column('cap'))) < 2:
    return []
  compress = run.column('phase') == 'compress'
  edges = np.flatnonzero(np.diff(compress, prepend=False, append=False))
  steps = np.append(run.column('step'), _last_step(run))
  return [(steps[a], steps[b]) for a, b in edges.reshape(-1, 2)]


def _draw_lengths(ax, run):
  steps, cap = run.column('step'), run.column('cap')
  mean, p90 = run.column('length_mean'), run.column('length_p90')
  if compressed_spans(run):
    ax.fill_between([], [], color=SHADE, label='compression')
  _line(ax, steps, cap, color=BLACK, label='cap')
  _line(ax, steps, mean, color=BLUE, label='mean length')
  band = {'color': SKY, 'alpha': 0.4, 'linewidth': 0}
  ax.fill_between(steps, mean, p90, label='to 90th percentile', **band)
  ax.set_ylabel('response, tokens')
  _from_zero(ax)


def _draw_accuracy(ax, run):
  accuracy = 100 * run.column('accuracy')
  label = 'training, under the cap'
  _line(ax, run.column('step'), accuracy, color=BLUE, label=label)
  for colour, name in zip(itertools.cycle(SET_COLOURS), run.sets):
    _draw_evaluations(ax, [r for r in run.evals if r['set'] == name], colour)
  for kind in sorted({r['kind'] for r in run.evals} & set(MARKERS)):
    ax.plot([], [], MARKERS[kind], color='0.4', markersize=6, label=kind)
  ax.set_ylabel('accuracy, %')


def _draw_evaluations(ax, records, colour):
  """One set's points, each with its kind's marker and its standard error."""
  steps = [r['step'] for r in records]
  accuracy = [100 * r['accuracy'] for r in records]
  name = records[0]['set']
  ax.plot(steps, accuracy, color=colour, linewidth=0.8, label=name)
  for step, percent, record in zip(steps, accuracy, records, strict=True):
    ax.errorbar(
      step,
      percent,
      yerr=100 * (record['accuracy_se'] or 0),
      color=colour,
      marker=MARKERS.get(record['kind'], 'o'),
      markersize=6 if record['kind'] in MARKERS else 4,
      capsize=2,
    )


def _draw_entropy(ax, run):
  _line(ax, run.column('step'), run.column('entropy'), color=BLUE)
  ax.set_ylabel('entropy,\nnats a token')
  _from_zero(ax)


def _line(ax, steps, values, **style):
  """A curve: dotted while it is too short to be seen, thin when it is long."""
  marker = 'o' if len(steps) < 3 else ''
  width = 1.5 if len(steps) < 400 else 0.8
  ax.plot(steps, values, linewidth=width, marker=marker, **style)


def _from_zero(ax):
  """Has the vertical axis begin at 0, with room above the highest point."""
  ax.margins(y=0.08)
  ax.set_ylim(0, 1.08 * ax.dataLim.y1 if np.isfinite(ax.dataLim.y1) else 1)


def _last_step(run):
  """Right edge of the picture: the updates done so far, at least 1."""
  done = run.column('step') + 1
  evaluated = [r['step'] for r in run.evals]
  return max([1, *done, *evaluated])


if __name__ == '__main__':
  for argument in sys.argv[1:]:
    print(save(argument))
