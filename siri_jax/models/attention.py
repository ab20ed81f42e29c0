"""Attention over packed rows: one interface, implementations by name.

Each is (q, k, v, segments) -> out: causal, and only within a segment.
Outputs at padding (segment 0) are meaningless but finite.
"""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from siri_jax import shapes

SEQUENCES = 32  # Most sequences of a row: cuDNN needs a fixed number.
BLOCK = 128  # Queries that `blocked` scores at a time.
TOLERANCE = 0.02  # Of `distance`: only bfloat16's rounding.
SAVED = 'attention'  # The name of the outputs, for remat policies.
# The primitive of cuDNN's forward pass; its outputs cannot be named.
CUDNN = 'dot_product_attention_fwd_wrapper'


def reference(q, k, v, segments):
  """Attention with all scores in memory, for tests and short rows.

  Args:
    q: [M, R, H, E].
    k: [M, R, K, E], H a multiple of K.
    v: [M, R, K, E].
    segments: int32 [M, R]; a token attends to its segment up to itself.
  Returns:
    [M, R, H, E], in q's dtype; softmax in float32.
  Raises:
    ValueError: shapes differ.
  """
  shapes.check('M R H E, M R K E, M R K E, M R', q, k, v, segments)
  return checkpoint_name(_rows(q, k, v, segments, segments, 0), SAVED)


def blocked(q, k, v, segments):
  """As `reference`, a block of queries at a time, with recomputed scores.

  Memory is linear in a row's tokens. It computes the whole score matrix, twice
  what causality needs. Runs on any device.

  Args:
    q: [M, R, H, E].
    k: [M, R, K, E], H a multiple of K.
    v: [M, R, K, E].
    segments: int32 [M, R].
  Returns:
    [M, R, H, E], in q's dtype; softmax in float32.
  Raises:
    ValueError: shapes differ.
  """
  shapes.check('M R H E, M R K E, M R K E, M R', q, k, v, segments)
  return checkpoint_name(_blocked(q, k, v, segments), SAVED)


def cudnn(q, k, v, segments):
  """cuDNN's fused attention over ragged sequences: Hopper GPUs and later.

  Args:
    q: [M, R, H, E], bfloat16 or float16.
    k: [M, R, K, E], H a multiple of K.
    v: [M, R, K, E].
    segments: int32 [M, R]; 1 to at most SEQUENCES in order, then 0.
  Returns:
    [M, R, H, E], in q's dtype; 0 at padding.
  Raises:
    ValueError: shapes differ.
    NotImplementedError: cuDNN has no kernel for the GPU, the dtype or the
      width of a head.
    RuntimeError: cuDNN is not installed.
  """
  # Not public: jax.nn.dot_product_attention has no packed rows yet.
  from jax._src.cudnn import fused_attention_stablehlo as fused

  shapes.check('M R H E, M R K E, M R K E, M R', q, k, v, segments)
  live = (segments > 0)[..., None, None]
  # cuDNN leaves padding uninitialised, in the forward and backward pass.
  q, k, v = (jnp.where(live, x, 0) for x in (q, k, v))
  lengths, starts = ragged(segments)
  out = fused.dot_product_attention(
    q,
    k,
    v,
    q_seqlen=lengths,
    kv_seqlen=lengths,
    q_offsets=starts,
    kv_offsets=starts,
    scale=q.shape[-1] ** -0.5,
    mask_type=fused.MaskType.PADDING_CAUSAL,
  )
  return jnp.where(live, out, 0)


def ragged(segments):
  """Lengths and starts of the sequences of packed rows, for cuDNN.

  Args:
    segments: int32 [M, R]; 1 to at most SEQUENCES in order, then 0.
  Returns:
    int32 [M, SEQUENCES] lengths and int32 [M, SEQUENCES + 1] starts, tokens;
    -1 for sequences that a row does not have.
  """
  numbers = jnp.arange(1, SEQUENCES + 1)
  lengths = jnp.sum(segments[:, :, None] == numbers, axis=1, dtype=jnp.int32)
  starts = jnp.cumsum(lengths, axis=1) - lengths
  there = lengths > 0
  starts = jnp.pad(
    jnp.where(there, starts, -1), [(0, 0), (0, 1)], constant_values=-1
  )
  return jnp.where(there, lengths, -1), starts


