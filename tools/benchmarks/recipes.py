"""Runs every recipe on the built-in task: python -m tools.benchmarks.recipes

Each recipe runs as --config=recipes/NAME:laptop in a process of its own, and
the table of docs/recipes.md is written anew after each. A run that was stopped
is resumed, and one that is complete is not repeated. Accuracy and length are of
the held-out problems, before the run and at the same number of response tokens
for every recipe: that of the run with the fewest, between the evaluations on a
straight line. Offline recipes have a table of their own, after their last step:
they take as many samples before the first one as the others do in all. One
seed, so the intervals are of the problems alone.
"""

import pathlib
import subprocess
import sys

import numpy as np
import tabulate

from siri_jax.analysis import run_table
from siri_jax.config import catalog, command_line, sizes
from siri_jax.runtime import files
from tools.benchmarks import marked

DOCUMENT = pathlib.Path(__file__).parents[2] / 'docs/recipes.md'
HEADERS = (
  'recipe',
  'accuracy, %',
  'length, tokens',
  'steps',
  'checked against',
  'numbers',
)


def main(argv):
  """Runs what is missing, writes the table, returns the exit status."""
  asked = parse(argv)
  recipes, failed = catalog.recipes(), []
  for recipe in recipes:
    if asked.names and recipe.name.partition('/')[2] not in asked.names:
      continue
    if not is_complete(folder(asked.out, recipe)):
      print(f'{recipe.name}: running', flush=True)
      if subprocess.run(command(asked, recipe)).returncode:
        failed.append(recipe.name)
      marked.replace(DOCUMENT, 'table', table(asked.out, recipes))
  marked.replace(DOCUMENT, 'table', table(asked.out, recipes))
  print(f'{DOCUMENT} is written')
  if failed:
    print(f'failed: {", ".join(failed)}', file=sys.stderr)
  return bool(failed)


def parse(argv):
  """The program's flags."""
  add = command_line.parser(__doc__)
  add.add_argument('names', nargs='*', help='recipes to run; by default all')
  add.add_argument('--out', default='runs/recipes', help='folder of the runs')
  add.add_argument(
    '--cache', default='runs/cache', help='cache of SFT policies'
  )
  return add.parse_args(argv)


def command(asked, recipe):
  """The command of a recipe's run."""
  return [
    *(sys.executable, '-m', 'siri_jax.main'),
    f'--config={recipe.name}:laptop',
    f'--workdir={folder(asked.out, recipe)}',
    f'--config.cache_dir={asked.cache}',
    '--config.writers=()',
  ]


def folder(out, recipe):
  """The folder of a recipe's run."""
  return pathlib.Path(out, recipe.name.partition('/')[2])


def evaluations(run):
  """The held-out evaluations of a run, in order."""
  return files.read_records(run / 'eval.jsonl')


def is_complete(run):
  """Whether a run has its last evaluation."""
  found = evaluations(run)
  return bool(found) and found[-1]['step'] == sizes.LAPTOP_STEPS


def is_offline(recipe):
  """Whether a recipe learns from samples that it takes once."""
  return bool(command_line.load(f'{recipe.name}:laptop').training_set)


def table(out, recipes):
  """The tables in Markdown; a recipe without a complete run has no numbers."""
  online = [recipe for recipe in recipes if not is_offline(recipe)]
  found = {r.name: complete(out, r) for r in online}
  tokens = min((own[-1]['tokens'] for own in found.values() if own), default=0)
  rows = [row(recipe, found[recipe.name], tokens) for recipe in online]
  offline = [
    row(recipe, own, own[-1]['tokens'] if own else 0)
    for recipe in recipes
    if is_offline(recipe)
    for own in [complete(out, recipe)]
  ]
  first, second = (
    tabulate.tabulate(own, HEADERS, 'github', disable_numparse=True)
    for own in (rows, offline)
  )
  return (
    f'At {tokens:,} response tokens:\n\n{first}\n\n'
    f'Offline, after the last step:\n\n{second}'
  )


def complete(out, recipe):
  """The evaluations of a recipe's run; None if it is not complete."""
  run = folder(out, recipe)
  return evaluations(run) if is_complete(run) else None


def row(recipe, found, tokens):
  """A recipe's line of its table."""
  name, facts = recipe.name.partition('/')[2], recipe.facts
  ends = facts['Checked'], facts['Numbers']
  if found is None:
    return f'`{name}`', 'not run', '', '', *ends
  accuracy = cell(found, 'accuracy', tokens, scale=100)
  at = [record['tokens'] for record in found]
  steps = np.interp(tokens, at, [record['step'] for record in found])
  length = cell(found, 'length', tokens, scale=1)
  return f'`{name}`', accuracy, length, f'{steps:.0f}', *ends


def cell(found, key, tokens, scale):
  """A measurement before the run and at a number of tokens."""
  at = [record['tokens'] for record in found]
  ends = [
    run_table.with_error(
      *(
        scale * np.interp(where, at, [record[name] for record in found])
        for name in (key, f'{key}_se')
      )
    )
    for where in (0, tokens)
  ]
  return ' → '.join(ends)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
