"""One optimiser step, as a pure function of the state and packed rows."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from siri_jax import shapes
from siri_jax.models import logprobs, qwen2

POLICIES = {
  'full': jax.checkpoint_policies.nothing_saveable,
  'nothing': None,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What an update is made of; none of it changes during a run.

  Attributes:
    shape: the policy's qwen2.Shape.
    loss: bound plug-in of siri_jax/losses.py.
    extra: names of losses.EXTRA that the loss takes.
    tx: optax transformation.
    attend: implementation of siri_jax/models/attention.py.
    dtype: what the forward and backward passes compute in.
    remat: a key of POLICIES.
    temperature: of the sampling that the log-probabilities belong to.
    chunk: tokens whose logits exist at one time.
  """

  shape: qwen2.Shape
  loss: Callable
  extra: tuple[str, ...]
  tx: optax.GradientTransformation
  attend: Callable
  dtype: Any
  remat: str
  temperature: float
  chunk: int


def token_logprobs(params, recipe, rows):
  """Log-probability of each target and entropy there, float32 [M, R] each.

  Args:
    params: the policy's parameters, any float dtype.
    recipe: Recipe.
    rows: types.Rows [M, R].
  """
  rows_, tokens = rows.tokens.shape
  params = jax.tree.map(lambda x: x.astype(recipe.dtype), params)
  hidden = qwen2.forward(
    params,
    recipe.shape,
    rows.tokens,
    rows.positions,
    rows.segments,
    attend=recipe.attend,
    remat=POLICIES[recipe.remat],
  )
  logp, entropy = logprobs.logp_and_entropy(
    hidden.reshape(rows_ * tokens, -1),
    qwen2.head(params),
    rows.targets.reshape(-1),
    jnp.float32(recipe.temperature),
    recipe.chunk,
  )
  return logp.reshape(rows_, tokens), entropy.reshape(rows_, tokens)


def all_logprobs(params, rows, count, *, recipe):
  """`token_logprobs` of the first `count` micro-batches.

  Args:
    params: the policy's parameters.
    rows: types.Rows [U, M, R], U micro-batches of M rows.
    count: int32 [], how many of them are in use.
    recipe: Recipe.
  Returns:
    float32 [U, M, R], nats; zeros in the micro-batches that are not in use.
  """

  def micro(i, out):
    part = jax.tree.map(lambda x: x[i], rows)
    return out.at[i].set(token_logprobs(params, recipe, part)[0])

  zeros = jnp.zeros(rows.tokens.shape, jnp.float32)
  return jax.lax.fori_loop(0, count, micro, zeros)


def entropy(params, rows, count, *, recipe):
  """The entropy of the policy over rows that it does not learn from.

  Args:
    params: the policy's parameters.
    rows: types.Rows [U, M, R], U micro-batches of M rows.
    count: int32 [], how many of them are in use.
    recipe: Recipe.
  Returns:
    float32 [] sums over response tokens, nats and tokens: entropy_sum and
    tokens_sum.
  """

  def micro(i, sums):
    part = jax.tree.map(lambda x: x[i], rows)
    live = part.mask > 0
    found = jnp.where(live, token_logprobs(params, recipe, part)[1], 0.0)
    return _merge(
      sums, {'entropy_sum': jnp.sum(found), 'tokens_sum': jnp.sum(live)}
    )

  nothing = {'entropy_sum': jnp.float32(0), 'tokens_sum': jnp.float32(0)}
  return jax.lax.fori_loop(0, count, micro, nothing)


def update(state, rows, count, denom, own_old, last, *, recipe):
  """One optimiser step over the micro-batches of a mini-batch.

  A loss or gradient that is not finite leaves parameters and optimiser state
  as they are, bit for bit, and is counted.

  Args:
    state: types.TrainState.
    rows: types.Rows [U, M, R], U micro-batches of M rows.
    count: int32 [], how many micro-batches are in use.
    denom: float32 [], the mini-batch's denominator.
    own_old: bool [], whether the rows' old log-probabilities are this very
      pass's own (the first optimiser step after a rollout).
    last: bool [], whether this ends the GRPO step.
    recipe: Recipe.
  Returns:
    The new types.TrainState, and metrics: float32 scalars named as in
    siri_jax/losses.py, with tokens_sum, entropy_sum, loss, grad_norm.
  """
  shapes.check('U M R, ., .', rows.tokens, count, denom)

  def loss_of(params, part):
    logp, entropy = token_logprobs(params, recipe, part)
    own = jax.lax.stop_gradient(logp)
    old = jnp.where(own_old, own, part.old_logp)
    given = {**part.extra, 'entropy': entropy}
    extra = {name: given[name] for name in recipe.extra}
    loss, metrics = recipe.loss(logp, old, part.adv, part.mask, denom, **extra)
    live = part.mask > 0
    metrics['tokens_sum'] = jnp.sum(live.astype(jnp.float32))
    metrics['entropy_sum'] = jnp.sum(jnp.where(live, entropy, 0.0))
    metrics['loss'] = loss
    return loss, metrics

  def micro(i, carry):
    part = jax.tree.map(lambda x: x[i], rows)
    grads, metrics = jax.grad(loss_of, has_aux=True)(state.params, part)
    return jax.tree.map(jnp.add, carry[0], grads), _merge(carry[1], metrics)

  first = jax.tree.map(lambda x: x[0], rows)
  blank = jax.eval_shape(loss_of, state.params, first)[1]
  zeros = jax.tree.map(jnp.zeros_like, (state.params, blank))
  grads, metrics = jax.lax.fori_loop(0, count, micro, zeros)
  return _apply(state, grads, metrics, last, recipe.tx)


def merge(metrics):
  """The metrics of several optimiser steps as one: sums, maxima, means."""
  total = metrics[0]
  for more in metrics[1:]:
    total = _merge(total, more)
  for name in ('loss', 'grad_norm'):
    total[name] = total[name] / len(metrics)
  return total


def _apply(state, grads, metrics, last, tx):
  """The optimiser's step, taken where loss and gradient are finite."""
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


def _merge(a, b):
  return {
    name: jnp.maximum(a[name], b[name])
    if name.endswith('_max')
    else a[name] + b[name]
    for name in a
  }
