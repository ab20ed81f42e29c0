"""Parsing of command lines with ml_collections; collects every fault."""

import dataclasses
import pathlib
import sys
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags


@dataclasses.dataclass(frozen=True)
class Command:
  """A parsed command line.

  Attributes:
    config: ConfigDict with the overrides that could be read; None without a
      readable config.
    source: the config's file as given, 'file.py:argument'.
    overrides: dict of the settings changed on the command line.
    workdir: path of the run's folder.
    flags: absl's FlagValues, including the program's own flags.
    faults: messages, one for each part that could not be read.
  """

  config: Any
  source: str
  overrides: dict
  workdir: str
  flags: Any
  faults: list[str]


def parse(argv, define, about):
  """Parses a command line without stopping at its first fault.

  Args:
    argv: the program's name and its arguments.
    define: called with absl's FlagValues, defines the program's own flags.
    about: the program's description, printed by --help above the flags.
  Returns:
    Command.
  Raises:
    SystemExit: --help was given and printed.
  """
  if {'-h', '--help'} & {*argv}:
    print(about)
    print(_flags(argv[0], [], define).get_help(include_special_flags=False))
    sys.exit(0)
  parts = _joined(_parts(argv[1:]), _lists(argv[0], define))
  named = [p for p in parts if p[0].split('=')[0].lstrip('-') == 'config']
  if not named:
    return _nothing(
      ['--config is missing; for example --config=configs/quickstart.py']
    )
  values, faults = _read(argv[0], named[-1], define)
  if values is None:
    return _nothing(faults)
  good = list(named[-1])
  for part in parts:
    if part not in named:
      _, wrong = _read(argv[0], [*named[-1], *part], define)
      faults += wrong
      good += [] if wrong else part
  values, wrong = _read(argv[0], good, define)
  if values is None:
    return _nothing(faults + wrong)
  source = config_flags.get_config_filename(values['config'])
  return Command(
    config=values.config,
    source=source,
    overrides=_overrides(values['config']),
    workdir=values.workdir or _workdir(source),
    flags=values,
    faults=faults,
  )


def define_run(values):
  """Defines the flags of a training run, on absl's FlagValues."""
  flags.DEFINE_bool(
    'dry_run',
    False,
    'Print the settings, the plan, memory and cost, and exit.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'natural_lengths',
    '',
    'A run whose samples give --dry_run the lengths without a cap.',
    flag_values=values,
  )
  flags.DEFINE_list(
    'allow_change',
    [],
    'Settings that may differ from those of the folder.',
    flag_values=values,
  )


def _flags(program, arguments, define):
  """A program's flags, not parsed."""
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    'config',
    None,
    'The config file, configs/NAME.py or configs/NAME.py:ARGUMENT.',
    lock_config=False,
    accept_new_attributes=True,  # schema.py reports unknown ones.
    flag_values=values,
    sys_argv=[program, *arguments],
  )
  flags.DEFINE_string(
    'workdir',
    '',
    "The run's folder; by default runs/ and the config's name.",
    flag_values=values,
  )
  define(values)
  return values


def _read(program, arguments, define):
  """(FlagValues, []), or (None, messages) if they cannot be parsed."""
  values = _flags(program, arguments, define)
  try:
    rest = values([program, *arguments])[1:]
    if not isinstance(values.config, ConfigDict):
      return None, [f'{" ".join(arguments)}: the file cannot be read']
  except flags.Error as error:
    return None, [' '.join(str(error).split())]
  except Exception as error:  # A config file may raise anything.
    why = ' '.join(f'{type(error).__name__}: {error}'.split())
    return None, [f'{" ".join(arguments)}: {why}']
  if rest:
    return None, [
      f'{word} is not a flag; write settings as --config.KEY=VALUE'
      for word in rest
    ]
  return values, []


def _overrides(flag):
  """The settings changed on the command line, by dotted name."""
  changed = config_flags.get_override_values(flag)
  return {
    name: value.to_dict() if isinstance(value, ConfigDict) else value
    for name, value in changed.items()
  }


def _parts(arguments):
  """Arguments as lists: each flag with the value that follows it."""
  parts = []
  for argument in arguments:
    follows = parts and len(parts[-1]) == 1 and '=' not in parts[-1][0]
    if follows and not argument.startswith('--') and parts[-1][0][0] == '-':
      parts[-1].append(argument)
    else:
      parts.append([argument])
  return parts


def _lists(program, define):
  """Names of a program's flags that are lists."""
  values = _flags(program, [], define)
  return {
    name for name in values if isinstance(values[name].parser, flags.ListParser)
  }


def _joined(parts, lists):
  """Parts in which a list that is given twice has the items of both."""
  others, items = [], {}
  for part in parts:
    name, sign, value = part[0].partition('=')
    if name.lstrip('-') in lists and (sign or len(part) == 2):
      items.setdefault(name.lstrip('-'), []).append(value or part[-1])
    else:
      others.append(part)
  return others + [[f'--{n}={",".join(v)}'] for n, v in items.items()]


def _nothing(faults):
  """A Command without a config."""
  return Command(None, '', {}, '', None, faults)


def _workdir(source):
  """configs/quickstart.py:short to runs/quickstart-short."""
  file, _, argument = source.partition(':')
  return str(
    pathlib.Path(
      'runs', '-'.join(filter(None, [pathlib.Path(file).stem, argument]))
    )
  )
