"""The public API: functions that raise, with the features of the commands.

  config = siri_jax.load_config('configs/quickstart.py', schedule='stair')
  run = siri_jax.train(config, workdir='runs/stair')

The text of an exception lists every fault. Nothing here parses a command line
or returns an exit status.
"""

import contextlib
import functools
import os
import pathlib

import numpy as np
import pandas as pd

from siri_jax import build, plugins, trainer
from siri_jax.analysis import (
  ablation_table,
  dataframes,
  equal_cost,
  paper_table,
  runs,
  seeds,
)
from siri_jax.analysis.intervals import contrast  # noqa: F401  Of the API.
from siri_jax.config import base, cost_table, schema
from siri_jax.config import dry_run as dry_runs
from siri_jax.config import plan as plans
from siri_jax.data import hub_names, workload
from siri_jax.evaluation import checks
from siri_jax.evaluation import evaluate as evaluation
from siri_jax.experiments import ablate as ablations
from siri_jax.experiments import branch as branches
from siri_jax.experiments import grid as grids
from siri_jax.rollout import placement
from siri_jax.runtime import distributed, stopwatch, terminal, xla_flags

SOURCE = '_siri_source'  # Attribute of a loaded config: its file.


def load_config(path, **settings):
  """Reads a config file and changes settings.

  Args:
    path: 'configs/quickstart.py' or 'file.py:argument'.
    **settings: settings by name; a nested one as a dict,
      schedule_kw={'period': 48}. A schedule without settings takes them from
      schedule_presets.py, with the caps of the file.
      A plug-in's settings are given as a whole if the plug-in is: reward='f',
      reward_kw={...}. A plug-in is given by its name or as the function itself.
  Returns:
    ml_collections.ConfigDict.
  Raises:
    ValueError: the file or settings are invalid; lists every fault on a line.
  """
  changes = {}
  for name, value in _named(settings).items():
    # Another plug-in keeps none of the settings of the one before.
    whole = name.removesuffix('_kw') in settings
    inner = value.items() if isinstance(value, dict) and not whole else ()
    changes |= {f'{name}.{key}': v for key, v in inner} or {name: value}
  config = grids.single(path, changes, 'runs').config
  object.__setattr__(config, SOURCE, path)
  return config


def dry_run(config, natural_lengths='', verbose=False):
  """Describes the run of a config without starting it; fetches no file.

  Args:
    config: ConfigDict.
    natural_lengths: folder of a run whose samples give the lengths without a
      cap; '': the config's uncapped_length_kw.
    verbose: whether to add every setting, the memory by remat policy and the
      cost of every other schedule.
  Returns:
    str: the settings that differ from the defaults, files of the Hub, the
      schedule, and the forecast of tokens, time, memory and disk.
  Raises:
    ValueError: the config or its files are invalid; lists every fault.
    OSError: a file cannot be read.
  """
  xla_flags.set_up(config.cache_dir)
  plan, files = build.planned(config), hub_names.table(config)
  try:
    work = workload.of(config)
  except workload.UnknownError as error:
    work = str(error)
  sampled = runs.sampled_lengths(natural_lengths) if natural_lengths else None
  return dry_runs.text(
    plan, work, files=files, sampled=sampled, verbose=verbose
  )


