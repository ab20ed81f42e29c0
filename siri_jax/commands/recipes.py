"""Lists the recipes: one config for each published method.

  python -m siri_jax.commands.recipes [PATTERN]

PATTERN is a part of a name or of a description. Run one of them by
`--config=recipes/NAME`, or at the size of a laptop by
`--config=recipes/NAME:laptop`.
"""

import sys

from siri_jax.config import catalog, command_line
from siri_jax.runtime.exit_status import refuse, show


def main(argv):
  """Prints the recipes and returns the exit status."""
  parser = command_line.parser(__doc__)
  parser.add_argument(
    'pattern', nargs='?', default='', help='part of a name or a description'
  )
  asked = parser.parse_args(argv)
  shown = [
    entry(recipe)
    for recipe in catalog.recipes()
    if asked.pattern.lower() in entry(recipe).lower()
  ]
  if not shown:
    return refuse(['no recipe has it; leave it out to list all'], parser.prog)
  return show('\n\n'.join(shown))


def entry(recipe):
  """A recipe as lines: its name and method, then its facts."""
  facts = [f'    {key}: {text}' for key, text in recipe.facts.items()]
  return '\n'.join([f'{recipe.name}  {recipe.title}', *facts])


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
