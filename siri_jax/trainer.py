"""The loop: cap, samples, grades, rewards, advantages, update, push."""

import contextlib

import jax
import numpy as np

from siri_jax import types
from siri_jax.algorithm import metrics, packing, update
from siri_jax.data import shuffling
from siri_jax.rollout import engines as samplers
from siri_jax.rollout import graded
from siri_jax.rollout.prefetch import RolloutPrefetcher
from siri_jax.runtime import alarms, distributed, files
from siri_jax.runtime.stopwatch import StopRequested, Stopwatch


class DivergedError(RuntimeError):
  """Too many updates in a row were not finite."""


def train(world, state, tokens):
  """Trains to the end, or until a signal asks to stop.

  Args:
    world: context.TrainContext, all that the loop talks to.
    state: types.TrainState to go on from.
    tokens: response tokens trained on so far.
  Returns:
    The last state, which is saved.
  Raises:
    DivergedError: max_skipped optimiser steps in a row were not finite.
    OSError: a record or a checkpoint could not be written.
  """
  c, plan, steps = world.plan.c, world.plan, world.steps
  find = plan.find
  world.push(state.params, int(state.step))
  # Whatever a signal breaks off here is a function of the step and is done
  # again, to the bit, by who goes on.
  sampling = RolloutPrefetcher(lambda *step: collect(world, *step))
  with contextlib.suppress(StopRequested), contextlib.closing(sampling):
    if not world.measured(int(state.step)):
      evaluate_and_save(world, state, tokens)
    for step in range(int(state.step), c.total_steps):
      world.signals.heed()
      watch, before = Stopwatch(), world.counts()
      cap = int(steps.cap(np.int32(step)))
      groups = sampling.take(step, cap, watch)
      samples = [s for g in groups for s in g.samples]
      batch = make_batch(groups, cap)
      rewards = np.asarray(find['reward'](batch)).reshape(
        c.prompts_per_step, c.group_size
      )
      advantages = np.asarray(find['advantage'](rewards)).reshape(-1)
      if c.off_policy_steps and step + 1 < c.total_steps:
        sampling.begin(
          step + 1, int(steps.cap(np.int32(step + 1))), Stopwatch()
        )
      world.team.tell(
        distributed.LESSON, **distributed.encode_batch(samples, advantages)
      )
      state, totals = train_on_batch(world, state, samples, advantages)
      watch.lap('update')
      sampling.settle()
      watch.lap('rollout')
      world.push(state.params, step + 1)
      watch.lap('push')
      told = metrics.of_samples(batch, rewards)
      tokens += told['tokens']
      world.write_step(
        {
          'step': step,
          'cap': cap,
          **told,
          **metrics.of_update(totals),
          **metrics.counted(before, world.counts()),
          'tokens_so_far': tokens,
          'weight_version': samples[0].spans[0][0],
          'skipped': int(state.skipped),
          **watch.seconds(told['tokens']),
        }
      )
      write_rollouts(world, step, groups, rewards, advantages)
      raise_alarms(world)
      check_divergence(world, state)
      evaluate_and_save(world, state, tokens)
  world.save(state, tokens)
  world.checkpoints.finish()
  return state


def follow(world, state):
  """What the loop is in the processes that are told what to do.

  Args:
    world: context.TrainContext of one that is not the first.
    state: types.TrainState to go on from.
  Raises:
    distributed.RunEndedError: the first process has ended the run; the only way
      out.
    OSError: a checkpoint could not be written.
  """
  while True:
    word, given = world.team.hear()
    match word:
      case distributed.LESSON:
        state, _ = train_on_batch(
          world, state, *distributed.decode_batch(given)
        )
      case 'push':
        world.push(state.params, int(given['version']))
      case 'save':
        world.save(state, int(given['tokens']))


