"""One optimiser step, as a pure function of the state and packed rows."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from siri_jax import shapes
from siri_jax.algorithm import log_ratios
from siri_jax.models import attention, decoder, logprobs, lora, sharding
from siri_jax.settings import one_of, real, whole

# zero3 gathers parameters a layer at a time in each micro-batch. zero1 gathers
# all of them once an update, adds up whole gradients on every device and
# scatters them at the end.
PARAM_SHARDING = ('zero3', 'zero1')
SETTINGS = {  # Of update_kw.
  'micro_batch_rows': whole(1),
  'row_tokens': whole(0),
  'logprob_chunk_tokens': whole(1),
  'attention': one_of(*attention.IMPLEMENTATIONS),
  'remat': one_of('', *decoder.REMAT),
  'device_gb': real(0),
  'param_sharding': one_of(*PARAM_SHARDING),
}
# First positions of the ranges whose sampler gap is reported separately.
BUCKETS = (0, 1024, 4096, 8192)


@dataclasses.dataclass(frozen=True)
class UpdateConfig:
  """The settings of an update, constant during a run.

  Attributes:
    shape: the policy's decoder.ModelConfig.
    loss: bound plug-in of siri_jax/algorithm/losses.py.
    extra: names of losses.EXTRA that the loss takes.
    tx: optax transformation.
    attend: implementation of siri_jax/models/attention.py.
    dtype: dtype of the forward and backward passes.
    remat: a key of decoder.REMAT.
    param_sharding: one of PARAM_SHARDING.
    temperature: sampling temperature; log-probabilities are computed with it.
    chunk: tokens of a device whose logits exist at one time.
    off_policy: whether old log-probabilities are the engine's.
    adapters: the policy's lora.Adapters.
  """

  shape: decoder.ModelConfig
  loss: Callable
  extra: tuple[str, ...]
  tx: optax.GradientTransformation
  attend: Callable
  dtype: Any
  remat: str
  param_sharding: str
  temperature: float
  chunk: int
  off_policy: bool = False
  adapters: lora.Adapters = lora.NONE


def gathered_params(params, recipe):
  """The parameters that a device holds during an update.

  Args:
    params: this device's shards: the trees (frozen, trained) of models/lora.py.
    recipe: UpdateConfig.
  Returns:
    The same trees, and the function that gathers a part of them.
  """
  gather = functools.partial(sharding.gather, dtype=recipe.dtype)
  if recipe.param_sharding == 'zero3':
    return params, gather
  return gather(params), lambda part: part


def token_logprobs(params, fetch, recipe, rows):
  """Log-probability of each target and entropy there, float32 [M, R] each.

  Args:
    params: trees (frozen, trained) of `gathered_params`.
    fetch: its function that gathers a part of them.
    recipe: UpdateConfig.
    rows: types.PackedBatch [M, R]; tokens of mask 0 get 0.
  """
  params = lora.joined(*params, recipe.adapters)
  outside = fetch({k: v for k, v in params.items() if k != 'layers'})
  hidden = decoder.forward(
    {**outside, 'layers': params['layers']},
    recipe.shape,
    rows.tokens,
    rows.positions,
    rows.segments,
    fetch=fetch,
    attend=sharding.each_head(recipe.attend),
    remat=recipe.remat,
  )
  logp, entropy = logprobs.logp_and_entropy(
    hidden.reshape(-1, hidden.shape[-1]),
    decoder.head(outside),
    rows.targets.reshape(-1),
    rows.mask.reshape(-1) > 0,
    jnp.float32(recipe.temperature),
    recipe.chunk,
    sharding.parts('tensor'),
    recipe.shape.padding,
  )
  return logp.reshape(rows.mask.shape), entropy.reshape(rows.mask.shape)


def compute_logprobs(frozen, params, rows, count, *, recipe, layout):
  """Log-probabilities of the targets of the first `count` micro-batches.

  Args:
    frozen: the policy's frozen parameters, {} without adapters; see lora.py.
    params: the trained ones, float32.
    rows: types.PackedBatch [U, M, R], U micro-batches of M rows.
    count: int32 [], number of micro-batches in use.
    recipe: UpdateConfig.
    layout: sharding.Layout.
  Returns:
    float32 [U, M, R], nats: 0 where the mask is 0, and in micro-batches that
    are not in use. And sums over response tokens, float32 []: entropy_sum
    (nats), tokens_sum, and those of _agreement where the rows carry
    'sampler_logp'.
  """

  def local(frozen, params, rows, count):
    own, fetch = gathered_params((frozen, params), recipe)

    def micro(i, carry):
      out, sums = carry
      part = _micro_batch(rows, i)
      logp, entropy = token_logprobs(own, fetch, recipe, part)
      return out.at[i].set(logp), add_metrics(
        sums, _totals(part, entropy, logp)
      )

    first = _micro_batch(rows, 0)
    names = jax.eval_shape(_totals, first, first.mask, first.mask)
    nothing = dict.fromkeys(names, jnp.float32(0))
    zeros = jnp.zeros(rows.tokens.shape, jnp.float32)
    out, sums = jax.lax.fori_loop(0, count, micro, (zeros, nothing))
    return out, _over_devices(sums)

  whole = layout.whole
  inputs = (layout.frozen, layout.state.params, layout.rows, whole)
  run = sharding.each_device(local, layout.mesh, inputs, (layout.rows, whole))
  return run(frozen, params, rows, count)


def update(frozen, state, rows, count, denom, own_old, last, *, recipe, layout):
  """One optimiser step over the micro-batches of a mini-batch.

  If the loss or gradient is not finite, parameters and optimiser state stay as
  they are, bit for bit, and the update is counted as skipped.

  Args:
    frozen: the policy's frozen parameters, {} without adapters; see lora.py.
    state: types.TrainState.
    rows: types.PackedBatch [U, M, R], U micro-batches of M rows.
    count: int32 [], number of micro-batches in use.
    denom: float32 [], the mini-batch's denominator.
    own_old: bool [], whether the old log-probabilities are those of this
      forward pass (the first optimiser step after a rollout).
    last: bool [], whether this is the last optimiser step of the GRPO step.
    recipe: UpdateConfig.
    layout: sharding.Layout.
  Returns:
    The new types.TrainState, and metrics: float32 scalars named as in
    siri_jax/algorithm/losses.py, with tokens_sum, entropy_sum, loss, grad_norm.
  """
  shapes.check('U M R, ., .', rows.tokens, count, denom)
  params, whole = layout.state.params, layout.whole
  run = sharding.each_device(
    functools.partial(_gradients, recipe=recipe),
    layout.mesh,
    (layout.frozen, params, layout.rows, whole, whole, whole),
    (params, whole),
  )
  grads, metrics = run(frozen, state.params, rows, count, denom, own_old)
  grads = jax.lax.with_sharding_constraint(grads, params)
  return _apply(state, grads, metrics, last, recipe.tx)


def readings(metrics):
  """The sums of an update's metrics that compute_logprobs gives too."""
  names = ('entropy_sum', 'tokens_sum', 'sampler_')
  return {name: x for name, x in metrics.items() if name.startswith(names)}


