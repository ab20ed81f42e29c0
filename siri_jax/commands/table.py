"""Prints the table of runs, of an ablation, or of evaluations.

  python -m siri_jax.commands.table RUN [RUN ...]
  python -m siri_jax.commands.table ABLATION [--at=STEP] [--set=NAME]
  python -m siri_jax.commands.table EVALUATION [...] [--paper=1.5B]

The folder's files decide: a run has RUN.json, an ablation has ablation.json, an
evaluation has a results.json for each set.
"""

import pathlib
import sys

import tabulate

from siri_jax.analysis import ablation_table, paper_table, run_table
from siri_jax.config import command_line
from siri_jax.runtime.exit_status import refuse, show


def main(argv):
  """Prints the table of the folders and returns the exit status."""
  parser = command_line.parser(__doc__)
  add = parser.add_argument
  add('folders', nargs='+', metavar='FOLDER', help='folders of one kind')
  add(
    '--style',
    default='simple',
    choices=tabulate.tabulate_formats,
    metavar='STYLE',
    help="a format of tabulate's: github, latex, latex_booktabs, html, ...",
  )
  add(
    '--at',
    type=int,
    help='of an ablation, the step compared; by default the end',
  )
  add('--set', help='of an ablation, the held-out set; by default the first')
  add('--paper', choices=paper_table.ROWS, help="also show the paper's rows")
  args = parser.parse_args(argv)
  try:
    table = text(args)
  except (OSError, ValueError) as error:
    return refuse(str(error).splitlines(), ' '.join(args.folders))
  latex = args.style.startswith('latex')
  return show(run_table.latex_comments(table) if latex else table)


def text(args):
  """The table of the folders' kind.

  Raises:
    ValueError, OSError: a folder is of no known kind or cannot be read.
  """
  first = pathlib.Path(args.folders[0])
  if (first / 'ablation.json').exists():
    if len(args.folders) > 1:
      raise ValueError('an ablation has its own table; name only its folder')
    frame = ablation_table.read(first).table(args.at, args.set)
    return f'{ablation_table.text(frame, args.style)}\n\n{ablation_table.NOTES}'
  if (first / 'RUN.json').exists():
    return run_table.text(args.folders, args.style)
  if faults := paper_table.faults(args.folders):
    raise ValueError('\n'.join(faults))
  return paper_table.text(args.folders, args.paper, args.style)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
