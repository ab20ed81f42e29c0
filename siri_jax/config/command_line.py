"""Parsing of command lines; collects every fault."""

import argparse
import ast
import dataclasses
import difflib
import pathlib
import re
import runpy
import shlex
import sys
from typing import Any

from ml_collections import ConfigDict

from siri_jax.config import catalog, plugin_defaults

MISSING = (
  '--config is missing; for example --config=configs/quickstart.py in a '
  'checkout, --config=quickstart anywhere'
)
KINDS = {int: 'a whole number', float: 'a number'}  # The type of a setting.
FLAGS = {'true': True, '1': True, 'false': False, '0': False}


@dataclasses.dataclass(frozen=True)
class Command:
  """A parsed command line.

  Attributes:
    config: ConfigDict with the overrides that could be read; None without a
      readable config.
    source: the config's file as given, 'file.py:argument'.
    overrides: dict of the settings changed on the command line.
    workdir: path of the run's folder.
    flags: argparse.Namespace with the program's own flags.
    faults: messages, one for each part that could not be read.
    arguments: the program's arguments, as given.
  """

  config: Any
  source: str
  overrides: dict
  workdir: str
  flags: Any
  faults: list[str]
  arguments: list[str] = ()


class Items(argparse.Action):
  """Words separated by commas; a flag that is given twice has both's."""

  def __call__(self, parser, values, text, option_string=None):
    given = getattr(values, self.dest)
    given = [] if given is self.default else given
    setattr(values, self.dest, [*given, *text.split(',')])


def parser(about, **options):
  """An argparse parser with a program's docstring as its description."""
  return argparse.ArgumentParser(
    prog=_program(sys.argv),
    description=about,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
    **options,
  )


def _program(argv):
  """The program's name as it is typed; None: argparse's choice."""
  path = pathlib.Path(argv[0]).with_suffix('')
  if path.name == 'siri-jax':
    return ' '.join(['siri-jax', *argv[1:2]])
  # The last of these folders: a checkout may have the same name.
  found = re.match(r'.*\b((siri_jax|tools)\..+)', '.'.join(path.parts))
  return found and f'python -m {found[1].removesuffix(".__main__")}'


def typed(module, arguments):
  """A command of this Python's, in full, to be copied to a shell."""
  python = pathlib.Path(sys.executable)
  if python.is_relative_to(pathlib.Path.cwd()):
    python = python.relative_to(pathlib.Path.cwd())
  return shlex.join([str(python), '-m', module, *arguments])


def parse(arguments, define, about):
  """Parses a command line without stopping at its first fault.

  Args:
    arguments: the program's arguments.
    define: called with the argparse parser, adds the program's own flags.
    about: the program's description, printed by --help above the flags.
  Returns:
    Command.
  Raises:
    SystemExit: --help was given and printed.
  """
  own, texts, faults = _parts_read(_parser(define, about), arguments)
  if not own.config:
    return Command(None, '', {}, '', own, [*faults, MISSING])
  try:
    config = load(own.config)
  except ValueError as error:
    return Command(None, own.config, {}, '', own, [*faults, str(error)])
  overrides, wrong = _overrides(config, texts)
  return Command(
    config=config,
    source=own.config,
    overrides=overrides,
    workdir=own.workdir or _workdir(own.config),
    flags=own,
    faults=faults + wrong,
    arguments=list(arguments),
  )


def define_run(add):
  """Adds the flags of a training run to a parser."""
  add.add_argument(
    '--dry_run',
    action='store_true',
    help='print what differs from the defaults, the schedule and the cost, '
    'and exit; with status 2 if a run would be refused',
  )
  add.add_argument(
    '--verbose',
    action='store_true',
    help='with --dry_run: also every setting, and the cost of other schedules',
  )
  add.add_argument(
    '--natural_lengths',
    metavar='RUN',
    default='',
    help='a run whose samples give --dry_run the lengths without a cap',
  )
  add.add_argument(
    '--allow_change',
    metavar='KEY,KEY',
    action=Items,
    default=[],
    help='settings that may differ from those of the folder',
  )


def load(source):
  """The ConfigDict of 'file.py', 'file.py:argument' or a short name.

  Raises:
    ValueError: the file cannot be read, or fails; names it.
  """
  name, *argument = source.split(':', 1)
  try:
    path = catalog.path_of(name)
    if not path.is_file():
      raise ValueError(f'the file cannot be read: {path}')
    config = runpy.run_path(str(path))['get_config'](*argument)
  except Exception as error:  # A config file may raise anything.
    kind = '' if type(error) is ValueError else f'{type(error).__name__}: '
    why = ' '.join(f'{kind}{error}'.split())
    raise ValueError(f'--config={source}: {why}') from error
  if not isinstance(config, ConfigDict):
    raise ValueError(f'--config={source}: get_config() returns no ConfigDict')
  return config


