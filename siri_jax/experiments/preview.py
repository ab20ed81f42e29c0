"""The runs of a grid and their cost, for `siri-jax ablate --dry_run`."""

import textwrap

import numpy as np
import tabulate

from siri_jax import build
from siri_jax.analysis import runs as run_folders
from siri_jax.config import (
  command_line,
  cost_table,
  devices,
  dry_run,
  forecast,
)
from siri_jax.config import plan as plans
from siri_jax.data import workload
from siri_jax.runtime import terminal

# The settings that decide which files a run reads.
FILES = (
  *('task', 'task_kw', 'max_prompt_tokens', 'policy', 'model_path', 'model_kw'),
)
HEADS = ('run', 'steps', 'tokens', 'time', 'disk')


def text(found):
  """A line for each run, and their sum; writes and fetches nothing.

  Args:
    found: list of grid.Run.
  Raises:
    ValueError: the plan or the files of a run are invalid; lists all faults.
  """
  rows, whole, works = [], [], {}
  for run in found:
    key = repr([run.config[name] for name in FILES])
    if key not in works:
      works[key] = workload.of(run.config)
    device = devices.planned(run.config)
    lengths, _ = cost_table.natural(run.config.uncapped_length_kw)
    plan = plans.make(run.config)
    cost = forecast.of(plan, works[key], lengths, device)
    tokens = cost.training.tokens + cost.evaluation.tokens
    whole.append([tokens, *cost.secs['all'], *cost.hours, cost.disk])
    done = run_folders.steps_done(run.folder)
    steps = f'{done:,}', f'{run.config.total_steps:,}'
    rows.append([run.name, '/'.join(steps), *_cells(whole[-1])])
  total = np.sum(whole, axis=0)
  rows.append([f'{len(found)} runs', '', *_cells(total)])
  align = ('left', *['right'] * (len(HEADS) - 1))
  shown = tabulate.tabulate(rows, HEADS, disable_numparse=True, colalign=align)
  hours = f', {dry_run.hours(total[3:5])} GPU hours in all' * device.gpu
  notes = (
    'Times are of whole runs, one after another, on '
    f'{dry_run.place(cost, device)}{hours}. The dry run of a single run states '
    'the assumptions:'
  )
  one = [*found[0].arguments, '--dry_run']
  one = command_line.typed('siri_jax.main', one)
  return '\n\n'.join([shown, textwrap.fill(notes, dry_run.COLUMNS), one])


def refusals(found):
  """Why runs of valid settings would be refused; see build.refusals."""
  return [
    f'{run.name}: {line}'
    for run in found
    for line in build.refusals(run.config, run.folder, ())
  ]


def _cells(numbers):
  """Tokens, time and disk as text."""
  tokens, low, high, *_, disk = numbers
  time = dry_run.between((low, high))
  return terminal.short(tokens), time, dry_run.size(disk)
