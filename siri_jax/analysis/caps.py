"""Accuracy as a function of the cap, drawn from evaluations.

python -m siri_jax.analysis.caps FOLDER [FOLDER ...] --out=FOLDER
"""

import argparse
import io
import itertools
import pathlib

import numpy as np
from matplotlib import figure
from matplotlib.backends import backend_agg

from siri_jax import run_folder
from siri_jax.analysis import paper
from siri_jax.analysis.picture import BLACK, BLUE, SET_COLOURS

COLOURS = (BLACK, BLUE, *SET_COLOURS)


def draw(folders):
  """One panel a set, one curve a policy; a mark at 95 % of its accuracy.

  Args:
    folders: of evaluated policies.
  Returns:
    matplotlib Figure, bound to no window and no global state.
  """
  own = dict(zip(paper.labels(folders), map(paper.read, folders), strict=True))
  names = list(dict.fromkeys(n for found in own.values() for n in found))
  fig = figure.Figure(
    figsize=(7.2, 2.6 * len(names) + 0.6), layout='constrained'
  )
  backend_agg.FigureCanvasAgg(fig)
  axes = fig.subplots(len(names), squeeze=False)[:, 0]
  for ax, name in zip(axes, names, strict=True):
    curves = zip(itertools.cycle(COLOURS), own.items())
    for colour, (label, found) in curves:
      if name in found:
        _curve(ax, found[name], colour, label)
    ax.set_ylabel(f'{paper.SETS.get(name, name)}\naccuracy, %')
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.grid(axis='y', color='0.85', linewidth=0.6)
    ax.spines[['top', 'right']].set_visible(False)
  where = {'loc': 'lower left', 'bbox_to_anchor': (0, 1), 'ncols': 4}
  axes[0].legend(**where, frameon=False, fontsize=9, columnspacing=1.4)
  axes[-1].set_xlabel('cap, tokens')
  return fig


def save(out, folders):
  """Draws evaluations into a folder, and returns the path of its caps.png."""
  data = io.BytesIO()
  draw(folders).savefig(data, format='png', dpi=150)
  path = pathlib.Path(out) / 'caps.png'
  run_folder.write_atomically(path, data.getvalue())
  return path


def _curve(ax, record, colour, label):
  """Accuracy from a cap of nothing on, with its standard error."""
  caps = np.array([0, *record['caps']])
  accuracy = 100 * np.array([0.0, *record['accuracy_at']])
  errors = [100 * (error or 0) for error in (0, *record['accuracy_at_se'])]
  ax.plot(caps, accuracy, color=colour, linewidth=1.5, label=label)
  band = {'color': colour, 'alpha': 0.15, 'linewidth': 0}
  ax.fill_between(caps, accuracy - errors, accuracy + errors, **band)
  if record['cap_for_95'] is not None:
    at = record['cap_for_95']
    ax.plot(at, np.interp(at, caps, accuracy), 'o', color=colour, markersize=5)


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('folders', nargs='+', metavar='FOLDER')
  parser.add_argument('--out', default='.', help='where caps.png goes')
  args = parser.parse_args()
  print(save(args.out, args.folders))


if __name__ == '__main__':
  main()