def _parser(define, about):
  """The parser of a program that takes a config."""
  made = parser(about, exit_on_error=False)
  made.add_argument(
    '--config',
    metavar='FILE.py[:ARGUMENT]',
    help=f'the config file, or {", ".join(catalog.PACKAGED)}, recipes/NAME',
  )
  made.add_argument(
    '--config.KEY',
    metavar='VALUE',
    dest='_',
    help='changes a setting; `siri-jax settings` lists them',
  )
  made.add_argument(
    '--workdir',
    metavar='FOLDER',
    default='',
    help="the run's folder; by default runs/ and the config's name",
  )
  define(made)
  return made


def _parts_read(made, words):
  """(Namespace, {setting: its text}, faults) of a program's arguments."""
  own, texts, faults = made.parse_args([]), {}, []
  for part in _parts(words):
    name, sign, text = part[0].partition('=')
    if name.startswith('--config.'):
      key = name.removeprefix('--config.')
      if sign or len(part) == 2:
        texts.pop(key, '')  # The last one counts, in its place.
        texts[key] = text if sign else part[1]
      else:
        faults.append(f'{name} has no value; write {name}=VALUE')
      continue
    try:
      _, rest = made.parse_known_args(part, own)
      faults += [_stray(made, word) for word in rest]
    except argparse.ArgumentError as error:
      faults.append(' '.join(str(error).removeprefix('argument ').split()))
  return own, texts, faults


def _stray(made, word):
  """The message about a word that is not a flag."""
  name = word.partition('=')[0]
  if word.startswith('-'):
    known = re.findall(r'--\w+', made.format_usage())
    near = difflib.get_close_matches(name, known, n=1)
    hint = f'; did you mean {near[0]}?' if near else ''
    return f'{name} is not a flag{hint or "; --help lists them"}'
  file = name.partition(':')[0]
  if file.endswith('.py') or catalog.is_short(file):
    return f'{word} is not a flag; write --config={word}'
  return f'{word} is not a flag; write settings as --config.KEY=VALUE'


def _overrides(config, texts):
  """Changes a config; returns (the changes by dotted name, faults)."""
  values, faults = {}, []
  for name, text in texts.items():
    try:
      values[name] = _value(config, name, text)
    except ValueError as error:
      faults.append(f'{name}={text} {error}')
  values = plugin_defaults.settled(config, values)
  for name, value in values.items():
    *groups, last = name.split('.')
    inner = config
    for group in groups:
      inner = inner[group]
    with inner.ignore_type(), inner.unlocked():
      inner[last] = ConfigDict(value) if isinstance(value, dict) else value
  return values, faults


def _value(config, name, text):
  """A setting's value from its text, of the type that the config has.

  Raises:
    ValueError: the text is of another type; says which is wanted.
  """
  *groups, last = name.split('.')
  inner = config
  for group in groups:
    inner = inner.get(group) if isinstance(inner, ConfigDict) else None
  if inner is None and groups[0] == 'text_rewards_kw':
    return literal(text)  # Of a text reward that the command line names.
  if not isinstance(inner, ConfigDict):
    group = '.'.join(groups)
    raise ValueError(f'is not a setting: there is no group {group}')
  old = inner.get(last)
  if isinstance(old, str):
    return text
  if isinstance(old, bool):
    if text.lower() not in FLAGS:
      raise ValueError('is not True or False')
    return FLAGS[text.lower()]
  if type(old) in KINDS:
    try:
      return type(old)(text)
    except ValueError as error:
      raise ValueError(f'is not {KINDS[type(old)]}') from error
  value = literal(text)
  if isinstance(old, ConfigDict) and not isinstance(value, dict):
    raise ValueError("is not a dict of settings such as {'low': 46}")
  if isinstance(old, (tuple, list)) and not isinstance(value, (tuple, list)):
    value = text.split(',') if isinstance(value, str) else [value]
  return type(old)(value) if isinstance(old, (tuple, list)) else value


def literal(word):
  """A word as a Python literal, or as text."""
  try:
    return ast.literal_eval(word)
  except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
    return word


def _parts(arguments):
  """Arguments as lists: each flag with the value that follows it."""
  parts = []
  for argument in arguments:
    follows = parts and len(parts[-1]) == 1 and '=' not in parts[-1][0]
    if follows and not argument.startswith('--') and parts[-1][0][:1] == '-':
      parts[-1].append(argument)
    else:
      parts.append([argument])
  return parts


def _workdir(source):
  """configs/quickstart.py:short to runs/quickstart-short."""
  file, _, argument = source.partition(':')
  return str(
    pathlib.Path(
      'runs', '-'.join(filter(None, [pathlib.Path(file).stem, argument]))
    )
  )
