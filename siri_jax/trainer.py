"""The loop: cap, samples, grades, rewards, advantages, update, push."""

import contextlib
import functools

import numpy as np

from siri_jax import compiled, learner
from siri_jax.algorithm import metrics
from siri_jax.data import shuffling
from siri_jax.evaluation import held_out, monitor
from siri_jax.offline import training_set
from siri_jax.rollout import engines, graded, rewarded
from siri_jax.rollout.prefetch import RolloutPrefetcher
from siri_jax.runtime import alarms, distributed, files, progress
from siri_jax.runtime.stopwatch import StopRequested, Stopwatch


class DivergedError(RuntimeError):
  """Too many updates in a row were not finite."""


def train(ctx, state, done):
  """Trains to the end, or until a signal asks to stop.

  The cap of step t + 1 follows from the samples of step t, which are complete
  before step t + 1 is sampled, ahead or not.

  Args:
    ctx: context.TrainContext.
    state: types.TrainState to start from.
    done: progress.Progress to start from.
  Returns:
    The last state, which is saved.
  Raises:
    DivergedError: too many optimiser steps in a row were not finite.
    rewarded.RewardError: a text reward failed; the state is saved.
    training_set.TrainingSetError: there is no training set to learn from.
    OSError: a record or a checkpoint could not be written.
  """
  c, find = ctx.plan.c, ctx.plan.find
  ctx.push(state.params, int(state.step))
  learner.compile_ahead(ctx, state)
  # A signal may interrupt work here: it is a function of the step, and a
  # resumed run repeats it bit for bit.
  with contextlib.suppress(StopRequested), contextlib.ExitStack() as stack:
    own = ctx.next_cap(int(state.step), done)
    if not ctx.measured(int(state.step), own.turn):
      evaluate_and_save(ctx, state, done, own.turn)
    sampling = RolloutPrefetcher(source(ctx, state))
    stack.callback(sampling.close)
    for step in range(int(state.step), c.total_steps):
      ctx.signals.raise_if_stopped()
      watch, before = Stopwatch(), ctx.counts()
      groups = sampling.get(step, own.tokens, watch)
      samples = [s for g in groups for s in g.samples]
      batch = rewarded.make_batch(groups, own.tokens)
      rewards, parts, memory = reward(ctx, state, done, own, groups, batch)
      watch.lap('grade')
      seen, tokens = metrics.summary(batch), batch.length.sum()
      later = done.after(own, seen, tokens, memory)
      following = ctx.next_cap(step + 1, later)
      advantages = compiled.evaluated(find['advantage'], rewards, batch)
      advantages = np.asarray(advantages).reshape(-1)
      if c.off_policy_steps and step + 1 < c.total_steps:
        sampling.start(step + 1, following.tokens, Stopwatch())
      ctx.processes.broadcast(
        distributed.BATCH, **distributed.encode_batch(samples, advantages)
      )
      state, totals = learner.train_on_batch(ctx, state, samples, advantages)
      watch.lap('update')
      sampling.wait()
      watch.lap('rollout')
      if not ctx.plan.offline or ctx.eval_kind(step + 1, ''):
        ctx.push(state.params, step + 1)
      watch.lap('push')
      done = later
      ctx.write_step(
        {
          'step': step,
          'cap': own.tokens,
          'phase': own.phase,
          **metrics.of_samples(batch, rewards),
          **metrics.of_rewards(parts),
          **metrics.of_update(totals),
          **metrics.counted(before, ctx.counts()),
          'tokens_so_far': done.tokens,
          'weight_version': samples[0].spans[0][0],
          'skipped': int(state.skipped),
          **watch.seconds(int(tokens)),
        }
      )
      own = following
      if ctx.writes_rollouts(step) or own.turn:
        write_rollouts(ctx, step, groups, rewards, advantages, parts)
      raise_alarms(ctx)
      check_divergence(ctx, state)
      evaluate_and_save(ctx, state, done, own.turn)
  ctx.save(state, done, own.turn)
  ctx.checkpoints.finish()
  return state


def follow(ctx, state):
  """The loop of the processes other than 0.

  Args:
    ctx: context.TrainContext of a process other than 0.
    state: types.TrainState to start from.
  Raises:
    distributed.RunEndedError: process 0 has ended the run; this always happens.
    OSError: a checkpoint could not be written.
  """
  learner.compile_ahead(ctx, state)
  while True:
    word, given = ctx.processes.receive()
    match word:
      case distributed.BATCH:
        batch = distributed.decode_batch(given)
        state, _ = learner.train_on_batch(ctx, state, *batch)
      case 'push':
        ctx.push(state.params, int(given['version']))
      case 'save':
        ctx.save(state, progress.start(), '')  # Process 0 writes its own.


