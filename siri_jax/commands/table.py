"""Prints the table of runs, of an ablation, or of evaluations.

  python -m siri_jax.commands.table RUN [RUN ...]
  python -m siri_jax.commands.table ABLATION [--at=STEP] [--set=NAME]
  python -m siri_jax.commands.table ABLATION|RUN [RUN ...] --cost=tokens
    [--budgets=700000,1300000] [--set=NAME]
  python -m siri_jax.commands.table EVALUATION [...] [--paper=1.5B]

The folder's files decide: a run has RUN.json, an ablation has ablation.json, an
evaluation has a results.json for each set. With --cost, runs that differ only
in their seed are an arm, and arms are compared where they have spent as much.
"""

import pathlib
import sys

import tabulate

from siri_jax.analysis import (
  ablation_table,
  equal_cost,
  paper_table,
  run_table,
  runs,
  seeds,
)
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
  add('--set', help='the held-out set of arms; by default the first')
  add(
    '--cost',
    choices=equal_cost.COSTS,
    help='compare arms at equal cost: tokens trained on, tokens sampled, or '
    'seconds of training',
  )
  add(
    '--budgets',
    type=_numbers,
    metavar='N,N',
    help='the costs compared; by default quarters of what all runs have spent',
  )
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
  if args.budgets and not args.cost:
    raise ValueError('--budgets needs --cost; add --cost=tokens')
  if args.cost:
    return _at_cost(args, first)
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


def _at_cost(args, first):
  """The table of arms at equal cost, of an ablation or of runs."""
  if (first / 'ablation.json').exists() and not args.folders[1:]:
    arms = ablation_table.read(first).by_seed
  else:
    arms = equal_cost.of_groups(seeds.of(runs.read_all(args.folders)))
  frame = equal_cost.table(arms, args.budgets, args.cost, args.set)
  grid = equal_cost.text(frame, args.cost, args.style)
  return f'{grid}\n\n{equal_cost.NOTES}'


def _numbers(text):
  """Parses '7e5,1300000' to positive numbers."""
  found = [float(word) for word in text.split(',')]
  if min(found) <= 0:
    raise ValueError(f'{text} has a number that is not above 0')
  return found


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