def collect(world, step, cap, watch):
  """The step's groups: prompts, samples, grades.

  Args:
    world: context.TrainContext.
    step: index of the step.
    cap: L(step), tokens.
    watch: stopwatch.Stopwatch.
  Returns:
    list of types.Group, one for each prompt of a step.
  """
  c, version = world.plan.c, world.version
  at_sampler = c.cap_at == 'sampler'
  sampling = samplers.SamplingParams(
    n=c.group_size,
    cap=cap if at_sampler else int(world.plan.caps.max()),
    temperature=c.temperature,
    top_p=c.top_p,
    top_k=c.top_k,
    seeds=(c.seed, samplers.TRAINING, step),
  )

  def gather(number):
    problems = (
      shuffling.extra_problems(world.order, step, number)
      if number
      else shuffling.step_problems(world.order, step)
    )
    groups = graded.sample_groups(
      world, problems, sampling, 'sampling', cap=cap, watch=watch
    )
    check_samples(groups, sampling, version)
    return groups

  return world.plan.find['collect'](gather)


def make_batch(groups, cap):
  """What reward functions see, as types.Batch of numpy arrays [B]."""
  samples = [s for g in groups for s in g.samples]
  verdicts = [v for g in groups for v in g.verdicts]
  sizes = [len(g.samples) for g in groups]
  length = np.asarray([s.response_ids.size for s in samples], np.int32)
  cut = np.asarray([s.finish_reason == 'length' for s in samples])
  return types.Batch(
    group=np.repeat(np.arange(len(groups), dtype=np.int32), sizes),
    length=length,
    correct=np.asarray([v.correct for v in verdicts]),
    answered=np.asarray([v.extracted != '' for v in verdicts]),
    truncated=cut | (length > cap),
    cap=np.int32(cap),
  )


def write_rollouts(world, step, groups, rewards, advantages):
  """Writes a step's samples, what each was worth too, where they are kept."""
  if not world.writes_rollouts(step):
    return
  columns = zip(groups, rewards, advantages.reshape(rewards.shape), strict=True)
  rows = [
    row
    for group, reward, advantage in columns
    for row in graded.rows(
      group,
      world.task,
      step,
      reward=reward,
      advantage=advantage,
      response_ids=[sample.response_ids for sample in group.samples],
    )
  ]
  world.folder.write_rollouts(step, rows)


def train_on_batch(world, state, samples, advantages):
  """The optimiser steps of one batch.

  Args:
    world: context.TrainContext.
    state: types.TrainState; its memory is given away.
    samples: list of B types.Sample.
    advantages: float32 [B].
  Returns:
    The new state, and the metrics of update.merge_metrics as floats.
  """
  c, plan, size = world.plan.c, world.plan, world.plan.minibatch
  world.screen.working('updating')
  # A group of equal rewards has no gradient: it is read, not learned from.
  learned = advantages != 0 if plan.rests else np.ones(plan.samples, bool)
  idle = idle_rows(world, [samples[i] for i in np.flatnonzero(~learned)])
  read = jax.device_get(world.steps.entropy(state.params, *idle))
  if not np.isfinite(read['entropy_sum']):
    # A policy that cannot be read is for the update to skip, and to count.
    learned, read = np.ones(plan.samples, bool), {}
  minibatches = [
    minibatch(world, samples[part], advantages[part], learned[part])
    for part in (slice(i, i + size) for i in range(0, plan.samples, size))
  ]
  # The first optimiser step is the policy that sampled: its own
  # log-probabilities are the old ones. Later ones need them from before it.
  for i, (rows, count, _) in enumerate(minibatches):
    if c.off_policy_steps:
      # Older weights sampled: theirs are the probabilities to compare with.
      old = rows.extra['sampler_logp']
    elif i or c.epochs > 1:
      old = world.steps.logprobs(state.params, rows, count)
    else:
      continue
    minibatches[i] = (rows.replace(old_logp=old), *minibatches[i][1:])
  seen, rounds = [], [*range(len(minibatches))] * c.epochs
  for number, i in enumerate(rounds):
    own = np.bool_(number == 0 and not c.off_policy_steps)
    last = np.bool_(number == len(rounds) - 1)
    state, found = world.steps.update(state, *minibatches[i], own, last)
    world.screen.working('updating', number + 1, len(rounds))
    seen.append(found)
  totals = update.merge_metrics(jax.device_get(seen))
  totals |= update.add_metrics(read, totals)
  return state, {name: float(value) for name, value in totals.items()}


