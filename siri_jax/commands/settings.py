"""Lists every setting with its default, meaning, unit and source.

  python -m siri_jax.commands.settings [PATTERN] [--config=FILE.py]

PATTERN is a part of a name or of a description: `rate`, `tokens`. [open] marks
values that the paper does not state. With --config the values are the config's;
* marks those that differ from the defaults.
"""

import ast
import inspect
import io
import sys
import textwrap
import tokenize

from siri_jax.config import base, command_line
from siri_jax.runtime import run_folder
from siri_jax.runtime.exit_status import DONE, refuse

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
    for name, text in described(values).items()
    if asked.pattern.lower() in f'{name} {text}'.lower()
  ]
  if not shown:
    return refuse(['no setting has it; leave it out to list all'], parser.prog)
  print('\n'.join(shown))
  return DONE


def entry(name, value, text, changed):
  """A setting as lines: name=value, then what it means."""
  lines = textwrap.wrap(text, WIDTH)
  star = ' *' if changed else ''
  return '\n'.join([f'{name}={value!r}{star}', *(f'    {x}' for x in lines)])


def described(names):
  """Dotted name -> description, from the comments of config/base.py.

  A nested setting without a comment has that of its group.
  """
  found, texts = comments(), {}
  for name in names:
    key = name
    while '.' in key and not found.get(key):
      key = key.rpartition('.')[0]
    texts[name] = found.get(key, '')
  return texts


def comments():
  """Dotted name -> the comment of its assignment in config/base.py."""
  source = inspect.getsource(base)
  tokens = tokenize.generate_tokens(io.StringIO(source).readline)
  notes = {
    token.start[0]: token.string.lstrip('# ')
    for token in tokens
    if token.type == tokenize.COMMENT
  }
  lines, found = source.splitlines(), {}
  for name, first, last in places(ast.parse(source)):
    text = [notes.pop(n) for n in range(first, last + 1) if n in notes]
    # A sentence goes on below its setting; a whole one begins above it.
    if text:
      while not text[-1].endswith('.') and last + 1 in notes:
        last += 1
        text.append(notes.pop(last))
    above = []
    while first - 1 in notes and lines[first - 2].lstrip().startswith('#'):
      first -= 1
      above.insert(0, notes.pop(first))
    # Comments after a blank line are a section's title.
    above = above if lines[first - 2].strip() else []
    found[name] = ' '.join([*above, *text])
  return found


def places(tree):
  """(Dotted name, first line, last line) of every setting, inner ones first."""
  for node in ast.walk(tree):
    match node:
      case ast.Assign(targets=[ast.Attribute(attr=name)], value=value):
        inner = getattr(value, 'keywords', [])
        for word in inner if node.end_lineno > node.lineno else []:
          yield f'{name}.{word.arg}', word.lineno, word.end_lineno
        yield name, node.lineno, node.end_lineno


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
