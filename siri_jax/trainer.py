"""The loop: cap, samples, grades, rewards, advantages, update, push."""

import contextlib
import functools

import jax
import numpy as np

from siri_jax.algorithm import losses, metrics, packing, update
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
      advantages = np.asarray(find['advantage'](rewards, batch)).reshape(-1)
      if c.off_policy_steps and step + 1 < c.total_steps:
        sampling.start(step + 1, following.tokens, Stopwatch())
      ctx.processes.broadcast(
        distributed.BATCH, **distributed.encode_batch(samples, advantages)
      )
      state, totals = train_on_batch(ctx, state, samples, advantages)
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
  while True:
    word, given = ctx.processes.receive()
    match word:
      case distributed.BATCH:
        state, _ = train_on_batch(ctx, state, *distributed.decode_batch(given))
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


def train_on_batch(ctx, state, samples, advantages):
  """The optimiser steps of one batch.

  Args:
    ctx: context.TrainContext.
    state: types.TrainState; its memory is donated.
    samples: list of B types.Tokens.
    advantages: float32 [B].
  Returns:
    The new state, and the metrics of update.merge_metrics as floats.
  """
  c = ctx.plan.c
  ctx.terminal.working('updating')
  minibatches, read = read_batch(ctx, state.params, samples, advantages)
  unread = 1 + len(minibatches) - len(read)
  seen, rounds = [], [*range(len(minibatches))] * c.epochs
  for number, i in enumerate(rounds):
    own = np.bool_(number == 0 and not (c.off_policy_steps or ctx.plan.offline))
    last = np.bool_(number == len(rounds) - 1)
    state, found = ctx.programs.update(state, *minibatches[i], own, last)
    ctx.terminal.working('updating', number + 1, len(rounds))
    seen.append(found)
  seen, read = jax.device_get((seen, read))
  # A mini-batch that was not read is measured by its first update.
  read += [{name: found[name] for name in read[0]} for found in seen[:unread]]
  totals = update.merge_metrics(seen, read, c.epochs)
  return state, {name: float(value) for name, value in totals.items()}


def read_batch(ctx, params, samples, advantages):
  """The mini-batches of a batch, read by the policy before any update.

  Args:
    ctx: context.TrainContext.
    params: the policy's parameters.
    samples: list of B types.Tokens.
    advantages: float32 [B].
  Returns:
    A list of what `minibatch` returns, with old log-probabilities where the
    update does not find them itself; and a list of the sums that
    update.compute_logprobs gave: over the samples without a gradient, then
    over each mini-batch that it had to read.
  """
  c, plan, size = ctx.plan.c, ctx.plan, ctx.plan.minibatch
  # A group of equal rewards has no gradient; only its entropy is computed.
  learned = advantages != 0 if plan.rests else np.ones(plan.samples, bool)
  idle = idle_rows(ctx, [samples[i] for i in np.flatnonzero(~learned)])
  _, found = ctx.programs.logprobs(params, *idle)
  if not np.isfinite(found['entropy_sum']):
    # If the entropy is not finite, the update skips and counts the step.
    learned = np.ones(plan.samples, bool)
  minibatches, read = [], [found]
  for i in range(0, plan.samples, size):
    part = slice(i, i + size)
    rows, count, denom = minibatch(
      ctx, samples[part], advantages[part], learned[part]
    )
    if c.off_policy_steps:
      # Older weights sampled, so their log-probabilities are the old ones.
      rows = rows.replace(old_logp=rows.extra['sampler_logp'])
    elif (i or c.epochs > 1) and not plan.offline:
      # The first update has the policy that sampled, so its forward pass gives
      # the old log-probabilities. Later updates need them from before it.
      old, found = ctx.programs.logprobs(params, rows, count)
      rows = rows.replace(old_logp=old)
      read.append(found)
    minibatches.append((rows, count, denom))
  return minibatches, read


def idle_rows(ctx, samples):
  """Samples without gradient, as packed rows and micro-batches in use."""
  rows, count = packing.pack(
    samples,
    np.ones(len(samples), np.float32),
    np.zeros(len(samples), np.float32),
    ctx.packing,
    capacity=ctx.plan.samples * ctx.plan.most_chunks,
    extra=('sampler_logp',),
    together=ctx.plan.together,
  )
  return ctx.place(rows), np.int32(count)


def minibatch(ctx, samples, advantages, learned):
  """One optimiser step's samples as packed rows, and their denominator.

  Args:
    ctx: context.TrainContext.
    samples: the mini-batch's types.Tokens; the denominator counts all.
    advantages: float32, one for each sample.
    learned: bool, one for each sample, whether it is packed.
  Returns:
    types.PackedBatch on the devices, int32 [] micro-batches in use, float32 [].
  """
  plan = ctx.plan
  lengths = np.asarray([s.chosen for s in samples], np.int32)
  weights, denom = plan.find['aggregation'](lengths)
  rows, count = packing.pack(
    [samples[i] for i in np.flatnonzero(learned)],
    np.asarray(weights)[learned],
    advantages[learned],
    ctx.packing,
    capacity=plan.minibatch * plan.most_chunks,
    extra=sorted({*plan.extra, 'sampler_logp'} - {*losses.COMPUTED}),
    together=plan.together,
  )
  rows, count = ctx.place(rows), np.int32(count)
  denom = np.float32(denom)  # Of numpy: with several hosts, on no device.
  if 'ref_logp' in rows.extra:
    ref, _ = ctx.programs.logprobs(ctx.start, rows, count)
    rows = rows.replace(extra={**rows.extra, 'ref_logp': ref})
  return rows, count, denom


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
