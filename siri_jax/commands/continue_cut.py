"""Continues training samples that the cap cut, and grades them.

  python -m siri_jax.commands.continue_cut --config=configs/quickstart.py
    [--workdir=RUN] [--samples=64] [--config.KEY=VALUE ...]

It picks --samples samples from RUN/rollouts that the cap cut and that got no
reward, about equally many from each step. The config's engine continues them up
to the schedule's highest cap, with the weights of the nearest checkpoint. The
samples are written to RUN/continued; the same command continues an interrupted
one. Exit status as siri_jax.main's.
"""

import contextlib
import dataclasses
import pathlib
import sys

import numpy as np
import tabulate

from siri_jax import build, context, types
from siri_jax.analysis import runs
from siri_jax.config import command_line, schema
from siri_jax.config import plan as plans
from siri_jax.data import load
from siri_jax.evaluation import weights
from siri_jax.grading import pass_at_k
from siri_jax.rollout import budgets, engines, graded, placement
from siri_jax.runtime import (
  checkpoint,
  files,
  run_folder,
  stopwatch,
  terminal,
  xla_flags,
)
from siri_jax.runtime.exit_status import DONE, refuse


class Continuing:
  """An engine that continues responses of one length."""

  def __init__(self, engine, begun):
    """Wraps an engine; `begun` maps problem ids to int32 response ids."""
    self._engine, self._begun = engine, begun

  def sample(self, prompts, sampling, progress):
    """Yields groups of complete responses; see engines.Engine."""
    begun = [self._begun[prompt.problem_id] for prompt in prompts]
    longer = [
      dataclasses.replace(
        prompt,
        ids=np.concatenate([prompt.ids, ids]),
        cap=sampling.cap_of(prompt) - ids.size,
      )
      for prompt, ids in zip(prompts, begun, strict=True)
    ]
    for samples in self._engine.sample(longer, sampling, progress):
      yield [self._whole(sample) for sample in samples]

  def _whole(self, sample):
    begun = self._begun[sample.problem_id]
    return dataclasses.replace(
      sample,
      prompt_ids=sample.prompt_ids[: -begun.size],
      response_ids=np.concatenate([begun, sample.response_ids]),
    )


def define(add):
  """This program's own flags."""
  add.add_argument(
    '--samples', type=int, default=64, help='samples to continue; 64'
  )


def main(argv):
  """Runs the command line and returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  c, workdir = asked.config, pathlib.Path(asked.workdir)
  try:
    if not schema.faults(c):
      xla_flags.set_up(c.cache_dir)
      placement.reserve(c, trains=False)
    plan = plans.make(c)
    if c.budget != 'step_cap':
      raise ValueError(
        f'budget={c.budget!r}: the samples of a run with another budget than '
        "'step_cap' cannot be continued, because their caps and prompts differ"
      )
    cut = cut_samples(workdir, highest=plan.highest)
    task, _ = load.read(c)
    if asked.faults:
      raise ValueError('\n'.join(asked.faults))
    folder = open_folder(workdir / 'continued', asked)
  except (ValueError, OSError, run_folder.RunFolderError) as error:
    return refuse(str(error).splitlines(), asked.source)
  with contextlib.ExitStack() as stack:
    stack.enter_context(folder)
    screen = stack.enter_context(terminal.Terminal(0))
    signals = stack.enter_context(
      stopwatch.Signals(screen.say, secs=c.limits_kw.stop_secs)
    )
    try:
      graders = stack.enter_context(build.make_graders(c))
      ctx = context.Context(task, folder, screen, signals, graders=graders)
      folder.start(0)
      share = -(-asked.flags.samples // len(cut))
      for step, rows in cut.items():
        if not samples_of(folder, step).exists():
          signals.raise_if_stopped()
          found = nearest(c, workdir, step)
          go_on(ctx, plan, found, step, chosen(c, step, rows, share))
    except stopwatch.StopRequested as stop:
      screen.say('finished steps are written; the same command continues')
      return 128 + stop.args[0]
    except (ValueError, OSError) as error:
      return refuse(str(error).splitlines(), workdir)
    screen.say(summary(folder, cut))
  return DONE


def cut_samples(workdir, highest):
  """Step -> rows of samples without reward, cut by a cap below the highest.

  Raises:
    ValueError: there are none, or they have no token ids.
  """
  found = {}
  for path in sorted((workdir / 'rollouts').glob('*.jsonl.gz')):
    rows = [
      row
      for row in runs.read_rows(path)
      if row['finish_reason'] == 'length'
      and not row['correct']
      and row['length'] < highest
    ]
    if rows:
      found[rows[0]['step']] = rows
    if any('response_ids' not in row for row in rows):
      raise ValueError(
        f'{path} has no response_ids; it is from a run of an older version'
      )
  if not found:
    raise ValueError(
      f'{workdir / "rollouts"}: no sample cut by a cap below {highest} tokens'
    )
  return found


def open_folder(path, asked):
  """The folder of the results, locked to their settings."""
  c = asked.config
  settings = {
    'samples': asked.flags.samples,
    'schedule_kw': c.schedule_kw.to_dict(),
    'temperature': c.temperature,
    'top_p': c.top_p,
    'top_k': c.top_k,
    'seed': c.seed,
    'grading_rule': c.grading_rule,
    'grading_rule_kw': c.grading_rule_kw.to_dict(),
  }
  return run_folder.RunFolder(
    path,
    settings,
    source=asked.source,
    overrides=asked.overrides,
    allow_change=None,
  )


def samples_of(folder, step):
  """Path of a step's continued samples."""
  return folder.path / f'{step:06d}.jsonl.gz'