def train(config, workdir, *, allow_change=()):
  """Trains in this process; resumes if the folder has a run.

  Args:
    config: ConfigDict.
    workdir: the run's folder.
    allow_change: names of settings that may differ from the folder's.
  Returns:
    runs.Run, the finished run.
  Raises:
    ValueError: the config or its files are invalid; lists every fault.
    run_folder.RunFolderError: the folder belongs to another run.
    rewarded.RewardError: a text reward failed; the run is saved before it.
    training_set.TrainingSetError: there is no training set to learn from.
    trainer.DivergedError: too many updates in a row were not finite.
    http_client.ServerError: no vLLM server responds.
    OSError: a file cannot be written.
    stopwatch.StopRequested: TERM or INT came. The run is saved; the same call
      resumes it.
  """
  xla_flags.set_up(config.cache_dir)
  if not schema.faults(config):  # If there are any, build.prepare lists them.
    placement.reserve(config, trains=True)
  plan, task, _ = build.prepare(config)
  source, overrides = _origin(config)
  with contextlib.ExitStack() as stack:
    folder = stack.enter_context(
      build.open_folder(
        workdir,
        plan.c,
        source=source,
        overrides=overrides,
        allow_change=allow_change,
      )
    )
    screen = stack.enter_context(terminal.Terminal(plan.c.total_steps))
    team = stack.enter_context(distributed.SingleProcess())
    parts = build.open_run(plan, task, folder, screen, team)
    ctx, state, done = stack.enter_context(parts)
    trainer.train(ctx, state, done)
  if ctx.signals.asked:
    raise stopwatch.StopRequested(ctx.signals.asked)
  return load_run(workdir)


def evaluate(config, workdir, *, weights=('newest',), sets=(), samples=0):
  """Evaluates policies on held-out sets; continues unfinished evaluations.

  Args:
    config: ConfigDict.
    workdir: the run's folder; results go to its evaluations/.
    weights: each is 'start', 'newest', a number of updates, a Hugging Face
      folder or a server's URL.
    sets: names of held-out sets; (): all.
    samples: samples a problem; 0: eval_kw.table_samples.
  Returns:
    DataFrame, a row for each policy and set; accuracy as a fraction, length in
    tokens.
  Raises:
    ValueError: arguments are invalid; lists every fault on a line.
    stopwatch.StopRequested: TERM or INT came; the same call resumes.
  """
  source, overrides = _origin(config)
  request = evaluation.Request(
    config=config.copy_and_resolve_references(),
    source=source,
    overrides=overrides,
    workdir=str(workdir),
    out=pathlib.Path(workdir, 'evaluations'),
    weights=[str(each) for each in weights],
    sets=list(sets),
    samples=samples,
  )
  with terminal.Terminal(0) as screen:
    folders = evaluation.evaluate(request, screen)
  return pd.DataFrame(
    {'weights': folder.name, 'set': name, **results}
    for folder in folders
    for name, results in paper_table.read(folder).items()
  )


def ablate(config, grid, out, **options):
  """Runs a grid of settings, one process a run, and compares the arms.

  Args:
    config: config file, 'configs/quickstart.py' or 'file.py:argument'.
    grid: setting -> list of values, or axis -> {label: {setting: value}}; a
      plug-in of an importable module may be given as the function itself.
    out: folder of the ablation.
    **options: arguments of experiments.ablate.ablate: overrides, past,
      executor, jobs, partition, gpus, cpus, hours.
  Returns:
    DataFrame with a row for each arm.
  Raises:
    ValueError: the grid is invalid; lists every fault; nothing was run.
  """
  grid, options = _named(grid), _named(options)
  if '__main__:' in repr((grid, options)):
    raise ValueError(f'each run is a process of its own. {plugins.ELSEWHERE}')
  return ablations.ablate(config, grid, out, **options)


def branch(run, step, out, **settings):
  """Makes a run folder that starts from another run's checkpoint.

  Args:
    run: the other run's folder.
    step: updates done at the checkpoint.
    out: the new folder, for `train`.
    **settings: settings that differ from those of the checkpoint, as in
      load_config.
  Returns:
    ConfigDict of the new run.
  Raises:
    ValueError: the checkpoint does not exist, settings are invalid, or the
      folder has another run.
  """
  config = branches.branch(run, step, _named(settings), out).config
  object.__setattr__(config, SOURCE, branches.origin(run))
  return config


def load_run(workdir):
  """Reads the folder of a finished or unfinished run; see analysis.runs.Run.

  Raises:
    ValueError: it is not the folder of a run, or a file is damaged.
  """
  return runs.read(pathlib.Path(workdir))


def load_ablation(out):
  """Reads the folder that `ablate` made; see ablation_table.Ablation.

  Raises:
    ValueError: it is not an ablation's folder.
  """
  return ablation_table.read(out)


