"""Attention of one token that reads only what each slot fills: CUDA GPUs.

Source: FlashDecoding, crfm.stanford.edu/2023/10/12/flashdecoding.html. Programs
share the blocks of a slot; at the end, their softmaxes are joined. The kernel
needs Pallas's Triton, which JAX 0.11 has deprecated; kernels.py does without
the kernel where it cannot run.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import triton

from siri_jax import shapes
from siri_jax.models import decode_attention
from siri_jax.models.decode_attention import UNSEEN

BLOCK = 64  # Columns that a program reads at a time.
PROGRAMS = 512  # At least; a few for each of the 132 processors of an H100.
ROWS = 16  # Fewest rows of a matrix product in Triton.


def ragged(q, k, v, length, interpret=False):
  """As decode_attention.dense, but reads only the blocks that a slot fills.

  Args:
    q: [S, H, E], E a power of 2, 16 or more.
    k: [S, K, E, C], H a multiple of K, C a multiple of BLOCK.
    v: [S, K, C, E].
    length: int32 [S].
    interpret: whether to run without a GPU, for tests.
  Returns:
    [S, H, E], in q's dtype; softmax in float32; 0 for an idle slot.
  Raises:
    ValueError: shapes differ, or C is not a multiple of BLOCK.
  """
  size = shapes.check('S H E, S K E C, S K C E, S', q, k, v, length)
  slots, kv_heads, width, columns = (size[d] for d in 'SKEC')
  if columns % BLOCK:
    raise ValueError(f'{columns} columns are not a multiple of {BLOCK}')
  grouped = decode_attention.grouped_queries(q, kv_heads)
  queries = grouped.shape[2]
  rows = pallas.next_power_of_2(max(queries, ROWS))
  programs = min(-(-PROGRAMS // (slots * kv_heads)), columns // BLOCK)
  grid = (slots, kv_heads, programs)

  def given(*tile):
    """The part of an array [S, K, ...] of a program's slot and head."""
    spec = (None, None, *tile)
    return pallas.BlockSpec(spec, lambda s, h, _: (s, h, *[0] * len(tile)))

  def made(*tile):
    """The part of an array [S, K, programs, ...] of a program."""
    spec = (None, None, None, *tile)
    return pallas.BlockSpec(spec, lambda *at: (*at, *[0] * len(tile)))

  out, mass = pallas.pallas_call(
    functools.partial(_program, queries=queries, programs=programs),
    grid=grid,
    in_specs=[
      pallas.BlockSpec((None,), lambda s, *_: (s,)),
      *(given(rows, width), given(width, columns), given(columns, width)),
    ],
    out_specs=[made(rows, width), made(rows)],
    out_shape=[
      jax.ShapeDtypeStruct((*grid, queries, width), jnp.float32),
      jax.ShapeDtypeStruct((*grid, queries), jnp.float32),
    ],
    compiler_params=triton.CompilerParams(num_warps=4, num_stages=2),
    interpret=interpret,
    name='decode_attention',
  )(length, grouped, k, v)
  share = jax.nn.softmax(mass, axis=2)[..., None]
  out = jnp.sum(share * out, axis=2)
  return out.reshape(q.shape).astype(q.dtype)


RAGGED = decode_attention.Attention(ragged, BLOCK)


def _program(
  length_ref, q_ref, k_ref, v_ref, out_ref, mass_ref, *, queries, programs
):
  """Attends to every `programs`-th block of a slot.

  Writes the output over these blocks, and the logarithm of the sum of their
  exponentiated scores.
  """
  rows, width = q_ref.shape
  real = jnp.arange(rows) < queries
  length = length_ref[...]
  q = triton.load(q_ref, mask=real[:, None], other=0)
  first = pallas.program_id(2)

  def block(i, sums):
    out, top, total = sums
    start = (first + i * programs) * BLOCK
    here = pallas.ds(start, BLOCK)
    scores = _product(q, k_ref[:, here]) / width**0.5
    seen = start + jnp.arange(BLOCK) < length
    scores = jnp.where(seen[None], scores, UNSEEN)
    highest = jnp.maximum(top, jnp.max(scores, axis=1))
    weights = jnp.exp(scores - highest[:, None])
    shrunk = jnp.exp(top - highest)
    total = total * shrunk + jnp.sum(weights, axis=1)
    v = v_ref[here, :]
    out = out * shrunk[:, None] + _product(weights.astype(v.dtype), v)
    return out, highest, total

  filled = pallas.cdiv(length, BLOCK)
  own = pallas.cdiv(jnp.maximum(filled - first, 0), programs)
  blank = (
    jnp.zeros((rows, width), jnp.float32),
    jnp.full(rows, UNSEEN),
    jnp.zeros(rows, jnp.float32),
  )
  out, top, total = jax.lax.fori_loop(0, own, block, blank)
  total = jnp.maximum(total, 1.0)  # 1 or more, except without any block.
  triton.store(out_ref, out / total[:, None], mask=real[:, None])
  triton.store(mass_ref, top + jnp.log(total), mask=real)


def _product(a, b):
  return jnp.dot(a, b, preferred_element_type=jnp.float32)
