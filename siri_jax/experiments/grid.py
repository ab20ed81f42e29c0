"""The runs of an ablation's grid: each is a command line of siri_jax.main."""

import ast
import dataclasses
import itertools
import json
import pathlib
import re

from siri_jax.algorithm import schedule_presets
from siri_jax.config import command_line, plan
from siri_jax.data import load

CYCLE = ('low', 'high', 'period')  # What a settings line follows from.
SEED = 'seed'  # The axis whose values are repeats of one another.


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of a grid.

  Attributes:
    labels: dict axis -> label of its value.
    folder: path of the run's folder, 'OUT/schedule=cosine,seed=0'.
    arguments: of siri_jax.main, the folder among them.
    config: its ConfigDict.
  """

  labels: dict
  folder: pathlib.Path
  arguments: list[str]
  config: object

  @property
  def name(self):
    """The folder's own name."""
    return self.folder.name

  @property
  def arm(self):
    """What it shares with its repeats: its labels but for the seed's."""
    values = [v for axis, v in self.labels.items() if axis != SEED]
    return ', '.join(values) or 'all'


def runs(base, grid, out, overrides):
  """Every run of a grid, in order of its axes, the last one fastest.

  Args:
    base: config file, 'configs/quickstart.py' or 'file.py:argument'.
    grid: axis -> its values. A list holds values of the setting that the axis
      is named by; a dict holds label -> several settings by dotted name.
    out: folder of the ablation; each run's is below.
    overrides: settings by dotted name that all runs share.
  Returns:
    list of Run.
  Raises:
    ValueError: with all that is wrong with the grid and the runs' settings.
  """
  if wrong := _shape_faults(grid):
    raise ValueError('\n'.join(wrong))
  axes = {axis: _labelled(axis, values) for axis, values in grid.items()}
  start = parsed(base, {}, '').config
  found, wrong = [], []
  for labels in itertools.product(*axes.values()):
    chosen = dict(zip(axes, labels, strict=True))
    changes = dict(overrides)
    for axis, label in chosen.items():
      changes |= axes[axis][label]
    name = ','.join(f'{axis}={_slug(lb)}' for axis, lb in chosen.items())
    try:
      folder = pathlib.Path(out, name)
      found.append(_run(base, settled(start, changes), folder, chosen))
    except ValueError as error:
      wrong += [f'{name}: {fault}' for fault in str(error).splitlines()]
  if wrong := wrong + _faults(found):
    raise ValueError('\n'.join(wrong))
  return found


def single(base, changes, folder):
  """One run by itself, with these settings changed; raises as `runs` does."""
  start = parsed(base, {}, '').config
  run = _run(base, settled(start, changes), pathlib.Path(folder), {})
  if wrong := _faults([run]):
    raise ValueError('\n'.join(wrong))
  return run


def axis(text):
  """'seed=0,1,2' as ('seed', [0, 1, 2]); what Python cannot read is text.

  Raises:
    ValueError: there is no name, or no value.
  """
  name, _, values = text.partition('=')
  if not name or not values:
    raise ValueError(f'--axis={text} is not NAME=VALUE,VALUE,...')
  try:
    return name, list(ast.literal_eval(f'({values},)'))
  except (ValueError, SyntaxError):
    return name, [_read(word) for word in values.split(',')]


def axes(texts):
  """Axes by name; one that is given twice has the values of both.

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
    ValueError: naming every word that is none.
  """
  pattern = re.compile(r'--config\.([\w.]+)=(.*)', re.DOTALL)
  found = {word: pattern.fullmatch(word) for word in words}
  if wrong := [word for word, match in found.items() if not match]:
    listed = '\n'.join(f'{word} is not --config.KEY=VALUE' for word in wrong)
    raise ValueError(listed)
  return {match[1]: _read(match[2]) for match in found.values()}


def read(path):
  """A grid from a JSON file.

  Raises:
    ValueError: it is none; names the file.
  """
  try:
    grid = json.loads(pathlib.Path(path).read_text())
  except (OSError, ValueError) as error:
    raise ValueError(f'{path}: {error}') from error
  if wrong := _shape_faults(grid):
    raise ValueError('\n'.join(f'{path}: {w}' for w in wrong))
  return grid


def _shape_faults(grid):
  """What is wrong with a grid before its settings are looked at."""
  if not isinstance(grid, dict) or not grid:
    return ['a grid is a dict of axes, {"seed": [0, 1, 2], ...}']
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
  """label -> settings, for each of an axis' values."""
  if isinstance(values, dict):
    return {str(label): changes for label, changes in values.items()}
  return {str(value): {axis: value} for value in values}


def settled(start, changes):
  """Changes in which a schedule that is only named has its settings line.

  The lowest and highest cap and the period are those of the config `start`,
  unless they are changed too.
  """
  name = changes.get('schedule', start.schedule)
  if name == start.schedule or 'schedule_kw' in changes:
    return changes
  own = {
    key.partition('.')[2]: value
    for key, value in changes.items()
    if key.startswith('schedule_kw.')
  }
  given = {**start.schedule_kw, **own}
  cycle = [given.get(key) for key in CYCLE]
  if not all(type(value) is int and value > 0 for value in cycle):
    return changes  # The plan says what is missing.
  line = schedule_presets.presets(*cycle).get(name, {})
  own = {k: v for k, v in own.items() if k in line or k not in CYCLE}
  kept = {k: v for k, v in changes.items() if 'schedule_kw.' not in k}
  return {**kept, 'schedule_kw': {**line, **own}} if line else changes


def parsed(base, changes, folder):
  """A run's command line, as siri_jax.main reads it.

  Raises:
    ValueError: it cannot be read.
  """
  words = ['siri_jax', *_arguments(base, changes, folder)]
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
  return Run(labels, folder, _arguments(base, changes, folder), config)


def _faults(found):
  """What is wrong with settings, and with the files of each task once."""
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
  return wrong + [f'{name}: two runs have this name' for name in sorted(twice)]


def _read(word):
  """A word as Python's value, or as the text that it is."""
  try:
    return ast.literal_eval(word)
  except (ValueError, SyntaxError):
    return word


def _slug(label):
  """A label as a part of a folder's name."""
  return re.sub(r'[^\w.+-]+', '_', label).strip('_') or '_'
