"""What is learned from a batch: packed rows, readings, optimiser steps."""

import jax
import numpy as np

from siri_jax.algorithm import losses, packing, update
from siri_jax.runtime import ahead

READING = ('sampler_logp',)  # Extra arrays of rows that are read alone.


def compile_ahead(ctx, state):
  """Starts to compile the programs of `train_on_batch` in threads.

  Args:
    ctx: context.TrainContext; a call of its programs waits for them.
    state: types.TrainState of the first batch.
  """
  plan, programs, count = ctx.plan, ctx.programs, np.int32(0)

  def blank(most, extra):
    rows, _ = packed(ctx, [], [], [], most, extra)
    return ctx.place(rows)

  rows, flag = blank(plan.minibatch, extras(plan)), np.bool_(False)
  reads = [blank(plan.samples, READING)]
  last = plan.samples - plan.minibatch
  if is_read(plan, last) or 'ref_logp' in plan.extra:
    reads.append(rows)
  reads = [(state.params, each, count) for each in reads]
  call = state, rows, count, np.float32(0), flag, flag
  with ahead.compiling() as pool:
    ctx.programs = programs._replace(
      update=ahead.Ahead(pool, programs.update, call),
      logprobs=ahead.Ahead(pool, programs.logprobs, *reads),
    )


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
  seen, rounds = [], [*range(len(minibatches))] * c.epochs
  for number, i in enumerate(rounds):
    own = np.bool_(number == 0 and not (c.off_policy_steps or ctx.plan.offline))
    last = np.bool_(number == len(rounds) - 1)
    state, found = ctx.programs.update(state, *minibatches[i], own, last)
    ctx.terminal.working('updating', number + 1, len(rounds))
    seen.append(found)
  seen, read = jax.device_get((seen, read))
  # A mini-batch that was not read is measured by its first update.
  firsts = range(0, ctx.plan.samples, ctx.plan.minibatch)
  unread = sum(not is_read(ctx.plan, first) for first in firsts)
  read += map(update.readings, seen[:unread])
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
    update.compute_logprobs gave: over the samples without a gradient, if there
    are any, then over each mini-batch that it had to read.
  """
  c, plan, size = ctx.plan.c, ctx.plan, ctx.plan.minibatch
  # A group of equal rewards has no gradient; only its entropy is computed.
  learned = advantages != 0 if plan.rests else np.ones(plan.samples, bool)
  minibatches, read = [], []
  if not learned.all():
    idle = idle_rows(ctx, [samples[i] for i in np.flatnonzero(~learned)])
    _, found = ctx.programs.logprobs(params, *idle)
    read.append(found)
    if not np.isfinite(found['entropy_sum']):
      # If the entropy is not finite, the update skips and counts the step.
      learned = np.ones(plan.samples, bool)
  for i in range(0, plan.samples, size):
    part = slice(i, i + size)
    rows, count, denom = minibatch(
      ctx, samples[part], advantages[part], learned[part]
    )
    if c.off_policy_steps:
      # Older weights sampled, so their log-probabilities are the old ones.
      rows = rows.replace(old_logp=rows.extra['sampler_logp'])
    elif is_read(plan, i):
      # The first update has the policy that sampled, so its forward pass gives
      # the old log-probabilities. Later updates need them from before it.
      old, found = ctx.programs.logprobs(params, rows, count)
      rows = rows.replace(old_logp=old)
      read.append(found)
    minibatches.append((rows, count, denom))
  return minibatches, read


def idle_rows(ctx, samples):
  """Samples without gradient, as packed rows and micro-batches in use."""
  ones = np.ones(len(samples), np.float32)
  rows, count = packed(ctx, samples, ones, 0 * ones, ctx.plan.samples, READING)
  return ctx.place(rows), count


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
  rows, count = packed(
    ctx,
    [samples[i] for i in np.flatnonzero(learned)],
    np.asarray(weights)[learned],
    advantages[learned],
    plan.minibatch,
    extras(plan),
  )
  rows = ctx.place(rows)
  denom = np.float32(denom)  # Of numpy: with several hosts, on no device.
  if 'ref_logp' in rows.extra:
    ref, _ = ctx.programs.logprobs(ctx.start, rows, count)
    rows = rows.replace(extra={**rows.extra, 'ref_logp': ref})
  return rows, count, denom


def packed(ctx, samples, weights, advantages, most, extra):
  """Samples as rows of numpy with room for `most`, and micro-batches in use."""
  rows, count = packing.pack(
    samples,
    weights,
    advantages,
    ctx.packing,
    capacity=most * ctx.plan.most_chunks,
    extra=extra,
    together=ctx.plan.together,
  )
  return rows, np.int32(count)


def extras(plan):
  """Names of the extra arrays of rows that are learned from."""
  return sorted({*plan.extra, *READING} - {*losses.COMPUTED})


def is_read(plan, first):
  """Whether the policy reads a mini-batch before any update.

  Args:
    plan: plan.Plan.
    first: index of the mini-batch's first sample in the batch.
  """
  on_policy = not (plan.c.off_policy_steps or plan.offline)
  return on_policy and (first > 0 or plan.c.epochs > 1)
