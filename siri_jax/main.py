"""Flags -> config -> plan -> train.

  python -m siri_jax.main --config=configs/quickstart.py [--workdir=DIR]
    [--config.KEY=VALUE ...] [--allow_change=KEY,KEY]
    [--dry_run [--verbose] [--natural_lengths=RUN]]

Exit status: 0 done, 1 an error of the program, 2 refused (config, files or
folder), 3 diverged, 4 no progress (watchdog.py), 5 a file could not be written,
6 no vLLM server responds, 128 + n ended by signal n. After the last four, the
same command resumes the run.
"""

import contextlib
import gc
import os
import sys

import jax
import numpy as np

from siri_jax import build, trainer
from siri_jax.analysis import paper_table, run_table, runs
from siri_jax.config import command_line, schema
from siri_jax.config import plan as plans
from siri_jax.data import load
from siri_jax.models import decoder
from siri_jax.models.hf import initial
from siri_jax.offline import training_set
from siri_jax.rollout import http_client, placement, rewarded
from siri_jax.runtime import (
  distributed,
  run_folder,
  stopwatch,
  terminal,
  writers,
  xla_flags,
)
from siri_jax.runtime.exit_status import (
  DIVERGED,
  DONE,
  REFUSED,
  UNSERVED,
  UNWRITTEN,
  refuse,
)


