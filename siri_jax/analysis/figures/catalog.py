"""Draws every figure of runs, finished or going on, as PNG and PDF.

python -m siri_jax.analysis.figures.catalog RUN [...] --out=DIR
  [--words=wait,so]
"""

import argparse
import functools
import pathlib
import sys

from siri_jax.algorithm import schedule_presets
from siri_jax.analysis import runs
from siri_jax.analysis.figures import (
  accuracy_by_cap,
  curves,
  lag,
  pareto,
  schedule,
  style,
  words,
)

CYCLE = {'low': 8192, 'high': 16384, 'period': 640}  # The paper's, 1.5B.


def shapes(read):
  """Every schedule over one cycle, with the first run's caps and period.

  As the paper's Figure 3, and with its caps where no run has a cycle.

  Args:
    read: list of runs.Run.
  Returns:
    matplotlib Figure.
  Raises:
    ValueError: a schedule has no line in schedule_presets.py.
  """
  own = [run.config['schedule_kw'] for run in read]
  cycle = next((kw for kw in own if CYCLE.keys() <= kw.keys()), CYCLE)
  cycle = {name: cycle[name] for name in CYCLE}
  lines = schedule_presets.lines(**cycle)
  return schedule.draw(schedule.every(lines, cycle['period']))


def own_shapes(read):
  """The caps that the runs had, a panel a setting."""
  return schedule.draw(schedule.of_runs(read))


def every(chosen=None):
  """The figures by name: each a function of a list of runs.Run.

  Args:
    chosen: words to count, or None for the usual ones.
  Returns:
    dict name -> function that returns a matplotlib Figure.
  """
  return {
    'schedules': shapes,
    'schedule': own_shapes,
    'training': curves.training,
    'overlay': curves.overlay,
    'pareto': pareto.draw,
    'words': functools.partial(words.draw, words=chosen),
    'entropy': curves.entropy,
    'lag': lag.draw,
    'outcomes': curves.outcomes,
    'caps': accuracy_by_cap.of_runs,
  }


def drawn(read, chosen=None):
  """Draws one figure after another.

  Args:
    read: list of runs.Run.
    chosen: words to count, or None.
  Yields:
    name, and a matplotlib Figure or the reason why there is none.
  """
  for name, draw in every(chosen).items():
    try:
      yield name, draw(read)
    except ValueError as error:  # Nothing to draw, or damaged samples.
      yield name, str(error)


def main(argv):
  """Draws what the command line asks for, and returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('runs', nargs='+', metavar='RUN')
  parser.add_argument('--out', default='figures', help='where they go')
  parser.add_argument('--words', help='to count, divided by commas')
  args = parser.parse_args(argv)
  try:
    read = runs.read_all(args.runs)
  except ValueError as error:
    print('refused:', *str(error).splitlines(), sep='\n  ', file=sys.stderr)
    return 2
  try:
    _draw(read, pathlib.Path(args.out), args.words)
  except OSError as error:
    print(f'refused: {error}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    return 130
  return 0


def _draw(read, out, asked):
  """Writes what can be drawn into a folder and says what cannot, and why."""
  for run in read:
    for note in run.notes:
      print(note)
  for name, found in drawn(read, asked.split(',') if asked else None):
    if isinstance(found, str):
      print(f'{name}: not drawn: {found}', flush=True)
    else:
      print(*style.save(found, out, name), flush=True)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
