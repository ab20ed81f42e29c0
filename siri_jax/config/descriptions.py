"""The meaning of each setting, from the comments beside its value."""

import ast
import inspect
import io
import re
import tokenize

from siri_jax import plugins
from siri_jax.config import base, quickstart

# The source of a value follows its meaning.
SOURCE = re.compile(r':? \[open\]| \(paper|[;,] paper| Paper,|; our choice')


def described(names):
  """Dotted name -> description; '' of a setting that has none.

  It is the comment in config/base.py or config/quickstart.py. A setting of a
  plug-in without one has that of the argument in the plug-in's docstring, and
  another nested setting that of its group.

  Args:
    names: dotted name -> value of every setting.
  """
  found, texts = comments(quickstart) | comments(base), {}
  for name in names:
    text = found.get(name) or _argument(names, name)
    key = name
    while '.' in key and not text:
      key = key.rpartition('.')[0]
      text = found.get(key, '')
    texts[name] = text
  return texts


def meaning(text):
  """A description's first sentence, without the source of base's value."""
  return SOURCE.split(text)[0].partition('. ')[0].rstrip('.: ')


def _argument(names, name):
  """The first sentence about a plug-in's setting in the plug-in's docstring."""
  group, _, key = name.partition('.')
  family = group.removesuffix('_kw')
  if family == group or not isinstance(names.get(family), str):
    return ''
  try:
    doc = inspect.getdoc(plugins.function(family, names[family])) or ''
  except ValueError:
    return ''
  found = re.search(rf'^  {re.escape(key)}: (.*(?:\n    .*)*)', doc, re.M)
  return ' '.join(found[1].split()) if found else ''


def comments(module):
  """Dotted name -> the comment of its assignment in a config's module."""
  source = inspect.getsource(module)
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
