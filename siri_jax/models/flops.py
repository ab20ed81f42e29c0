"""FLOPs of sequences.

Half of the attention matrix is counted, because it is causal. Recomputation is
not counted.
Source: PaLM, appendix B, arxiv.org/abs/2204.02311, with attention halved.
"""

import numpy as np

from siri_jax.models import lora


def weights(shape):
  """Number of weights that multiply a token: the layers' matrices and the head.

  Args:
    shape: decoder.ModelConfig.
  """
  heads = 2 * shape.heads + 2 * shape.kv_heads
  layer = shape.dim * (heads * shape.head_dim + 3 * shape.mlp)
  return shape.layers * layer + shape.dim * shape.vocab


def forward(shape):
  """FLOPs of a forward pass as the coefficients of a polynomial.

  Args:
    shape: decoder.ModelConfig.
  Returns:
    (a, b); a sequence of T tokens costs a T + b T^2.
  """
  return 2 * weights(shape), 2 * shape.layers * shape.heads * shape.head_dim


def passes(shape, adapters):
  """FLOPs of a token in an update, in forward passes; without attention.

  The backward pass of a trained matrix takes two products of the forward's
  size, that of a frozen one takes one.

  Args:
    shape: decoder.ModelConfig.
    adapters: lora.Adapters.
  Returns:
    3, or with adapters little more than 2.
  """
  if not adapters.rank:
    return 3
  a, _ = forward(shape)
  return 2 + 3 * 2 * lora.param_count(shape, adapters) / a


def update(shape, lengths, adapters=lora.NONE):
  """FLOPs of one forward and backward pass over sequences.

  Args:
    shape: decoder.ModelConfig.
    lengths: int [B], tokens of each sequence.
    adapters: lora.Adapters.
  """
  a, b = forward(shape)
  lengths = np.asarray(lengths, np.float64)
  of_weights = passes(shape, adapters) * a * lengths
  return float(np.sum(of_weights + 3 * b * lengths**2))
