"""What a sequence costs, in floating-point operations.

Causal attention counts by half, and nothing that is worked out twice counts
twice: these are the operations that the mathematics needs.
Source: PaLM, appendix B, arxiv.org/abs/2204.02311, with attention halved.
"""

import numpy as np


def weights(shape):
  """Weights that multiply every token: the layers' matrices and the head.

  Args:
    shape: qwen2.ModelConfig.
  """
  heads = 2 * shape.heads + 2 * shape.kv_heads
  layer = shape.dim * (heads * shape.head_dim + 3 * shape.mlp)
  return shape.layers * layer + shape.dim * shape.vocab


def forward(shape):
  """Operations of a forward pass: (a token, a squared token of a sequence).

  Args:
    shape: qwen2.ModelConfig.
  Returns:
    (a, b), so that a sequence of T tokens costs a T + b T^2.
  """
  return 2 * weights(shape), 2 * shape.layers * shape.heads * shape.head_dim


def update(shape, lengths):
  """Operations of one forward and backward pass over sequences.

  Args:
    shape: qwen2.ModelConfig.
    lengths: int [B], tokens of each.
  """
  a, b = forward(shape)
  lengths = np.asarray(lengths, np.float64)
  return 3 * float(np.sum(a * lengths + b * lengths**2))
