"""Attention of one token to the cache of its sequence.

A cache has a row for each slot: k [S, K, E, C], so that neither k nor v is
transposed to multiply, and v [S, K, C, E].
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from siri_jax import shapes

TOLERANCE = 0.02  # Of `distance`: only bfloat16's rounding.
# Score of a column that is not seen; finite, because an idle slot sees none.
UNSEEN = float(jnp.finfo(jnp.float32).min)


class Attention(NamedTuple):
  """An implementation.

  Attributes:
    attend: (q, k, v, length) -> out, as `dense`.
    block: the columns of a cache are a multiple of this.
  """

  attend: Callable
  block: int


def dense(q, k, v, length):
  """Reads all columns of all slots. Runs on any device.

  Args:
    q: [S, H, E].
    k: [S, K, E, C], H a multiple of K; includes the token.
    v: [S, K, C, E].
    length: int32 [S], columns that a slot sees; 0 for an idle slot.
  Returns:
    [S, H, E], in q's dtype; softmax in float32; meaningless but finite for an
    idle slot.
  Raises:
    ValueError: shapes differ.
  """
  size = shapes.check('S H E, S K E C, S K C E, S', q, k, v, length)
  grouped = grouped_queries(q, size['K'])
  scores = jnp.einsum(
    'skge,skec->skgc', grouped, k, preferred_element_type=jnp.float32
  )
  seen = jnp.arange(size['C']) < length[:, None]
  scores = jnp.where(seen[:, None, None], scores / size['E'] ** 0.5, UNSEEN)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  return jnp.einsum('skgc,skce->skge', weights, v).reshape(q.shape)


DENSE = Attention(dense, 1)


def grouped_queries(q, kv_heads):
  """Queries [S, H, E] by the key-value head they read: [S, K, H / K, E]."""
  slots, heads, width = q.shape
  return q.reshape(slots, kv_heads, heads // kv_heads, width)


def distance(attention, *, heads, kv_heads, width, dtype):
  """The difference of an implementation from `dense` in float32.

  Args:
    attention: Attention.
    heads: H.
    kv_heads: K.
    width: E.
    dtype: of its inputs.
  Returns:
    float32 [], the largest difference of the outputs of busy slots, as a share
    of their largest value.
  """
  block = max(attention.block, 8)
  columns = 3 * block
  length = jnp.array([columns, 1, 2, block, block + 1, 0])
  keys = jax.random.split(jax.random.key(0), 3)
  sizes = (
    (length.size, heads, width),
    (length.size, kv_heads, width, columns),
    (length.size, kv_heads, columns, width),
  )
  given = [
    jax.random.normal(key, size, dtype)
    for key, size in zip(keys, sizes, strict=True)
  ]
  ours = attention.attend(*given, length).astype(jnp.float32)
  true = dense(*(x.astype(jnp.float32) for x in given), length)
  ours, true = ours[length > 0], true[length > 0]
  return jnp.max(jnp.abs(ours - true)) / jnp.max(jnp.abs(true))