def distance(attend, *, heads, kv_heads, width, dtype):
  """The difference of an implementation from `reference` on packed rows.

  Args:
    attend: an implementation of this module.
    heads: H.
    kv_heads: K.
    width: E.
    dtype: dtype of its inputs.
  Returns:
    float32 [], the largest difference of outputs and gradients outside padding,
    as a share of their largest value.
  """
  tokens = 256
  ends = jnp.asarray([[100, 163, 210], [1, 129, 256]])
  place = jnp.arange(tokens)[None, :, None]
  segments = 1 + jnp.sum(place >= ends[:, None], axis=-1, dtype=jnp.int32)
  segments = jnp.where(segments > 3, 0, segments)
  live = (segments > 0)[..., None, None]
  keys = jax.random.split(jax.random.key(0), 4)
  sizes = ((2, tokens, n, width) for n in (heads, kv_heads, kv_heads, heads))
  given = [
    jax.random.normal(key, size, dtype)
    for key, size in zip(keys, sizes, strict=True)
  ]

  def all_of(attend, dtype):
    *qkv, slope = (x.astype(dtype) for x in given)
    out, back = jax.vjp(lambda *qkv: attend(*qkv, segments), *qkv)
    found = (out, *back(jnp.where(live, slope, 0)))
    return [jnp.where(live, x, 0).astype(jnp.float32) for x in found]

  wrong = [
    jnp.max(jnp.abs(ours - true)) / jnp.max(jnp.abs(true))
    for ours, true in zip(
      all_of(attend, dtype), all_of(reference, jnp.float32), strict=True
    )
  ]
  return jnp.max(jnp.stack(wrong))


def _rows(q, k, v, q_segments, segments, first):
  """Attention of the queries [M, T, H, E] from column `first` on."""
  rows, tokens, heads, width = q.shape
  kv_heads = k.shape[2]
  grouped = q.reshape(rows, tokens, kv_heads, heads // kv_heads, width)
  scores = jnp.einsum(
    'mrkge,mske->mkgrs', grouped, k, preferred_element_type=jnp.float32
  )
  same = q_segments[:, :, None] == segments[:, None, :]
  causal = first + jnp.arange(tokens)[:, None] >= jnp.arange(k.shape[1])
  seen = (same & causal)[:, None, None]
  scores = jnp.where(seen, scores / width**0.5, -jnp.inf)
  weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
  out = jnp.einsum('mkgrs,mske->mrkge', weights, v)
  return out.reshape(q.shape)


@jax.custom_vjp
def _blocked(q, k, v, segments):
  def one(block):
    q_block, own, first = block
    return _rows(q_block, k, v, own, segments, first)

  return _join(jax.lax.map(one, _blocks(q, segments)), q)


def _blocked_backwards(saved, slope):
  q, k, v, segments = saved

  def one(sums, block):
    q_block, own, first, slope = block
    _, back = jax.vjp(
      lambda *qkv: _rows(*qkv, own, segments, first), q_block, k, v
    )
    d_q, *parts = back(slope)
    # In float32, because a key's gradient is a sum over many blocks.
    return tuple(s + x for s, x in zip(sums, parts, strict=True)), d_q

  zeros = tuple(jnp.zeros(x.shape, jnp.float32) for x in (k, v))
  blocks = (*_blocks(q, segments), _cut(slope, 'constant'))
  (d_k, d_v), d_q = jax.lax.scan(one, zeros, blocks)
  return _join(d_q, q), d_k.astype(k.dtype), d_v.astype(v.dtype), None


_blocked.defvjp(lambda *args: (_blocked(*args), args), _blocked_backwards)


def _blocks(q, segments):
  """Queries and their segments in blocks, with each block's first column."""
  blocks = _cut(q)
  return blocks, _cut(segments), BLOCK * jnp.arange(blocks.shape[0])


def _cut(x, mode='edge'):
  """[M, R, ...] as blocks [R / BLOCK, M, BLOCK, ...], padded at the end."""
  pad = [(0, 0), (0, -x.shape[1] % BLOCK)] + [(0, 0)] * (x.ndim - 2)
  # A padding query that attends to nothing would give NaN, so the last query
  # is repeated.
  x = jnp.pad(x, pad, mode=mode)
  return x.reshape(x.shape[0], -1, BLOCK, *x.shape[2:]).swapaxes(0, 1)


def _join(blocks, like):
  """The inverse of `_cut`: blocks as one array with the shape of `like`."""
  whole = blocks.swapaxes(0, 1).reshape(like.shape[0], -1, *like.shape[2:])
  return whole[:, : like.shape[1]]


IMPLEMENTATIONS = {'reference': reference, 'blocked': blocked, 'cudnn': cudnn}
