"""Starts a run from a checkpoint of another, with other settings."""

import json
import os
import pathlib
import shutil

from siri_jax import plugins
from siri_jax.experiments import grid
from siri_jax.runtime import checkpoint, files


def branch(run, step, overrides, out):
  """A new run's folder that goes on from another run's checkpoint.

  Args:
    run: folder of the other run, which is read only.
    step: updates done: one of its checkpoints.
    overrides: dict of settings by dotted name that differ in the new run; a
      schedule that is only named gets its settings line, with the run's caps
      and period.
    out: the new folder.
  Returns:
    grid.Run: its config, and the arguments of siri_jax.main that go on with it.
  Raises:
    ValueError: there is no such checkpoint, it is damaged, the settings
      cannot be, or the folder is another run's; nothing is made then.
  """
  base, changes = origin(run)
  start = grid.parsed(base, changes, '').config
  new = grid.settled(start, overrides)
  if 'schedule_kw' in new:  # Another schedule: the old one's settings go.
    changes = {k: v for k, v in changes.items() if 'schedule_kw' not in k}
  made = grid.single(base, {**changes, **new}, out)
  begin(run, step, made.config.to_dict(), out)
  return made


def origin(run):
  """(config file with its argument, overrides) that a run was started with.

  Raises:
    ValueError: it is not a run's folder.
  """
  try:
    info = json.loads((pathlib.Path(run) / 'RUN.json').read_text())
    source = ':'.join(filter(None, [info['config'], info['arg']]))
    return source, info['overrides']
  except (OSError, ValueError, KeyError) as error:
    raise ValueError(f'{run} is not the folder of a run: {error}') from error


def begin(run, step, config, folder):
  """Makes the folder of a branch, unless it is there already.

  Args:
    run: folder of the run to branch off from.
    step: updates done.
    config: nested dict of the new run's settings.
    folder: the new run's.
  Raises:
    ValueError: see `branch`.
  """
  run, folder = pathlib.Path(run).resolve(), pathlib.Path(folder)
  came = {'folder': os.path.relpath(run, folder.resolve()), 'step': step}
  if folder.exists():
    return _refuse_another(folder, came)
  draft = folder.with_name(f'.{folder.name}.draft')
  shutil.rmtree(draft, ignore_errors=True)
  facts = {'config': config, 'sources': plugins.sources(config)}
  checkpoint.copy(run / 'checkpoints', step, draft / 'checkpoints', facts)
  files.write_json(draft / 'config.json', config)
  files.write_json(draft / 'RUN.json', {'branched_from': came})
  draft.rename(folder)


def _refuse_another(folder, came):
  """Raises where a folder is not that of this branch."""
  try:
    info = json.loads((folder / 'RUN.json').read_text())
  except (OSError, ValueError):
    info = {}
  if info.get('branched_from') != came:
    raise ValueError(
      f'{folder} is there and is no branch of {came["folder"]} at '
      f'{came["step"]}; take another folder or delete it'
    )
