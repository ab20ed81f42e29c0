"""Log-probabilities and entropies of tokens, without [T, V] logits.

Logits exist for one chunk of tokens at a time, in float32, and are worked out
again in the backward pass.
"""

import functools

import jax
import jax.numpy as jnp

from siri_jax import shapes


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def logp_and_entropy(hidden, head, targets, temperature, chunk):
  """Log-probability of each target and entropy of each distribution.

  logp = l[target], entropy = -sum(exp(l) l), with l = log_softmax(z) and
  z = hidden @ head / temperature in float32.

  Args:
    hidden: [T, D], float32 or bfloat16.
    head: [D, V], of the same dtype.
    targets: int32 [T].
    temperature: float32 [], above 0; gets no gradient.
    chunk: tokens whose logits exist at one time; changes no result.
  Returns:
    float32 [T] log-probabilities and float32 [T] entropies, nats.
  Raises:
    ValueError: shapes differ.
  """
  return _forward(hidden, head, targets, temperature, chunk)[0]


def _forward(hidden, head, targets, temperature, chunk):
  tokens = shapes.check('T D, D V, T', hidden, head, targets)['T']

  def one(_, part):
    z = _logits(part[0], head, temperature)
    lse = jax.nn.logsumexp(z, axis=-1)
    picked = jnp.take_along_axis(z, part[1][:, None], axis=-1)[:, 0]
    # Of normalised logits: lse - sum(p z) would cancel where z is large.
    z -= lse[:, None]
    entropy = -jnp.sum(jnp.exp(z) * z, axis=-1)
    return None, (picked - lse, entropy, lse)

  parts = _split(chunk, hidden, targets)
  _, out = jax.lax.scan(one, None, parts)
  logp, entropy, lse = (x.reshape(-1)[:tokens] for x in out)
  return (logp, entropy), (hidden, head, targets, temperature, entropy, lse)


def _backward(chunk, saved, cotangents):
  hidden, head, targets, temperature, entropy, lse = saved
  tokens = hidden.shape[0]
  wide = jnp.promote_types(head.dtype, jnp.float32)

  def one(d_head, part):
    h, target, ent, norm, d_logp, d_entropy = part
    z = _logits(h, head, temperature) - norm[:, None]  # log-softmax
    p = jnp.exp(z)
    hot = jax.nn.one_hot(target, head.shape[1], dtype=p.dtype)
    d_z = d_logp[:, None] * (hot - p)
    d_z -= d_entropy[:, None] * p * (z + ent[:, None])
    d_z = (d_z / temperature).astype(h.dtype)
    d_hidden = jnp.einsum('tv,dv->td', d_z, head)
    d_head += jnp.einsum('td,tv->dv', h, d_z, preferred_element_type=wide)
    return d_head, d_hidden

  parts = _split(chunk, hidden, targets, entropy, lse, *cotangents)
  d_head, d_hidden = jax.lax.scan(one, jnp.zeros(head.shape, wide), parts)
  d_hidden = d_hidden.reshape(-1, hidden.shape[1])[:tokens]
  d_head = d_head.astype(head.dtype)
  return d_hidden, d_head, None, jnp.zeros_like(temperature)


logp_and_entropy.defvjp(_forward, _backward)


def _logits(hidden, head, temperature):
  z = jnp.einsum('td,dv->tv', hidden, head, preferred_element_type=jnp.float32)
  return z / temperature


def _split(chunk, *arrays):
  """Pads [T, ...] arrays with zeros and cuts them into [chunks, chunk, ...]."""
  tokens = arrays[0].shape[0]
  chunk = min(chunk, tokens)
  pad = -tokens % chunk

  def cut(x):
    x = jnp.pad(x, [(0, pad)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(-1, chunk, *x.shape[1:])

  return tuple(cut(x) for x in arrays)