def source(ctx, state):
  """(step, cap, watch) -> the step's groups: sampled, or of a training set."""
  if ctx.plan.offline:
    return training_set.steps(ctx, state)
  return functools.partial(collect, ctx)


def collect(ctx, step, cap, watch):
  """The step's groups: prompts, samples, grades.

  Args:
    ctx: context.TrainContext.
    step: index of the step.
    cap: L(step), tokens.
    watch: stopwatch.Stopwatch.
  Returns:
    list of types.Group, one for each prompt of a step.
  """
  c, version = ctx.plan.c, ctx.engine.version
  at_sampler = c.cap_at == 'sampler'
  sampling = engines.SamplingParams(
    n=c.group_size,
    cap=cap if at_sampler else ctx.plan.highest,
    temperature=c.temperature,
    top_p=c.top_p,
    top_k=c.top_k,
    seeds=(c.seed, engines.SeedPurpose.TRAINING, step),
  )

  def gather(number):
    problems = (
      shuffling.extra_problems(ctx.order, step, number)
      if number
      else shuffling.step_problems(ctx.order, step)
    )
    groups = graded.sample_groups(
      ctx,
      problems,
      sampling,
      'sampling',
      budget=ctx.plan.find['budget'],
      cap=cap,
      watch=watch,
    )
    graded.check_samples(groups, sampling, version)
    return groups

  return ctx.plan.find['collect'](gather)


def reward(ctx, state, done, own, groups, batch):
  """What rewarded.rewards returns; saves the state if a text reward fails."""
  seen = monitor.sample(ctx, own.step, done.memory)
  try:
    return rewarded.rewards(
      ctx.plan, groups, batch, own.step, done.memory, seen
    )
  except rewarded.RewardError as error:
    ctx.save(state, done, own.turn)
    ctx.checkpoints.finish()
    ctx.run_folder.event('reward_failed', step=own.step, why=str(error))
    raise


def write_rollouts(ctx, step, groups, rewards, advantages, parts):
  """Writes a step's samples with rewards and advantages."""
  columns = {
    'reward': rewards,
    'advantage': advantages.reshape(rewards.shape),
    **{f'rewards/{name}': part for name, part in parts.items()},
  }
  rows = [
    row
    for i, group in enumerate(groups)
    for row in graded.rows(
      group,
      ctx.task,
      step,
      **{name: column[i] for name, column in columns.items()},
      response_ids=[sample.response_ids for sample in group.samples],
    )
  ]
  ctx.run_folder.write_rollouts(step, rows)


def evaluate_and_save(ctx, state, done, turn):
  """Evaluates, saves a checkpoint and updates the picture, if due.

  Args:
    ctx: context.TrainContext.
    state: types.TrainState.
    done: progress.Progress.
    turn: 'compressed' or 'expanded' at a turn of the cap, else ''.
  """
  step = int(state.step)
  if kind := ctx.eval_kind(step, turn):
    ctx.run_folder.rewind('eval', step - 1)  # Drops an interrupted evaluation.
    for name, record, rows in held_out.evaluate(ctx, step, kind):
      ctx.run_folder.append('eval', {**record, 'tokens': done.tokens})
      ctx.run_folder.write_evaluation(step, name, rows)
      ctx.tell_evaluation(record)
  if turn or step in ctx.plan.checkpoints:
    ctx.save(state, done, turn)
  ctx.checkpoints.check()
  ctx.draw(step, kind)


def raise_alarms(ctx):
  """Prints and records each alarm of the newest step."""
  limits = ctx.plan.c.alarms_kw
  path = ctx.run_folder.path / 'metrics.jsonl'
  records = files.read_records(path)[-2 * limits.window - 1 :]
  before = alarms.raised(records[:-1], **limits)
  for name, message in alarms.raised(records, **limits).items():
    if name not in before:
      step = records[-1]['step']
      ctx.run_folder.event('alarm', name=name, step=step, told=message)
      at = f'{step + 1}/{ctx.plan.c.total_steps}, step {step} in the files'
      ctx.terminal.say(f'ALARM at {at}: {message}')


def check_divergence(ctx, state):
  """Records skipped updates; ends the run after too many in a row."""
  in_row = int(state.skipped_in_row)
  if not in_row:
    return
  ctx.run_folder.event(
    'update_skipped', step=int(state.step) - 1, in_row=in_row
  )
  ctx.terminal.say(
    f'step {int(state.step) - 1}: loss or gradient not finite; parameters and '
    f'optimiser are unchanged ({in_row} optimiser steps in a row)'
  )
  most = ctx.plan.c.limits_kw.max_skipped
  if in_row >= most:
    raise DivergedError(
      f'{in_row} optimiser steps in a row had a loss or gradient that is not '
      f'finite (limits_kw.max_skipped={most}). The parameters are '
      'unchanged; read the last records of metrics.jsonl and lower '
      'learning_rate.'
    )
