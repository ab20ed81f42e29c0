"""Packed attention against the reference, and its speed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from siri_jax.models import attention
from tools.benchmarks import update_parts
from tools.gpu_check.findings import checked, measured

HEADS = ((12, 2), (28, 4))  # Query and key-value heads of the 1.5B and the 7B.
TINY_HEADS = ((3, 1),)
WIDTH = 128  # Of a head.
SEQUENCES = 5


def check(tiny):
  """Yields distances from the reference, forwards and backwards, and seconds.

  Short rows are compared with the reference in float32, a full row of 16,384
  tokens with `blocked`, because the reference's scores would not fit.
  """
  gpu = jax.default_backend() == 'gpu'
  names = ('cudnn', 'blocked') if gpu else ('blocked',)
  fast, dtype = attention.IMPLEMENTATIONS[names[0]], jnp.dtype('bfloat16')
  sizes = TINY_HEADS if tiny else HEADS
  for heads, kv_heads in sizes:
    found = attention.distance(
      fast, heads=heads, kv_heads=kv_heads, width=WIDTH, dtype=dtype
    )
    yield checked(
      f'{names[0]} against the reference, {heads}/{kv_heads} heads',
      found,
      'of the largest value',
      at_most=attention.TOLERANCE,
    )
  tokens = 256 if tiny else 16_384
  for heads in sizes:
    yield from full_row(names, tokens, heads, dtype)


def full_row(names, tokens, heads, dtype):
  """Yields seconds and distances on a full row of ragged sequences.

  Args:
    names: the implementations to time; the first is compared with `blocked`.
    tokens: R.
    heads: query and key-value heads.
    dtype: of the operands.
  """
  segments = ragged(tokens)
  live = (segments > 0)[..., None, None]
  sizes = [(1, tokens, n, WIDTH) for n in (heads[0], heads[1], heads[1])]
  keys = jax.random.split(jax.random.key(0), 4)
  given = [
    jax.random.normal(key, size, dtype)
    for key, size in zip(keys, [*sizes, sizes[0]], strict=True)
  ]
  what = f'{tokens:,} tokens, {heads[0]}/{heads[1]} heads'
  both = {}
  for name in dict.fromkeys((*names, 'blocked')):
    attend = attention.IMPLEMENTATIONS[name]
    there = jax.jit(functools.partial(there_and_back, attend))
    both[name] = there(*given, segments, live)
    secs = update_parts.timed(there, *given, segments, live)
    yield measured(f'{name}, one layer there and back, {what}', secs, 's')
  if names[0] == 'blocked':
    return
  parts = ('output', 'queries', 'keys', 'values')
  for part, ours, true in zip(
    parts, both[names[0]], both['blocked'], strict=True
  ):
    yield checked(
      f'{names[0]} against blocked, {part}, {what}',
      jnp.max(jnp.abs(ours - true)) / jnp.max(jnp.abs(true)),
      'of the largest value',
      at_most=attention.TOLERANCE,
    )


def there_and_back(attend, q, k, v, slope, segments, live):
  """Outputs and gradients outside padding, float32."""
  out, back = jax.vjp(lambda *qkv: attend(*qkv, segments), q, k, v)
  found = (out, *back(jnp.where(live, slope, 0)))
  return [jnp.where(live, x, 0).astype(jnp.float32) for x in found]


def ragged(tokens):
  """int32 [1, R]: a row of sequences of random lengths, then padding."""
  ends = np.random.default_rng(0).choice(tokens, SEQUENCES, replace=False)
  number = 1 + np.sum(np.arange(tokens) >= np.sort(ends)[:, None], axis=0)
  return np.where(number > SEQUENCES, 0, number)[None].astype(np.int32)
