"""Draws every figure of finished or unfinished runs as PNG and PDF.

python -m siri_jax.commands.figures RUN [RUN ...] [--out=DIR]
  [--words=wait,so]
"""

import pathlib
import sys

from siri_jax.analysis import runs
from siri_jax.analysis.figures import catalog, style
from siri_jax.config import command_line
from siri_jax.runtime.exit_status import DONE, refuse


def main(argv):
  """Draws the runs of the command line and returns the exit status."""
  parser = command_line.parser(__doc__)
  parser.add_argument('runs', nargs='+', metavar='RUN', help="a run's folder")
  parser.add_argument(
    '--out', default='figures', help='folder of the figures; figures'
  )
  parser.add_argument('--words', help='words to count, separated by commas')
  args = parser.parse_args(argv)
  try:
    read = runs.read_all(args.runs)
    draw(read, pathlib.Path(args.out), args.words)
  except (OSError, ValueError) as error:
    return refuse(str(error).splitlines(), ' '.join(args.runs))
  except KeyboardInterrupt:
    return 130
  return DONE


def draw(read, out, words):
  """Writes every figure that can be drawn; prints why others cannot."""
  for run in read:
    for note in run.notes:
      print(note)
  for name, found in catalog.drawn(read, words.split(',') if words else None):
    if isinstance(found, str):
      print(f'{name}: not drawn: {found}', flush=True)
    else:
      print(*style.save(found, out, name), flush=True)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