def idle_rows(world, samples):
  """Samples that are only read, as packed rows and micro-batches in use."""
  rows, count = packing.pack(
    samples,
    np.ones(len(samples), np.float32),
    np.zeros(len(samples), np.float32),
    world.fit,
    capacity=world.plan.samples,
    extra=('sampler_logp',),
  )
  return world.place(rows), np.int32(count)


def minibatch(world, samples, advantages, learned):
  """One optimiser step's samples as packed rows, and their denominator.

  Args:
    world: context.TrainContext.
    samples: the mini-batch's types.Sample, all of which the denominator
      counts.
    advantages: float32, of each.
    learned: bool, of each, whether it is packed.
  Returns:
    types.PackedBatch on the devices, int32 [] micro-batches in use, float32 [].
  """
  plan = world.plan
  lengths = np.asarray([s.response_ids.size for s in samples], np.int32)
  weights, denom = plan.find['aggregation'](lengths)
  rows, count = packing.pack(
    [samples[i] for i in np.flatnonzero(learned)],
    np.asarray(weights)[learned],
    advantages[learned],
    world.fit,
    capacity=plan.minibatch,
    extra=sorted({*plan.extra, 'sampler_logp'} - {'entropy'}),
  )
  rows, count = world.place(rows), np.int32(count)
  denom = np.float32(denom)  # No device's own, where there are several hosts.
  if 'ref_logp' in rows.extra:
    ref = world.steps.logprobs(world.start, rows, count)
    rows = rows.replace(extra={**rows.extra, 'ref_logp': ref})
  return rows, count, denom


def evaluate_and_save(world, state, tokens):
  """Held-out sets, checkpoint and picture, where the plan has one now."""
  done = int(state.step)
  if done in world.plan.evals:
    world.folder.rewind('eval', done - 1)  # One that was broken off.
    for name, record, rows in graded.evaluate_held_out(world, done):
      world.folder.append('eval', {**record, 'tokens': tokens})
      world.folder.write_evaluation(done, name, rows)
      world.tell_evaluation(record)
  if done in world.plan.checkpoints:
    world.save(state, tokens)
  world.checkpoints.check()
  world.draw(done)


def check_samples(groups, sampling, version):
  """Raises on samples that the step did not ask for, naming each kind.

  Raises:
    ValueError: weights of another version, too many tokens, a group of
      another size, or an index twice.
  """
  samples = [s for g in groups for s in g.samples]
  indices = [sorted(s.index for s in g.samples) for g in groups]
  wrong = {
    f'not written by weight version {version}': sum(
      {v for v, _, _ in s.spans} != {version} for s in samples
    ),
    f'longer than {sampling.cap} tokens or empty': sum(
      not 0 < s.response_ids.size <= sampling.cap for s in samples
    ),
    f'in groups that are not of {sampling.n}': sum(
      len(i) for i in indices if i != list(range(sampling.n))
    ),
  }
  if any(wrong.values()):
    listed = '; '.join(f'{n} {what}' for what, n in wrong.items() if n)
    raise ValueError(f'the sampler gave samples that cannot be used: {listed}')


def raise_alarms(world):
  """Tells of each alarm that the newest step has raised."""
  limits = world.plan.c.alarms_kw
  path = world.folder.path / 'metrics.jsonl'
  records = files.read_records(path)[-2 * limits.window - 1 :]
  before = alarms.raised(records[:-1], **limits)
  for name, told in alarms.raised(records, **limits).items():
    if name not in before:
      step = records[-1]['step']
      world.folder.event('alarm', name=name, step=step, told=told)
      world.screen.say(f'ALARM at step {step}: {told}')


def check_divergence(world, state):
  """Notes skipped updates, and ends the run after too many in a row."""
  in_row = int(state.skipped_in_row)
  if not in_row:
    return
  world.folder.event('update_skipped', step=int(state.step) - 1, in_row=in_row)
  world.screen.say(
    f'step {int(state.step) - 1}: loss or gradient not finite; parameters and '
    f'optimiser left as they were ({in_row} optimiser steps in a row)'
  )
  if in_row >= world.plan.c.max_skipped:
    raise DivergedError(
      f'{in_row} optimiser steps in a row had a loss or gradient that is not '
      f'finite (max_skipped={world.plan.c.max_skipped}). The parameters are '
      'those from before; look at the last records of metrics.jsonl and lower '
      'learning_rate.'
    )
