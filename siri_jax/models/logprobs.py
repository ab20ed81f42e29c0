"""Log-probabilities and entropies of tokens, without [T, V] logits.

Logits exist for one chunk of tokens at a time, in float32. The backward pass
recomputes them for one block of the vocabulary at a time. Tokens outside the
loss get no logits.
"""

import functools

import jax
import jax.numpy as jnp

from siri_jax import shapes

# Most vocabulary entries of a device whose gradient of the head exists in
# float32 at one time. All of them take 2.2 GB for the 7B.
WORDS = 20_000
LEAST = -1e30  # The logit of what is never sampled.


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def logp_and_entropy(
  hidden, head, targets, live, temperature, chunk, cut=1, padding=0
):
  """Log-probability of each target and entropy of each distribution.

  logp = l[target], entropy = -sum(exp(l) l), with l = log_softmax(z) and
  z = hidden @ head / temperature in float32.

  Args:
    hidden: [T, D], float32 or bfloat16.
    head: [D, V], of the same dtype.
    targets: int32 [T].
    live: bool [T], tokens in the loss; others are not computed.
    temperature: float32 [], above 0; gets no gradient.
    chunk: tokens whose logits exist at one time; does not change the result.
    cut: devices that share V; each has a contiguous range.
    padding: last words, which have probability 0 and get no gradient.
  Returns:
    float32 [T] log-probabilities and float32 [T] entropies, nats; 0 where live
    is False.
  Raises:
    ValueError: shapes differ.
  """
  given = (hidden, head, targets, live, temperature)
  return _forward(*given, chunk, cut, padding)[0]


def _forward(hidden, head, targets, live, temperature, chunk, cut, padding):
  del cut  # The compiler shards the forward pass.
  size = shapes.check('T D, D V, T, T', hidden, head, targets, live)

  def one(i, out):
    z = _logits(h[i], head, temperature)
    if padding:  # Finite: a weight of 0 times an infinity would be NaN.
      z = jnp.where(jnp.arange(size['V']) < size['V'] - padding, z, LEAST)
    picked = jnp.take_along_axis(z, target[i][:, None], axis=-1)
    top = jnp.max(z, axis=-1, keepdims=True)
    weights = jnp.exp(z - top)
    # Two sums in one pass; neither term of the entropy is negative.
    total, below = jax.lax.reduce(
      (weights, weights * (top - z)), (jnp.float32(0),) * 2, _added, (1,)
    )
    lse = top[:, 0] + jnp.log(total)
    found = (picked[:, 0] - lse, jnp.log(total) + below / total, lse)
    return tuple(x.at[i].set(y) for x, y in zip(out, found, strict=True))

  places, used = _chunks(live, chunk)
  h, target = (_at(x, places) for x in (hidden, targets))
  zeros = (jnp.zeros(places.shape, jnp.float32),) * 3
  found = jax.lax.fori_loop(0, used, one, zeros)
  logp, entropy, lse = (_put(x, places, size['T']) for x in found)
  saved = (hidden, head, targets, live, temperature, entropy, lse)
  return (logp, entropy), saved


def _backward(chunk, cut, padding, saved, slopes):
  hidden, head, targets, live, temperature, entropy, lse = saved
  wide = jnp.promote_types(head.dtype, jnp.float32)
  places, used = _chunks(live, chunk)
  h = _at(hidden, places)
  of_tokens = [
    _at(x, places)[..., None] for x in (targets, entropy, lse, *slopes)
  ]
  count = blocks(head.shape[1] // cut)
  # Each device has its part of each block.
  words = jnp.arange(head.shape[1]).reshape(cut, count, -1)
  parts = jnp.moveaxis(head.reshape(-1, *words.shape), 1, 0)

  def block(b, sums):
    d_h, d_head = sums
    part = jnp.moveaxis(parts[:, :, b], 0, 1).reshape(len(head), -1)
    own = words[:, b].reshape(-1)
    drawn = own < head.shape[1] - padding if padding else None
    d_h, d_part = _add_block(
      d_h, part, own, drawn, h, of_tokens, used, temperature
    )
    d_part = d_part.astype(head.dtype).reshape(len(head), cut, -1)
    return d_h, d_head.at[:, :, b].set(jnp.moveaxis(d_part, 1, 0))

  zeros = jnp.zeros(h.shape, wide), jnp.zeros(parts.shape, head.dtype)
  d_h, d_head = jax.lax.fori_loop(0, count, block, zeros)
  d_hidden = _put(d_h.astype(hidden.dtype), places, live.size)
  d_head = jnp.moveaxis(d_head, 0, 1).reshape(head.shape)
  return d_hidden, d_head, None, None, jnp.zeros_like(temperature)


logp_and_entropy.defvjp(_forward, _backward)


def blocks(words):
  """Number of blocks of a device's vocabulary in the backward pass.

  The blocks are equal and have at most WORDS entries. If no such number divides
  the vocabulary, there is one block.
  """
  least = -(-words // WORDS)
  return next((n for n in range(least, 4 * least) if words % n == 0), 1)


def _add_block(d_h, part, words, drawn, h, of_tokens, used, temperature):
  """Adds a block's part to d_h; returns it and the gradient of the block.

  `drawn` is False for words that are padding; None: there is none.
  """
  wide = d_h.dtype

  def one(i, sums):
    target, ent, norm, d_logp, d_entropy = (x[i] for x in of_tokens)
    z = _logits(h[i], part, temperature) - norm  # log-softmax
    p = jnp.exp(z) if drawn is None else jnp.where(drawn, jnp.exp(z), 0.0)
    d_z = d_logp * ((target == words) - p)
    d_z -= d_entropy * p * (z + ent)
    d_z = (d_z / temperature).astype(h.dtype)
    d_rows = jnp.einsum('tv,dv->td', d_z, part, preferred_element_type=wide)
    d_part = jnp.einsum('td,tv->dv', h[i], d_z, preferred_element_type=wide)
    return sums[0].at[i].add(d_rows), sums[1] + d_part

  return jax.lax.fori_loop(0, used, one, (d_h, jnp.zeros(part.shape, wide)))


def _added(a, b):
  return a[0] + b[0], a[1] + b[1]


def _logits(hidden, head, temperature):
  z = jnp.einsum('td,dv->tv', hidden, head, preferred_element_type=jnp.float32)
  return z / temperature


def _chunks(live, chunk):
  """Indices of the live tokens in chunks, and the number of chunks in use.

  Returns:
    int32 [chunks, chunk], filled with T (out of range) after the last live
    token; int32 [].
  """
  tokens = live.shape[0]
  chunk = min(chunk, tokens)
  room = -(-tokens // chunk) * chunk
  # A sort is one kernel. jnp.nonzero is fifteen, which take long to compile.
  order = jnp.where(live, jnp.arange(tokens), tokens)
  order = jnp.pad(jnp.sort(order), (0, room - tokens), constant_values=tokens)
  return order.reshape(-1, chunk), -(-jnp.sum(live) // chunk)


def _at(x, places):
  """Rows of an array; zeros for indices out of range."""
  return x.at[places].get(mode='fill', fill_value=0)


def _put(rows, places, tokens):
  """Zeros for `tokens` tokens, with these rows at these indices."""
  x = jnp.zeros((tokens, *rows.shape[2:]), rows.dtype)
  return x.at[places].set(rows, mode='drop')
