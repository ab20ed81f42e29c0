"""Lists every setting with its default, meaning, unit and source.

  python -m siri_jax.commands.settings [PATTERN] [--config=FILE.py]

PATTERN is a part of a name or of a description: `rate`, `tokens`. [open] marks
values that the paper does not state. With --config the values are the config's;
* marks those that differ from the defaults.
"""

import sys
import textwrap

from siri_jax.config import base, command_line, descriptions, schema
from siri_jax.runtime import run_folder
from siri_jax.runtime.exit_status import refuse, show

WIDTH = 76  # Columns of a description.


def main(argv):
  """Prints the settings and returns the exit status."""
  parser = command_line.parser(__doc__)
  parser.add_argument(
    'pattern', nargs='?', default='', help='part of a name or a description'
  )
  parser.add_argument(
    '--config', metavar='FILE.py[:ARGUMENT]', help='shows the values of this'
  )
  asked = parser.parse_args(argv)
  default = run_folder.flatten(base.get_config().to_dict())
  try:
    config = command_line.load(asked.config) if asked.config else None
  except ValueError as error:
    return refuse([str(error)], asked.config)
  values = run_folder.flatten(config.to_dict()) if config else default
  shown = [
    entry(name, values[name], text, changed=values[name] != default.get(name))
    for name, text in descriptions.described(values).items()
    if asked.pattern.lower() in f'{name} {text}'.lower()
  ]
  if not shown:
    known = schema.OTHER_NAMES.get(asked.pattern)
    hint = f'did you mean {known}?' if known else 'leave it out to list all'
    return refuse([f'no setting has {asked.pattern!r}; {hint}'], parser.prog)
  return show('\n'.join(shown))


def entry(name, value, text, changed):
  """A setting as lines: name=value, then what it means."""
  lines = textwrap.wrap(text, WIDTH)
  star = ' *' if changed else ''
  return '\n'.join([f'{name}={value!r}{star}', *(f'    {x}' for x in lines)])


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
