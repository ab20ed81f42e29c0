"""Runs a grid of settings, one process a run, and compares what comes out."""

import contextlib
import pathlib

import pandas as pd

from siri_jax.analysis import ablation_table
from siri_jax.analysis import runs as run_folders
from siri_jax.experiments import branch, executors
from siri_jax.experiments import grid as grids
from siri_jax.runtime import checkpoint, files, run_folder, stopwatch, terminal

EXECUTORS = ('here', 'slurm', 'local', 'debug')
PLACE = ('executor', 'jobs', 'partition', 'gpus', 'cpus', 'hours')
STOP_SECS = 30.0  # To wait for runs that were asked to stop, beyond their own.


def ablate(
  base,
  grid,
  out,
  *,
  overrides=(),
  past=None,
  executor='here',
  jobs=0,
  partition='',
  gpus=0,
  cpus=8,
  hours=24.0,
):
  """Makes the runs of a grid that are not there yet, and compares all.

  Args:
    base: config file, 'configs/quickstart.py' or 'file.py:argument'.
    grid: axis -> its values. A list holds values of the setting that the axis
      is named by ('schedule_kw.period': [24, 48]); a schedule by its name gets
      its line of schedule_presets.py with the base's caps and period. A dict
      holds label -> several settings at once.
    out: folder of the ablation: a run's folder for each cell, logs/,
      ablation.json, table.csv, table.txt.
    overrides: dict of settings that all runs share.
    past: (folder of a run, step) that all runs branch off from, or None.
    executor: 'here', processes of this machine; 'slurm', or 'local' and
      'debug' of submitit, which try it without a cluster.
    jobs: runs at once on this machine; 0: as many as it has room for.
    partition: of Slurm.
    gpus: of a job, which is a run on one node.
    cpus: of a job.
    hours: of a job.
  Returns:
    DataFrame, an arm a row as comparison.compared has it, then one row for
    each failed run whose `why` says what happened.
  Raises:
    ValueError: all that is wrong with the grid; nothing was run then.
    stopwatch.StopRequested: a signal came; the same call goes on.
  """
  out = pathlib.Path(out)
  found = grids.runs(base, dict(grid), out, dict(overrides))
  _write_list(out, base, grid, overrides, found)
  left = [run for run in found if not finished(run)]
  attempts = [
    executors.Attempt(run, out / 'logs' / f'{run.name}.txt') for run in left
  ]
  if past:
    for run in left:
      branch.begin(*past, run.config.to_dict(), run.folder)
  cluster = dict(partition=partition, gpus=gpus, cpus=cpus, hours=hours)
  if executor == 'here':
    ending = executors.here(attempts, jobs=jobs)
  else:
    place = dict(cluster=executor, folder=out / 'submitit')
    ending = executors.submitted(attempts, **place, **cluster)
  failed = _followed(ending, found, attempts)
  return _told(out, failed)


def finished(run):
  """Whether a run is complete, with the very settings of the grid.

  Its last checkpoint is written after everything else.
  """
  path = run.folder / 'config.json'
  if not path.exists():
    return False
  same = not run_folder.differences(
    run_folders.read(run.folder).config, run.config.to_dict()
  )
  done = checkpoint.finished(run.folder / 'checkpoints')
  return same and run.config.total_steps in done


def _followed(ending, runs, attempts):
  """Shows runs till the last has ended; dict of failed name -> why."""
  total = sum(run.config.total_steps for run in runs)
  said, failed = {a.run.name: a.said for a in attempts}, {}
  done = len(runs) - len(attempts)
  with contextlib.ExitStack() as stack:
    screen = stack.enter_context(terminal.Terminal(total, quiet_secs=60.0))
    secs = max(run.config.stop_secs for run in runs) + STOP_SECS
    signals = stack.enter_context(stopwatch.Signals(screen.say, secs=secs))
    stack.callback(ending.close)  # Before the signals are let go of.
    screen.say(f'{len(runs)} runs, {done} of them finished before')
    for run, status in ending:
      if run:
        done += status == 0
        if status != 0:
          failed[run.name] = _why(status, said[run.name])
        screen.say(f'{run.name}: {failed.get(run.name, "finished")}')
      steps = sum(run_folders.steps_done(r.folder) for r in runs)
      note = f'steps; {done} of {len(runs)} runs finished, {len(failed)} failed'
      screen.working('ablation', steps, total, note)
      signals.raise_if_stopped()
  return failed


def _why(status, said):
  """Why a run failed: its status and the last that it said."""
  lines = said.read_text(errors='replace').split('\n')
  last = next((line.strip() for line in lines[::-1] if line.strip()), '')
  how = 'failed' if status is None else f'failed with status {status}'
  return f'{how}: {last}' if last else how


def _write_list(out, base, grid, overrides, runs):
  """Writes down what the ablation is."""
  out.mkdir(parents=True, exist_ok=True)
  listed = [
    {'name': run.name, 'arm': run.arm, 'labels': run.labels} for run in runs
  ]
  about = {'base': base, 'overrides': dict(overrides), 'grid': dict(grid)}
  files.write_json(out / 'ablation.json', {**about, 'runs': listed})


def _told(out, failed):
  """The table, written into the ablation's folder as well."""
  frame = ablation_table.read(out).table()
  rows = pd.DataFrame(
    [{'arm': name, 'runs': 0, 'why': why} for name, why in failed.items()]
  )
  frame = pd.concat([frame, rows], ignore_index=True)
  files.write_atomically(out / 'table.csv', frame.to_csv(index=False).encode())
  return frame