def plot(found, figure=None, words=None):
  """Draws figures of runs.

  Args:
    found: a run or a list of runs, as folders or as runs.Run.
    figure: name of one figure; None: all that the runs have data for.
    words: to count in samples; None: the usual ones.
  Returns:
    The matplotlib Figure, or dict name -> Figure.
  Raises:
    ValueError: a folder is not that of a run, there is no figure of that name,
      or the runs have no data for it.
  """
  from siri_jax.analysis.figures import catalog  # Imports matplotlib.

  draw, read = catalog.every(words), _runs(found)
  if figure is None:
    drawn = catalog.drawn(read, words)
    return {n: made for n, made in drawn if not isinstance(made, str)}
  if figure not in draw:
    raise ValueError(f'no figure {figure!r}; choose from {", ".join(draw)}')
  return draw[figure](read)


def table(found, kind):
  """A table of runs, with each run's name, setting and seed.

  Args:
    found: a run or a list of runs, as folders or as runs.Run.
    kind: 'steps', a row a step; 'evaluations', a row an evaluation of a set;
      'samples', a row a sample of an evaluation; 'rollouts', a row a sample
      trained on; 'cost', arms at equal cost, each against the first, in tokens
      trained on; 'checks', the needed and redundant checks of each response to
      the built-in task; 'words', how often words occur before and after
      compressions; 'lag', by how many steps the length follows the cap.
  Returns:
    DataFrame; analysis.dataframes, analysis.equal_cost,
    evaluation.checks, figures.words and figures.lag explain the columns.
  Raises:
    ValueError: a folder is not that of a run, there is no such kind, or a file
      is damaged.
  """
  from siri_jax.analysis.figures import lag, words  # They import matplotlib.

  kinds = {
    'steps': dataframes.steps,
    'evaluations': dataframes.evaluations,
    'samples': dataframes.samples,
    'rollouts': functools.partial(dataframes.samples, kind='rollouts'),
    'cost': lambda r: equal_cost.table(equal_cost.of_groups(seeds.of(r))),
    'checks': checks.table,
    'words': words.table,
    'lag': lag.table,
  }
  if kind not in kinds:
    raise ValueError(f'no table {kind!r}; choose from {", ".join(kinds)}')
  return kinds[kind](_runs(found))


def caps(config):
  """The cap at each step of a run, int [total_steps], tokens.

  Raises:
    ValueError: every fault of the config, a line each.
  """
  return plans.make(config).caps


def costs(config, natural_lengths=''):
  """What a cycle of every schedule costs, beside the config's own.

  Args:
    config: ConfigDict.
    natural_lengths: as in `dry_run`.
  Returns:
    DataFrame of cost_table.costs; the config's own schedule is marked by *.
  Raises:
    ValueError: every fault of the config and its files, a line each.
  """
  plan, sampled = build.planned(config), None
  if natural_lengths:
    sampled = runs.sampled_lengths(natural_lengths)
  return cost_table.of_cycle(plan, workload.of(config), sampled)


def _runs(found):
  """A run or several, as folders or as runs.Run, as a list of runs.Run."""
  if isinstance(found, str | os.PathLike | runs.Run):
    found = [found]
  folders = [pathlib.Path(r) for r in found if not isinstance(r, runs.Run)]
  read = iter(runs.read_all(folders))
  return [r if isinstance(r, runs.Run) else next(read) for r in found]


def _named(value):
  """Settings, however nested: functions by their names, numbers as Python's."""
  if isinstance(value, dict):
    return {key: _named(each) for key, each in value.items()}
  if isinstance(value, list | tuple):
    return type(value)(map(_named, value))
  if isinstance(value, np.generic):
    return value.item()
  return plugins.name_of(value) if callable(value) else value


def _origin(config):
  """(config file, settings that differ from it) of a config, for RUN.json."""
  source = getattr(config, SOURCE, os.path.relpath(base.__file__))
  start = grids.parsed(source, {}, '').config.to_dict()
  given = config.to_dict()
  return source, {k: v for k, v in given.items() if start.get(k) != v}