def chosen(c, step, rows, share):
  """`share` of a step's samples, drawn with the run's seed."""
  draw = np.random.default_rng([c.seed, engines.SeedPurpose.CONTINUING, step])
  return [rows[i] for i in sorted(draw.permutation(len(rows))[:share])]


def go_on(ctx, plan, found, step, rows):
  """Continues samples of a step and writes the results.

  Args:
    ctx: context.Context without an engine.
    plan: plan.Plan.
    found: weights.Weights to sample with.
    step: index of the samples' step.
    rows: their records, all of one length.
  """
  c, highest = plan.c, plan.highest
  begun, problems = {}, []
  for row in rows:
    key = f'{step:06d}/{row["problem_id"]}/{row["index"]}'
    begun[key] = np.asarray(row['response_ids'], np.int32)
    problems.append(types.Problem(key, row['problem'], row['answer'], ''))
  sampling = engines.SamplingParams(
    n=1,
    cap=highest,
    temperature=c.temperature,
    top_p=c.top_p,
    top_k=c.top_k,
    seeds=(c.seed, engines.SeedPurpose.CONTINUING, step),
  )
  with weights.engine(
    found,
    ctx.task,
    ctx.terminal,
    ctx.signals,
    requests=len(problems),
    prompt_tokens=c.max_prompt_tokens + highest,
    longest=highest,
    server_logs=ctx.run_folder.path / 'servers',
  ) as engine:
    ctx = dataclasses.replace(ctx, engine=Continuing(engine, begun))
    word, watched = f'continuing step {step}', stopwatch.Stopwatch()
    groups = graded.sample_groups(
      ctx,
      problems,
      sampling,
      word,
      budget=budgets.step_cap,
      cap=highest,
      watch=watched,
    )
  kept = []
  for group in groups:
    columns = {
      'cut_at': [begun[group.problem.id].size],
      'weights': [found.done],
      'response_ids': [group.samples[0].response_ids],
    }
    kept += graded.rows(group, ctx.task, step, **columns)
  ctx.run_folder.write_rows(f'{step:06d}', kept)


def nearest(c, workdir, step):
  """The checkpoint nearest to the weights that sampled a step.

  Raises:
    ValueError: the run has none.
  """
  folder = workdir / 'checkpoints'
  there = checkpoint.finished(folder)
  if not there:
    raise ValueError(f'{folder} has no checkpoint to sample with')
  done = min(there, key=lambda at: (abs(at - step), at))
  return weights.Weights(f'{done:06d}', c, done, str(folder))


def summary(folder, cut):
  """The results step by step as text; also writes results.json."""
  records = []
  for step, rows in cut.items():
    found = runs.read_rows(samples_of(folder, step))
    right, error = pass_at_k.mean_and_error([row['correct'] for row in found])
    records.append(
      {
        'step': step,
        'cap': rows[0]['length'],
        'cut': len(rows),
        'continued': len(found),
        'right': sum(row['correct'] for row in found),
        'right_frac': right,
        'right_frac_se': error,
        'tokens': float(np.mean([row['length'] for row in found])),
        'weights': found[0]['weights'],
      }
    )
  files.write_json(folder.path / 'results.json', {'steps': records})
  headers = [key for key in records[0] if key != 'right_frac_se']
  table = [[row[key] for key in headers] for row in files.plain(records)]
  continued = sum(record['continued'] for record in records)
  right = sum(record['right'] for record in records)
  cuts = [record['cut'] for record in records]
  share = np.average([r['right_frac'] for r in records], weights=cuts)
  return '\n'.join(
    [
      tabulate.tabulate(table, headers, floatfmt='.3g'),
      f'\n{right} of {continued} samples that were cut and got no reward are '
      'right under the highest cap; weighted by the cut samples of each step, '
      f'{100 * share:.1f} %. The weights are those of the nearest checkpoint.',
    ]
  )


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
