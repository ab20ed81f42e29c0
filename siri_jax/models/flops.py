"""FLOPs of sequences.

Half of the attention matrix is counted, because it is causal. Recomputation is
not counted.
Source: PaLM, appendix B, arxiv.org/abs/2204.02311, with attention halved.
"""

import numpy as np


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


def update(shape, lengths):
  """FLOPs of one forward and backward pass over sequences.

  Args:
    shape: decoder.ModelConfig.
    lengths: int [B], tokens of each sequence.
  """
  a, b = forward(shape)
  lengths = np.asarray(lengths, np.float64)
  return 3 * float(np.sum(a * lengths + b * lengths**2))
