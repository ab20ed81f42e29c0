"""Log-probabilities and entropies of tokens, without [T, V] logits.

Logits exist for one chunk of tokens at a time, in float32, and are worked out
again in the backward pass; tokens that carry no loss have none.
"""

import functools

import jax
import jax.numpy as jnp

from siri_jax import shapes


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def logp_and_entropy(hidden, head, targets, live, temperature, chunk):
  """Log-probability of each target and entropy of each distribution.

  logp = l[target], entropy = -sum(exp(l) l), with l = log_softmax(z) and
  z = hidden @ head / temperature in float32.

  Args:
    hidden: [T, D], float32 or bfloat16.
    head: [D, V], of the same dtype.
    targets: int32 [T].
    live: bool [T]; the other tokens cost nothing.
    temperature: float32 [], above 0; gets no gradient.
    chunk: tokens whose logits exist at one time; changes no result.
  Returns:
    float32 [T] log-probabilities and float32 [T] entropies, nats; 0 at
    tokens that are not live.
  Raises:
    ValueError: shapes differ.
  """
  return _forward(hidden, head, targets, live, temperature, chunk)[0]


def _forward(hidden, head, targets, live, temperature, chunk):
  size = shapes.check('T D, D V, T, T', hidden, head, targets, live)

  def one(i, out):
    places = order[i]
    z = _logits(_at(hidden, places), head, temperature)
    lse = jax.nn.logsumexp(z, axis=-1)
    picked = jnp.take_along_axis(z, _at(targets, places)[:, None], axis=-1)
    # Of normalised logits: lse - sum(p z) would cancel where z is large.
    z -= lse[:, None]
    found = (picked[:, 0] - lse, -jnp.sum(jnp.exp(z) * z, axis=-1), lse)
    return tuple(_put(x, places, y) for x, y in zip(out, found, strict=True))

  order, used = _chunks(live, chunk)
  zeros = (jnp.zeros(size['T'], jnp.float32),) * 3
  logp, entropy, lse = jax.lax.fori_loop(0, used, one, zeros)
  saved = (hidden, head, targets, live, temperature, entropy, lse)
  return (logp, entropy), saved


def _backward(chunk, saved, slopes):
  hidden, head, targets, live, temperature, entropy, lse = saved
  wide = jnp.promote_types(head.dtype, jnp.float32)

  def one(i, sums):
    d_hidden, d_head = sums
    places = order[i]
    h, target, ent, norm, d_logp, d_entropy = (
      _at(x, places) for x in (hidden, targets, entropy, lse, *slopes)
    )
    z = _logits(h, head, temperature) - norm[:, None]  # log-softmax
    p = jnp.exp(z)
    hot = jax.nn.one_hot(target, head.shape[1], dtype=p.dtype)
    d_z = d_logp[:, None] * (hot - p)
    d_z -= d_entropy[:, None] * p * (z + ent[:, None])
    d_z = (d_z / temperature).astype(h.dtype)
    d_head += jnp.einsum('td,tv->dv', h, d_z, preferred_element_type=wide)
    return _put(d_hidden, places, jnp.einsum('tv,dv->td', d_z, head)), d_head

  order, used = _chunks(live, chunk)
  zeros = jnp.zeros_like(hidden), jnp.zeros(head.shape, wide)
  d_hidden, d_head = jax.lax.fori_loop(0, used, one, zeros)
  d_head = d_head.astype(head.dtype)
  return d_hidden, d_head, None, None, jnp.zeros_like(temperature)


logp_and_entropy.defvjp(_forward, _backward)


def _logits(hidden, head, temperature):
  z = jnp.einsum('td,dv->tv', hidden, head, preferred_element_type=jnp.float32)
  return z / temperature


def _chunks(live, chunk):
  """Places of the live tokens in chunks, and how many chunks hold any.

  Returns:
    int32 [chunks, chunk], beyond the last live token T, which is no place;
    int32 [].
  """
  tokens = live.shape[0]
  chunk = min(chunk, tokens)
  room = -(-tokens // chunk) * chunk
  (order,) = jnp.nonzero(live, size=room, fill_value=tokens)
  return order.reshape(-1, chunk), -(-jnp.sum(live) // chunk)


def _at(x, places):
  """Rows of an array; zeros for what is no place."""
  return x.at[places].get(mode='fill', fill_value=0)


def _put(x, places, rows):
  """The array with these rows in their places."""
  return x.at[places].set(rows, mode='drop')
