"""Branches: runs that start from another run's checkpoint."""

import json
import os
import pathlib
import shutil

from siri_jax import plugins
from siri_jax.analysis import validate
from siri_jax.config import plugin_defaults
from siri_jax.experiments import grid
from siri_jax.runtime import checkpoint, credentials, files, run_folder


def branch(run, step, overrides, out):
  """Makes a run folder that starts from another run's checkpoint.

  Args:
    run: folder of the other run; it is not changed.
    step: updates done, of one of its checkpoints.
    overrides: dict of settings by dotted name that differ from those of the
      checkpoint. A schedule without settings takes them from
      schedule_presets.py, with the run's caps and period.
    out: the new folder.
  Returns:
    grid.Run: the config, and the arguments of siri_jax.main that train it.
  Raises:
    ValueError: the checkpoint is missing or damaged, the settings are invalid,
      or the folder has another run; nothing is written then.
  """
  base = origin(run)
  changes = _changes(base, settings_at(run, step))
  start = grid.parsed(base, changes, '').config
  new = plugin_defaults.settled(start, overrides)
  if 'schedule_kw' in new:  # Drop the settings of the old schedule.
    changes = {k: v for k, v in changes.items() if 'schedule_kw' not in k}
  made = grid.single(base, {**changes, **new}, out)
  begin(run, step, made.config.to_dict(), out)
  return made


def origin(run):
  """The config file, with its argument, that a run was started with.

  Raises:
    ValueError: it is not a run's folder; names the file.
  """
  path = pathlib.Path(run) / 'RUN.json'
  if not path.exists():
    raise ValueError(f'{run} is not the folder of a run: it has no RUN.json')
  info = validate.json_object(path)
  try:
    return ':'.join(filter(None, [info['config'], info['arg']]))
  except (KeyError, TypeError) as error:
    raise ValueError(
      f'{path} names no config file: this run has yet to be started'
    ) from error


def settings_at(run, step):
  """The settings that a checkpoint of a run was made with, nested.

  A run may be resumed with other ones: its config.json has the newest.

  Raises:
    ValueError: there is no such checkpoint, or its facts are damaged.
  """
  facts = checkpoint.read_facts(pathlib.Path(run, 'checkpoints'), step)
  if isinstance(facts.get('config'), dict):
    return facts['config']
  # A checkpoint of an earlier version has none.
  return validate.json_object(pathlib.Path(run) / 'config.json')


def _changes(base, settings):
  """What makes a config file's settings these: whole groups, by their name."""
  start = files.plain(grid.parsed(base, {}, '').config.to_dict())
  changes = {k: v for k, v in settings.items() if start.get(k) != v}
  if 'schedule' in changes:  # By itself it would get a line of presets.
    changes['schedule_kw'] = settings.get('schedule_kw', {})
  return changes


def begin(run, step, config, folder):
  """Makes the folder of a branch if it does not exist.

  Args:
    run: folder of the run to branch from.
    step: updates done.
    config: nested dict of the new run's settings.
    folder: folder of the new run.
  Raises:
    ValueError: see `branch`.
  """
  files.refuse_backslash(folder)
  if wrong := credentials.faults(run_folder.flatten(config)):
    raise ValueError('\n'.join(wrong))
  run, folder = pathlib.Path(run).resolve(), pathlib.Path(folder)
  came = {'folder': os.path.relpath(run, folder.resolve()), 'step': step}
  if folder.exists():
    return _refuse_another(folder, came, config)
  draft = folder.with_name(f'.{folder.name}.draft')
  shutil.rmtree(draft, ignore_errors=True)
  facts = {'config': config, 'sources': plugins.sources(config)}
  checkpoint.copy(run / 'checkpoints', step, draft / 'checkpoints', facts)
  files.write_json(draft / 'config.json', config)
  files.write_json(draft / 'RUN.json', {'branched_from': came})
  draft.rename(folder)


def _refuse_another(folder, came, config):
  """Raises if a folder is not that of this branch with these settings."""
  try:
    info = json.loads((folder / 'RUN.json').read_text())
  except (OSError, ValueError):
    info = {}
  if info.get('branched_from') != came:
    raise ValueError(
      f'{folder} exists and is not a branch of {came["folder"]} at '
      f'{came["step"]}; take another folder or delete it'
    )
  written = validate.json_object(folder / 'config.json')
  changes = run_folder.differences(written, config)
  refused = [c for c in changes if not run_folder.may_change(*c)]
  if refused:
    listed = '\n'.join(f'  {n}: {old} -> {new}' for n, old, new in refused)
    raise ValueError(
      f'{folder} is this branch with other settings:\n{listed}\ntake another '
      'folder or delete it'
    )
