"""The commands of siri-jax, a module each, found by its name."""

import difflib
import importlib
import os
import pkgutil
import sys


def main(argv=None):
  """Runs `siri-jax COMMAND ARGUMENTS` and returns the exit status."""
  argv = sys.argv[1:] if argv is None else argv
  commands = {'train': 'siri_jax.main'} | {
    found.name.replace('_', '-'): f'{__name__}.{found.name}'
    for found in pkgutil.iter_modules(__path__)
  }
  if not argv or argv[0] in ('-h', '--help'):
    print('siri-jax COMMAND ARGUMENTS; a command has its own --help:\n')
    for name, module in commands.items():
      print(f'  {name:<13}{_summary(module)}')
    return 0
  name, *rest = argv
  if name not in commands:
    near = difflib.get_close_matches(name, commands, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    print(
      f'unknown command {name!r}{hint} ({", ".join(commands)})', file=sys.stderr
    )
    return 2
  # As with `python -m`: configs and plug-ins of the working directory.
  sys.path.insert(0, os.getcwd())
  return importlib.import_module(commands[name]).main(rest)


def _summary(module):
  """The first line of a module's docstring, without importing the module."""
  loader = importlib.util.find_spec(module).loader
  source = loader.get_source(module)
  return source.partition('"""')[2].partition('\n')[0].strip()
