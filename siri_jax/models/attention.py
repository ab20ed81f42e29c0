"""Attention over packed rows: one interface, implementations by name."""

import jax
import jax.numpy as jnp

from siri_jax import shapes


def reference(q, k, v, segments):
  """Causal attention within each segment, by plain products: CPU and tests.

  Args:
    q: [M, R, H, E].
    k: [M, R, K, E], H a multiple of K.
    v: [M, R, K, E].
    segments: int32 [M, R]; a token sees the tokens of its own segment up to
      itself.
  Returns:
    [M, R, H, E], in q's dtype; softmax in float32.
  Raises:
    ValueError: shapes differ.
  """
  size = shapes.check('M R H E, M R K E, M R K E, M R', q, k, v, segments)
  rows, tokens, heads, width = (size[d] for d in 'MRHE')
  grouped = q.reshape(rows, tokens, size['K'], heads // size['K'], width)
  scores = jnp.einsum(
    'mrkge,mske->mkgrs', grouped, k, preferred_element_type=jnp.float32
  )
  same = segments[:, :, None] == segments[:, None, :]
  seen = same & jnp.tri(tokens, dtype=bool)
  scores = jnp.where(seen[:, None, None], scores / width**0.5, -jnp.inf)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  out = jnp.einsum('mkgrs,mske->mrkge', weights, v)
  return out.reshape(q.shape)


def one_token(q, k, v, seen):
  """One token's attention to its sequence's cache, which holds it already.

  Args:
    q: [S, H, E].
    k: [S, K, C, E], the cache, its columns last but one: as products read it.
    v: [S, K, C, E].
    seen: bool [S, C], the columns that hold this slot's sequence.
  Returns:
    [S, H, E], in q's dtype; softmax in float32.
  Raises:
    ValueError: shapes differ.
  """
  size = shapes.check('S H E, S K C E, S K C E, S C', q, k, v, seen)
  slots, heads, width = (size[d] for d in 'SHE')
  grouped = q.reshape(slots, size['K'], heads // size['K'], width)
  scores = jnp.einsum(
    'skge,skce->skgc', grouped, k, preferred_element_type=jnp.float32
  )
  scores = jnp.where(seen[:, None, None], scores / width**0.5, -jnp.inf)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  return jnp.einsum('skgc,skce->skge', weights, v).reshape(q.shape)


IMPLEMENTATIONS = {'reference': reference}
