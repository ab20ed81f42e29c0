"""Rotary positions, and Llama 3's scaling of their frequencies.

Source: RoFormer, section 3.4, arxiv.org/abs/2104.09864, in the order of pairs
of Hugging Face's models.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class RopeScaling:
  """Llama 3's slower rotations for contexts beyond the original one.

  Attributes:
    factor: low frequencies are divided by it.
    low: turns within the original context, below which a frequency is low.
    high: turns above which a frequency stays as it is.
    context: positions of the original context.
  """

  factor: float
  low: float
  high: float
  context: int


def angles(shape, positions):
  """The rotary angles of positions [...], for `turn`.

  Returns:
    float32 [..., 1, 1, E / 2] cos, and [..., 1, 2, E / 2]: -sin, then sin.
  """
  half = shape.head_dim // 2
  # Rounded as in PyTorch: late in a response one bit is 5e-4 of a turn.
  inverse = 1 / shape.rope_theta ** (jnp.arange(half, dtype=jnp.float32) / half)
  if shape.rope_scaling:
    inverse = scaled(inverse, shape.rope_scaling)
  turned = positions[..., None, None, None].astype(jnp.float32) * inverse
  sin = jnp.sin(turned)
  # Otherwise XLA computes them again for each use.
  return jax.lax.optimization_barrier(
    (jnp.cos(turned), jnp.concatenate([-sin, sin], axis=-2))
  )


def scaled(inverse, scaling):
  """Divides low rotary frequencies by a factor, those between in part.

  Args:
    inverse: float32 [E / 2], radians a position.
    scaling: RopeScaling.
  Returns:
    float32 [E / 2].
  Source: Llama 3.1, models/llama3/reference_impl/model.py, apply_scaling, in
    github.com/meta-llama/llama-models.
  """
  turns = scaling.context / (2 * math.pi / inverse)
  kept = (turns - scaling.low) / (scaling.high - scaling.low)
  kept = jnp.clip(kept, 0.0, 1.0)
  return (1 - kept) * inverse / scaling.factor + kept * inverse


def turn(x, angles):
  """Rotates the pairs (x[i], x[i + E / 2]) of every head by their angles."""
  cos, sin = (a.astype(x.dtype) for a in angles)
  # A reversal is read in place; a concatenation of halves is slow on a CPU.
  pairs = x.reshape(*x.shape[:-1], 2, -1)
  return (pairs * cos + pairs[..., ::-1, :] * sin).reshape(x.shape)
