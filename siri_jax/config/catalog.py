"""The packaged configs by their short names, and the facts about recipes."""

import ast
import difflib
import pathlib
from typing import NamedTuple

FOLDER = pathlib.Path(__file__).parent
PACKAGED = ('base', 'quickstart', 'longer', 'cosine640')
RECIPES = 'recipes'  # Folder and first part of the short names of recipes.
FACTS = (
  'Paper',
  'Needs',
  'Numbers',
  'Checked',
)  # Lines of a recipe's docstring.


class Recipe(NamedTuple):
  """What a recipe's docstring says.

  Attributes:
    name: its short name, 'recipes/dapo_16k'.
    title: the method, in a line.
    facts: a line for each of FACTS.
  """

  name: str
  title: str
  facts: dict[str, str]


def recipes():
  """Every Recipe of the package, by name.

  Raises:
    ValueError: a recipe's docstring lacks a fact; names both.
  """
  return [_read(path) for path in _files()]


def path_of(name):
  """The file of a config: a path as given, or that of a short name.

  Raises:
    ValueError: there is no recipe of that name; suggests another.
  """
  if not is_short(name):
    return pathlib.Path(name)
  known = [*PACKAGED, *map(_name, _files())]
  if name not in known:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean {near[0]}?' if near else '`siri-jax recipes`'
    raise ValueError(f'there is no recipe of that name; {hint}')
  return FOLDER / f'{name}.py'


def is_short(name):
  """Whether a config's name is a short name and no path of a file."""
  return name in PACKAGED or (
    name.startswith(f'{RECIPES}/') and not name.endswith('.py')
  )


def _files():
  return sorted((FOLDER / RECIPES).glob('[!_]*.py'))


def _name(path):
  return f'{RECIPES}/{path.stem}'


def _read(path):
  """The Recipe of a file, without running it."""
  text = ast.get_docstring(ast.parse(path.read_text()))
  lines = [line.partition(': ') for line in text.splitlines()]
  facts = {key: rest for key, _, rest in lines if key in FACTS}
  if lacking := set(FACTS) - set(facts):
    raise ValueError(f'{path}: no line {", ".join(sorted(lacking))}: ...')
  title = text.partition('\n')[0].rstrip('.')
  return Recipe(_name(path), title, facts)
