"""PLUG-IN family: aggregations of token losses to one number.

`(lengths [B], *, settings) -> (weight of each token [B], denominator [])`.
The loss of a mini-batch is the weighted sum over all its tokens, divided once
by the denominator. It therefore does not depend on micro-batches, padding or
the number of devices.
"""

import jax.numpy as jnp

from siri_jax import shapes


def sequence_mean(lengths):
  """Mean over a response's tokens, then over responses.

  Args:
    lengths: int32 [B], response tokens of each sample of the mini-batch.
  Returns:
    float32 [B] weight of every token of a sample, 1 / length; float32 [], B.
  Raises:
    ValueError: lengths is not [B].
  Source: SIRI, the objective of section 3, arxiv.org/abs/2509.25176.
  """
  size = shapes.check('B', lengths)['B']
  return 1.0 / lengths.astype(jnp.float32), jnp.float32(size)


def token_mean(lengths):
  """Mean over all tokens of the mini-batch: long responses weigh more.

  Args:
    lengths: int32 [B], response tokens of each sample of the mini-batch.
  Returns:
    float32 [B] weights of 1; float32 [], the tokens of the mini-batch.
  Raises:
    ValueError: lengths is not [B].
  Source: DAPO, section 3.3, arxiv.org/abs/2503.14476.
  """
  shapes.check('B', lengths)
  weights = jnp.ones_like(lengths, jnp.float32)
  return weights, lengths.sum().astype(jnp.float32)


def constant_denominator(lengths, *, tokens):
  """The sum over tokens, divided by the responses times a constant.

  The constant must not follow the cap, or the schedule would scale the update.

  Args:
    lengths: int32 [B], response tokens of each sample of the mini-batch.
    tokens: the constant, tokens a response; the highest cap is customary.
  Returns:
    float32 [B] weights of 1; float32 [], B * tokens.
  Raises:
    ValueError: lengths is not [B], or tokens is not above 0.
  Source: Dr. GRPO, section 3.2, arxiv.org/abs/2503.20783.
  """
  size = shapes.check('B', lengths)['B']
  if not tokens > 0:
    raise ValueError(f'tokens={tokens} is not above 0')
  weights = jnp.ones_like(lengths, jnp.float32)
  return weights, jnp.float32(size * tokens)
