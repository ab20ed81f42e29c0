"""Seconds of an update's parts, each timed alone; for update.py."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from siri_jax.models import logprobs


def seconds(recipe, layout, state, rows, count):
  """Seconds of an update's attention, head and optimiser.

  Attention and head are timed forward and backward on one device's rows of the
  first micro-batch, then multiplied by the layers and micro-batches.

  Args:
    recipe: update.UpdateConfig.
    layout: sharding.Layout.
    state: types.TrainState.
    rows: types.PackedBatch on the devices.
    count: micro-batches in use.
  """
  first = jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0], rows)
  return {
    'attention': recipe.shape.layers * count * _attention(recipe, first),
    'head': count * _head(recipe, first),
    'optimiser': _optimiser(recipe, layout, state),
  }


def _attention(recipe, rows):
  """Seconds of one layer's attention over rows, forward and backward."""
  shape, keys = recipe.shape, jax.random.split(jax.random.key(1), 3)
  heads = (shape.heads, shape.kv_heads, shape.kv_heads)
  sizes = [(*rows.tokens.shape, count, shape.head_dim) for count in heads]
  qkv = [
    jax.random.normal(key, size, recipe.dtype)
    for key, size in zip(keys, sizes, strict=True)
  ]

  @jax.jit
  def attend(qkv, segments):
    return jax.grad(
      lambda qkv: jnp.sum(recipe.attend(*qkv, segments).astype(jnp.float32))
    )(tuple(qkv))

  return timed(attend, qkv, rows.segments)


def _head(recipe, rows):
  """Seconds of the log-probabilities of rows, forward and backward."""
  shape, dtype = recipe.shape, recipe.dtype
  keys = jax.random.split(jax.random.key(3))
  hidden = jax.random.normal(keys[0], (rows.tokens.size, shape.dim), dtype)
  matrix = 0.02 * jax.random.normal(keys[1], (shape.dim, shape.vocab), dtype)

  @jax.jit
  def head(hidden, matrix, targets, live):
    def total(hidden, matrix):
      both = logprobs.logp_and_entropy(
        hidden, matrix, targets, live, jnp.float32(1), recipe.chunk
      )
      return jnp.sum(both[0])

    return jax.grad(total, argnums=(0, 1))(hidden, matrix)

  targets, live = rows.targets.reshape(-1), rows.mask.reshape(-1) > 0
  return timed(head, hidden, matrix, targets, live)


def _optimiser(recipe, layout, state):
  """Seconds of an optimiser step, with the parameters as gradients."""

  @functools.partial(jax.jit, out_shardings=layout.state.params)
  def optimise(params, opt_state):
    deltas, _ = recipe.tx.update(params, opt_state, params)
    return optax.apply_updates(params, deltas)

  return timed(optimise, state.params, state.opt_state)


def timed(function, *args):
  """Seconds of a call: the fastest of five, after a call that compiles."""
  secs = []
  for _ in range(6):
    began = time.monotonic()
    jax.block_until_ready(function(*args))
    secs.append(time.monotonic() - began)
  return min(secs[1:])


def matmul_flops(dtype):
  """FLOP/s of a large matrix product on one device.

  Its operands are random: a GPU multiplies constant ones faster.
  """
  size = 8192 if jax.default_backend() == 'gpu' else 2048
  x, y = jax.random.normal(jax.random.key(4), (2, size, size), dtype)
  return 2 * size**3 / timed(jax.jit(jnp.matmul), x, y)