def merge_metrics(updates, read, epochs):
  """The metrics of a step's updates as one: sums, maxima, means.

  Args:
    updates: the metrics of each update, in order.
    read: sums of compute_logprobs that count each sample once. They replace
      the updates' own, which are of a policy that changes from one update to
      the next, and count a sample in each epoch.
    epochs: how often the updates have learned from each sample.
  Returns:
    dict of float []: sums over tokens are those of one epoch.
  """
  total = functools.reduce(add_metrics, updates)
  for name in total:
    if name.endswith('_sum'):
      total[name] = total[name] / epochs
  for name in ('loss', 'grad_norm'):
    total[name] = total[name] / len(updates)
  return total | functools.reduce(add_metrics, read)


def add_metrics(a, b):
  """Adds two dicts of metrics; takes the maximum of names in `_max`.

  Args:
    a: dict of float32 [].
    b: dict of float32 [] with all of a's names.
  Returns:
    dict of float32 [] with a's names.
  """
  return {
    name: jnp.maximum(a[name], b[name])
    if name.endswith('_max')
    else a[name] + b[name]
    for name in a
  }


def _gradients(frozen, params, rows, count, denom, own_old, *, recipe):
  """This device's share of the gradient, and the metrics, over all rows."""
  (frozen, own), fetch = gathered_params((frozen, params), recipe)

  def loss_of(own, part):
    logp, entropy = token_logprobs((frozen, own), fetch, recipe, part)
    old = jnp.where(own_old, jax.lax.stop_gradient(logp), part.old_logp)
    given = {
      **part.extra,
      'entropy': entropy,
      'segments': part.segments,
      'pairs': (part.segments + 1) // 2,
    }
    extra = {name: given[name] for name in recipe.extra}
    loss, metrics = recipe.loss(logp, old, part.adv, part.mask, denom, **extra)
    # Off policy, `old` are the engine's, and the gap to them would be 0.
    at_rollout = jax.lax.stop_gradient(logp) if recipe.off_policy else old
    totals = _totals(part, entropy, at_rollout)
    return loss, {**metrics, **totals, 'loss': loss}

  def micro(i, carry):
    part = _micro_batch(rows, i)
    grads, metrics = jax.grad(loss_of, has_aux=True)(own, part)
    return jax.tree.map(jnp.add, carry[0], grads), add_metrics(
      carry[1], metrics
    )

  blank = jax.eval_shape(loss_of, own, _micro_batch(rows, 0))[1]
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), (own, blank))
  grads, metrics = jax.lax.fori_loop(0, count, micro, zeros)
  if recipe.param_sharding == 'zero1':
    grads = sharding.scatter(grads)
  return sharding.add_up(grads), _over_devices(metrics)