def main(argv):
  """Runs the command line and returns the exit status."""
  # By default the garbage collector starts at every 700 new objects, which
  # takes a twelfth of the time until the first step.
  gc.set_threshold(50_000)
  asked = command_line.parse(argv, command_line.define_run, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  c = asked.config
  if asked.faults or schema.faults(c):
    found = asked.faults + plans.faults(c) + load.faults(c)
    return refuse(found, asked.source)
  xla_flags.set_up(c.cache_dir)  # Before a plan uses JAX.
  if asked.flags.dry_run:
    return show(asked)
  if more := [
    n for n in ('verbose', 'natural_lengths') if getattr(asked.flags, n)
  ]:
    return refuse(
      [f'--{n} needs --dry_run; add it' for n in more], asked.source
    )
  try:
    placement.reserve(c, trains=True)
    team = distributed.join(c.hosts_kw)
  except ValueError as error:
    return refuse(str(error).splitlines(), asked.source)
  with team:
    return team.end(lead(asked, team) if team.first else follow(asked, team))


def show(asked):
  """Prints the report of --dry_run and returns the exit status."""
  from siri_jax import api  # Here, because its tables load pandas.

  c, flags = asked.config, asked.flags
  try:
    print(api.dry_run(c, flags.natural_lengths, flags.verbose), flush=True)
  except (ValueError, OSError) as error:
    return refuse(str(error).splitlines(), asked.source)
  wrong = build.refusals(c, asked.workdir, flags.allow_change)
  return refuse(wrong, f'a run of {asked.source}') if wrong else DONE


def alike(asked):
  """The values that must be equal in all processes, as text by name."""
  given = {
    **run_folder.flatten(asked.config.to_dict()),
    'workdir': os.path.realpath(asked.workdir),
    'jax': jax.__version__,
  }
  own = ('hosts_kw.index', 'cache_dir')  # A node may have a local disk.
  return {name: repr(x) for name, x in given.items() if name not in own}


def lead(asked, team):
  """Runs process 0, or the only process; returns the exit status."""
  try:
    team.barrier(distributed.START, alike(asked))
    plan, task, dropped = build.prepare(asked.config)
    folder = build.open_folder(
      asked.workdir,
      plan.c,
      source=asked.source,
      overrides=asked.overrides,
      allow_change=asked.flags.allow_change,
    )
  except (ValueError, OSError, run_folder.RunFolderError) as error:
    return refuse(str(error).splitlines(), asked.source)
  with folder, terminal.Terminal(plan.c.total_steps) as screen:
    if dropped:
      screen.say(
        f'{dropped} prompts over {plan.c.max_prompt_tokens} tokens dropped'
      )
    again = command_line.typed('siri_jax.main', asked.arguments)
    return run(plan, task, folder, screen, team, again)


def outline(plan, task, path, again):
  """What a run is: task, model, device, folder, and how to resume it.

  Args:
    plan: plan.Plan.
    task: types.Task.
    path: the run's folder.
    again: the command that resumes it.
  """
  shape = initial.shape_of(plan.c, task.vocab)
  size = terminal.short(decoder.param_count(shape))
  devices, times = jax.devices(), len(plan.evals)
  evals = f', {times} evaluations of {", ".join(task.evals)}' * bool(task.evals)
  watch = command_line.typed(
    'siri_jax.commands.report', [str(path), '--follow']
  )
  curves = writers.commands(
    plan.c.writers, path, project=plan.c.writers_kw.project
  )
  return '\n'.join(
    [
      *([f'task: {task.about}'] * bool(task.about)),
      f'model: {size} parameters ({plan.c.policy}), {shape.layers} layers of '
      f'width {shape.dim}',
      f'devices: {len(devices)} * {devices[0].device_kind}',
      f'folder: {path}, {plan.c.total_steps:,} steps{evals}; to watch it:',
      *(f'  {command}' for command in (watch, *curves)),
      'to stop: Ctrl-C, which saves; to resume:',
      f'  {again}',
    ]
  )


def closing(path, model_path):
  """The lines of a finished run: its tables, and what to do with it."""
  path, beside = str(path), paper_table.of_run(path, model_path)
  to_do = {
    'report': [path],
    'figures': [path, '--out=figures'],
    'export': [f'--run={path}'],
  }
  return '\n'.join(
    [
      run_table.text([path]),
      *[beside] * bool(beside),
      '',
      f'{path} is complete: {spent(path)}. To read it, or take its policy:',
      *(
        f'  {command_line.typed(f"siri_jax.commands.{name}", words)}'
        for name, words in to_do.items()
      ),
      'To train again, delete the folder or name another with --workdir.',
    ]
  )


def spent(path):
  """The steps, time and tokens of a run as text."""
  run = runs.read(path)
  secs, tokens = (
    float(np.nansum(run.column(name))) for name in ('step_secs', 'tokens')
  )
  speed = f', {tokens / secs:,.0f} tok/s' if secs else ''
  return (
    f'{run.last:,} steps in {terminal.duration(secs)}, '
    f'{terminal.short(tokens)} tokens{speed}'
  )


def follow(asked, team):
  """Runs a process other than 0; returns the exit status of process 0."""
  try:
    with contextlib.ExitStack() as stack:
      try:
        team.barrier(distributed.START, alike(asked))
        plan, task, _ = build.prepare(asked.config)
        silence = stack.enter_context(open(os.devnull, 'w'))
        screen = terminal.Terminal(plan.c.total_steps, silence)
        parts = build.open_follower(
          plan, task, asked.workdir, stack.enter_context(screen), team
        )
        ctx, state = stack.enter_context(parts)
      except (ValueError, OSError) as error:
        return refuse(str(error).splitlines(), asked.workdir)
      trainer.follow(ctx, state)
  except distributed.RunEndedError as ended:
    return ended.status


def run(plan, task, folder, screen, team, again):
  """Trains in an open folder, prints the outcome, returns the exit status."""
  try:
    with contextlib.ExitStack() as stack:
      try:
        screen.say(outline(plan, task, folder.path, again))
        parts = build.open_run(plan, task, folder, screen, team)
        ctx, state, done = stack.enter_context(parts)
      except stopwatch.StopRequested as stop:
        screen.say(f'saved; to resume:\n  {again}')
        return 128 + stop.args[0]
      except http_client.ServerError:
        raise
      except (ValueError, OSError, run_folder.RunFolderError) as error:
        return refuse(str(error).splitlines(), folder.path)
      state = trainer.train(ctx, state, done)
  except rewarded.RewardError as error:
    screen.say(
      f'{error}\nThe run is saved before this step. Correct the function; to '
      f'resume with it: {again} --allow_change=text_rewards.{error.name}'
    )
    return REFUSED
  except training_set.TrainingSetError as error:
    return refuse(str(error).splitlines(), folder.path)
  except trainer.DivergedError as error:
    screen.say(str(error))
    return DIVERGED
  except http_client.ServerError as error:
    screen.say(str(error))
    return UNSERVED
  except OSError as error:
    screen.say(
      f'{error}\nNothing more can be written there. Free space or repair the '
      'disk; the same command resumes from the newest valid checkpoint.'
    )
    return UNWRITTEN
  if ctx.signals.asked:
    screen.say(f'saved at step {int(state.step)}; to resume:\n  {again}')
    return 128 + ctx.signals.asked
  screen.say(closing(folder.path, plan.c.model_path))
  return DONE


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
