"""The command line: ml_collections reads it, and every fault is collected."""

import dataclasses
import pathlib
import sys
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags


@dataclasses.dataclass(frozen=True)
class Command:
  """What the command line asks for.

  Attributes:
    config: ConfigDict with the overrides that could be read; None where
      there is no config to speak of.
    source: the config's file as given, 'file.py:argument'.
    overrides: dict of what the command line changed.
    workdir: path of the run's folder.
    flags: absl's FlagValues, which has the program's own flags too.
    faults: messages, one for each part that could not be read.
  """

  config: Any
  source: str
  overrides: dict
  workdir: str
  flags: Any
  faults: list[str]


def parse(argv, define, about):
  """Reads a command line without stopping at its first fault.

  Args:
    argv: the program's name and its arguments.
    define: called with absl's FlagValues, defines the program's own flags.
    about: the program's description, printed by --help above the flags.
  Returns:
    Command.
  Raises:
    SystemExit: help was asked for, and given.
  """
  if {'-h', '--help'} & {*argv}:
    print(about)
    print(_flags(argv[0], [], define).get_help(include_special_flags=False))
    sys.exit(0)
  parts = _parts(argv[1:])
  named = [p for p in parts if p[0].split('=')[0].lstrip('-') == 'config']
  if not named:
    return _nothing(['--config=configs/quickstart.py, or another, is missing'])
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
    'Print the settings and all that follows from them, and stop.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'natural_lengths',
    '',
    'A run from whose samples --dry_run takes the lengths without a cap.',
    flag_values=values,
  )
  flags.DEFINE_list(
    'allow_change',
    [],
    'Settings that may differ from those the folder was started with.',
    flag_values=values,
  )


def _flags(program, arguments, define):
  """A program's flags, unread."""
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    'config',
    None,
    'The config file, configs/NAME.py or configs/NAME.py:ARGUMENT.',
    lock_config=False,
    accept_new_attributes=True,  # schema.py names those that are unknown.
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
  """(FlagValues, []), or (None, messages) where they cannot be read."""
  values = _flags(program, arguments, define)
  try:
    rest = values([program, *arguments])[1:]
    if not isinstance(values.config, ConfigDict):
      return None, [f'{" ".join(arguments)}: no file that can be read']
  except flags.Error as error:
    return None, [' '.join(str(error).split())]
  except Exception as error:  # A config file is a program: anything goes.
    why = ' '.join(f'{type(error).__name__}: {error}'.split())
    return None, [f'{" ".join(arguments)}: {why}']
  if rest:
    return None, [
      f'{word} is no flag; settings are --config.KEY=VALUE' for word in rest
    ]
  return values, []


def _overrides(flag):
  """What the command line changed, as plain values by dotted name."""
  changed = config_flags.get_override_values(flag)
  return {
    name: value.to_dict() if isinstance(value, ConfigDict) else value
    for name, value in changed.items()
  }


def _parts(arguments):
  """Arguments as lists: a flag with the value that may follow it."""
  parts = []
  for argument in arguments:
    follows = parts and len(parts[-1]) == 1 and '=' not in parts[-1][0]
    if follows and not argument.startswith('--') and parts[-1][0][0] == '-':
      parts[-1].append(argument)
    else:
      parts.append([argument])
  return parts


def _nothing(faults):
  """A command line without a config to speak of."""
  return Command(None, '', {}, '', None, faults)


def _workdir(source):
  """configs/quickstart.py:short to runs/quickstart-short."""
  file, _, argument = source.partition(':')
  return str(
    pathlib.Path(
      'runs', '-'.join(filter(None, [pathlib.Path(file).stem, argument]))
    )
  )