def _micro_batch(rows, i):
  return jax.tree.map(lambda x: x[i], rows)


def _totals(part, entropy, old):
  """Sums over a micro-batch's response tokens, for metrics.

  `old` are the trainer's log-probabilities at rollout; one step off policy,
  those of this forward pass.
  """
  live = part.mask > 0
  sums = {'entropy_sum': _sum(entropy, live), 'tokens_sum': _sum(1.0, live)}
  if 'sampler_logp' in part.extra:
    return {**sums, **_agreement(part, old, live)}
  return sums


def _agreement(part, old, live):
  """Differences of the sampler's and the trainer's log-probabilities.

  Sums over the tokens that have a sampler log-probability; `sampler_told` is
  their number. `gap` is |difference| in nats, `kl` the k3 estimate of
  KL(sampler || trainer), `far` the tokens whose ratio is outside [1/2, 2].
  `gap_from_N` is the gap of the tokens from position N to the next of BUCKETS.
  """
  known = live & ~jnp.isnan(part.extra['sampler_logp'])
  apart = jnp.where(known, old - part.extra['sampler_logp'], 0.0)
  gap = jnp.abs(apart)
  found = {
    'sampler_told_sum': _sum(1.0, known),
    'sampler_gap_sum': _sum(gap, known),
    'sampler_gap_max': jnp.max(gap),
    'sampler_kl_sum': _sum(log_ratios.k3(apart), known),
    'sampler_far_sum': _sum(gap > jnp.log(2.0), known),
  }
  # One sum over all buckets, because each kernel takes long to compile.
  bucket = jnp.sum(part.positions >= jnp.asarray(BUCKETS)[:, None, None], 0) - 1
  within = known & (bucket == jnp.arange(len(BUCKETS))[:, None, None])
  told, apart = (jnp.sum(jnp.where(within, x, 0.0), (1, 2)) for x in (1.0, gap))
  for i, first in enumerate(BUCKETS):
    found[f'sampler_told_from_{first}_sum'] = told[i]
    found[f'sampler_gap_from_{first}_sum'] = apart[i]
  return found


def _sum(values, live):
  return jnp.sum(jnp.where(live, values, 0.0))


def _over_devices(metrics):
  """Reduces metrics over devices: sums, and maxima of names in `_max`."""
  return {
    name: jax.lax.pmax(x, sharding.ROW_AXES)
    if name.endswith('_max')
    else jax.lax.psum(x, sharding.ROW_AXES)
    for name, x in metrics.items()
  }


def _apply(state, grads, metrics, last, tx):
  """Applies the optimiser if the loss and the gradient are finite."""
  grad_norm = optax.tree.norm(grads)
  fine = jnp.isfinite(metrics['loss']) & jnp.isfinite(grad_norm)
  deltas, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, deltas)
  old = (state.params, state.opt_state)
  params, opt_state = jax.tree.map(
    lambda new, old: jnp.where(fine, new, old), (params, opt_state), old
  )
  state = state.replace(
    params=params,
    opt_state=opt_state,
    step=state.step + last.astype(jnp.int32),
    skipped=state.skipped + ~fine,
    skipped_in_row=jnp.where(fine, 0, state.skipped_in_row + 1),
  )
  return state, {**metrics, 'grad_norm': grad_norm}
