"""The runs of an ablation's grid, as command lines of siri_jax.main."""

import ast
import dataclasses
import functools
import itertools
import json
import pathlib
import re

from siri_jax.config import command_line, plan, plugin_defaults
from siri_jax.data import load
from siri_jax.runtime import run_folder

SEED = 'seed'  # Runs that differ only on this axis are repeats.
BASE = 'config'  # In a value's settings: a config file in place of the base.


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of a grid.

  Attributes:
    labels: dict axis -> label of its value.
    folder: path of the run's folder, 'OUT/schedule=cosine,seed=0'.
    arguments: arguments of siri_jax.main, including the folder.
    config: its ConfigDict.
  """

  labels: dict
  folder: pathlib.Path
  arguments: list[str]
  config: object

  @property
  def name(self):
    """The name of the folder."""
    return self.folder.name

  @property
  def arm(self):
    """The labels without the seed, which its repeats share."""
    values = [v for axis, v in self.labels.items() if axis != SEED]
    return ', '.join(values) or 'all'


def runs(base, grid, out, overrides):
  """Every run of a grid, in order of its axes, the last one fastest.

  Args:
    base: config file, 'configs/quickstart.py' or 'file.py:argument'.
    grid: axis -> its values. A list has values of the setting named by the
      axis; a dict maps labels to several settings by dotted name, which may
      have BASE: the config file of these runs.
    out: folder of the ablation; the runs' folders are in it.
    overrides: settings by dotted name that all runs share.
  Returns:
    list of Run.
  Raises:
    ValueError: the grid or the runs' settings are invalid; lists all faults.
  """
  if wrong := _shape_faults(grid):
    raise ValueError('\n'.join(wrong))
  axes = {axis: _labelled(axis, values) for axis, values in grid.items()}
  start = functools.cache(lambda own: parsed(own, {}, '').config)
  found, wrong = [], []
  for labels in itertools.product(*axes.values()):
    chosen = dict(zip(axes, labels, strict=True))
    changes = dict(overrides)
    for axis, label in chosen.items():
      changes |= axes[axis][label]
    own = changes.pop(BASE, base)
    name = ','.join(f'{axis}={_slug(lb)}' for axis, lb in chosen.items())
    try:
      folder = pathlib.Path(out, name)
      settled = plugin_defaults.settled(start(own), changes)
      found.append(_run(own, settled, folder, chosen))
    except ValueError as error:
      wrong += [f'{name}: {fault}' for fault in str(error).splitlines()]
  if wrong := wrong + _faults(found):
    raise ValueError('\n'.join(wrong))
  return found


def single(base, changes, folder):
  """A single run with these settings changed; raises as `runs` does."""
  start = parsed(base, {}, '').config
  run = _run(
    base, plugin_defaults.settled(start, changes), pathlib.Path(folder), {}
  )
  if wrong := _faults([run]):
    raise ValueError('\n'.join(wrong))
  return run


def axis(text):
  """Parses 'seed=0,1,2' to ('seed', [0, 1, 2]).

  A value that is not a Python literal is text.

  Raises:
    ValueError: the name or the values are missing.
  """
  name, _, values = text.partition('=')
  if not name or not values:
    raise ValueError(
      f'--axis={text} is not NAME=VALUE,VALUE,...; for example seed=0,1,2'
    )
  try:
    return name, list(ast.literal_eval(f'({values},)'))
  except (ValueError, SyntaxError):
    return name, [command_line.literal(word) for word in values.split(',')]


def axes(texts):
  """Axes by name; values of an axis that is given twice are joined.

  Raises:
    ValueError: as `axis` does.
  """
  found = {}
  for name, values in map(axis, texts):
    found.setdefault(name, []).extend(values)
  return found


def overrides(words):
  """Settings by dotted name, from words like '--config.group_size=16'.

  Raises:
    ValueError: some words are not settings; names each.
  """
  pattern = re.compile(r'--config\.([\w.]+)=(.*)', re.DOTALL)
  found = {word: pattern.fullmatch(word) for word in words}
  if wrong := [word for word, match in found.items() if not match]:
    listed = '\n'.join(f'{word} is not --config.KEY=VALUE' for word in wrong)
    raise ValueError(listed)
  return {match[1]: command_line.literal(match[2]) for match in found.values()}


def read(path):
  """A grid from a JSON file.

  Raises:
    ValueError: the file has no valid grid; names it.
  """
  try:
    grid = json.loads(pathlib.Path(path).read_text())
  except (OSError, ValueError, RecursionError) as error:
    raise ValueError(f'{path}: {error}') from error
  if wrong := _shape_faults(grid):
    raise ValueError('\n'.join(f'{path}: {w}' for w in wrong))
  return grid


def _shape_faults(grid):
  """Faults in a grid's structure; its settings are not checked."""
  if not isinstance(grid, dict) or not grid:
    return ['a grid is a dict of axes; write {"seed": [0, 1, 2], ...}']
  wrong = []
  for name, values in grid.items():
    if not isinstance(values, (list, tuple, dict)) or not values:
      wrong.append(f'grid.{name}={values!r} is not a list of values')
    elif isinstance(values, dict):
      wrong += [
        f'grid.{name}.{label}={changes!r} is not a dict of settings'
        for label, changes in values.items()
        if not isinstance(changes, dict)
      ]
  return wrong


def _labelled(axis, values):
  """{label: settings} of an axis' values."""
  if isinstance(values, dict):
    return {str(label): changes for label, changes in values.items()}
  return {str(value): {axis: value} for value in values}


def parsed(base, changes, folder):
  """A run's command line, parsed as by siri_jax.main.

  Raises:
    ValueError: it cannot be read.
  """
  words = _arguments(base, changes, folder)
  asked = command_line.parse(words, command_line.define_run, __doc__)
  if asked.faults:
    raise ValueError('\n'.join(asked.faults))
  return asked


def _arguments(base, changes, folder):
  overrides = [
    f'--config.{key}={value if isinstance(value, str) else repr(value)}'
    for key, value in changes.items()
  ]
  return [f'--config={base}', *overrides, f'--workdir={folder}']


def _run(base, changes, folder, labels):
  config = parsed(base, changes, folder).config
  short = run_folder.flatten(changes)  # A flag a setting is easier to read.
  if not _gives(config, base, short, folder):
    short = changes
  return Run(labels, folder, _arguments(base, short, folder), config)


def _gives(config, base, changes, folder):
  """Whether a command line with these changes has this config."""
  try:
    return parsed(base, changes, folder).config.to_dict() == config.to_dict()
  except ValueError:
    return False


def _faults(found):
  """Faults in the runs' settings, and in the files of each task once."""
  wrong, seen = [], set()
  for run in found:
    wrong += [f'{run.name}: {fault}' for fault in plan.faults(run.config)]
    task = (
      f'{run.config.task} {run.config.task_kw} {run.config.max_prompt_tokens}'
    )
    if task not in seen:
      files = load.faults(run.config)
      wrong += [f'{run.name}: {fault}' for fault in files]
    seen.add(task)
  names = [run.name for run in found]
  twice = {name for name in names if names.count(name) > 1}
  return wrong + [
    f'{name}: two runs have this name; change a label' for name in sorted(twice)
  ]


def _slug(label):
  """A label as part of a folder's name."""
  return re.sub(r'[^\w.+-]+', '_', label).strip('_') or '_'
