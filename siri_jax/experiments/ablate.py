"""Runs a grid of settings, one process a run, and compares the results."""

import contextlib
import pathlib
import shutil

import pandas as pd

from siri_jax.analysis import ablation_table
from siri_jax.analysis import runs as run_folders
from siri_jax.experiments import branch, executors
from siri_jax.experiments import grid as grids
from siri_jax.runtime import checkpoint, files, run_folder, stopwatch, terminal

EXECUTORS = ('here', 'slurm', 'local', 'debug')
PLACE = ('executor', 'jobs', 'partition', 'gpus', 'cpus', 'hours')
STOP_SECS = 30.0  # Added to the longest stop_secs of the runs.


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
  """Runs the unfinished runs of a grid, and compares all runs.

  Args:
    base: config file, 'configs/quickstart.py' or 'file.py:argument'.
    grid: axis -> its values. A list has values of the setting named by the
      axis ('schedule_kw.period': [24, 48]); the name of a schedule takes its
      settings from schedule_presets.py with the base's caps and period. A dict
      maps labels to several settings.
    out: folder of the ablation: a run's folder for each cell, logs/,
      ablation.json, table.csv, table.txt.
    overrides: dict of settings that all runs share.
    past: (folder of a run, step) that all runs branch from, or None.
    executor: 'here', processes on this machine; 'slurm'; or submitit's 'local'
      and 'debug', which need no cluster.
    jobs: most runs at a time on this machine; 0: as many as fit.
    partition: Slurm's partition.
    gpus: GPUs of a job; a job is a run on one node.
    cpus: CPUs of a job.
    hours: time limit of a job.
  Returns:
    DataFrame with a row for each arm, as in ablation_table.compared, then a
    row for each failed run with the reason in `why`.
  Raises:
    ValueError: the grid is invalid; lists all faults; nothing was run.
    stopwatch.StopRequested: a signal came; the same call continues.
  """
  files.refuse_backslash(out)
  check_place(executor, out)
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
  return _written(out, failed)


def check_place(executor, out):
  """Raises ValueError if an executor or a folder cannot be used here."""
  if pathlib.Path(out, 'RUN.json').exists():
    raise ValueError(f'{out} is the folder of a run; name another with --out')
  if executor == 'slurm' and not shutil.which('srun'):
    raise ValueError(
      '--executor=slurm: there is no srun on this machine; start this on a '
      "node of the cluster, or use --executor=here for this machine's cores"
    )


def finished(run):
  """Whether a run is complete, with exactly the settings of the grid.

  A signal may end a run between its last checkpoint and its last evaluation.
  """
  path = run.folder / 'config.json'
  if not path.exists():
    return False
  read, last = run_folders.read(run.folder), run.config.total_steps
  same = not run_folder.differences(read.config, run.config.to_dict())
  saved = last in checkpoint.finished(run.folder / 'checkpoints')
  evaluated = {r['set'] for r in read.evals if r['step'] == last}
  return same and saved and evaluated >= set(read.sets)


def _followed(ending, runs, attempts):
  """Shows runs until all have ended; returns {failed run: reason}."""
  total = sum(run.config.total_steps for run in runs)
  logs, failed = {a.run.name: a.log for a in attempts}, {}
  done = len(runs) - len(attempts)
  with contextlib.ExitStack() as stack:
    screen = stack.enter_context(terminal.Terminal(total, quiet_secs=60.0))
    secs = max(run.config.limits_kw.stop_secs for run in runs) + STOP_SECS
    signals = stack.enter_context(stopwatch.Signals(screen.say, secs=secs))
    stack.callback(ending.close)  # While signals are still handled.
    screen.say(f'{len(runs)} runs, {done} of them already finished')
    for run, status in ending:
      if run:
        done += status == 0
        if status != 0:
          failed[run.name] = _why(status, logs[run.name])
        screen.say(f'{run.name}: {failed.get(run.name, "finished")}')
      steps = sum(run_folders.steps_done(r.folder) for r in runs)
      note = f'steps; {done} of {len(runs)} runs finished, {len(failed)} failed'
      screen.working('ablation', steps, total, note)
      signals.raise_if_stopped()
  return failed


def _why(status, log):
  """The reason why a run failed: its status and last line of output."""
  lines = log.read_text(errors='replace').split('\n')
  last = next((line.strip() for line in lines[::-1] if line.strip()), '')
  how = 'failed' if status is None else f'failed with status {status}'
  return f'{how}: {last}' if last else how


def _write_list(out, base, grid, overrides, runs):
  """Writes ablation.json: the grid and its runs."""
  out.mkdir(parents=True, exist_ok=True)
  listed = [
    {'name': run.name, 'arm': run.arm, 'labels': run.labels} for run in runs
  ]
  about = {'base': base, 'overrides': dict(overrides), 'grid': dict(grid)}
  files.write_json(out / 'ablation.json', {**about, 'runs': listed})


def _written(out, failed):
  """The table of the ablation; also writes table.csv and table.txt."""
  frame = ablation_table.read(out).table()
  rows = pd.DataFrame(
    [{'arm': name, 'runs': 0, 'why': why} for name, why in failed.items()]
  )
  frame = pd.concat([frame, rows], ignore_index=True)
  shown = f'{ablation_table.text(frame)}\n\n{ablation_table.NOTES}\n'
  files.write_atomically(out / 'table.csv', frame.to_csv(index=False).encode())
  files.write_atomically(out / 'table.txt', shown.encode())
  return frame
