"""The optimiser: one optax chain."""

import optax


def adamw(*, learning_rate, warmup_steps, b1, b2, eps, weight_decay, clip_norm):
  """AdamW on every parameter, after clipping by the global norm.

  Args:
    learning_rate: constant rate, or an optax schedule.
    warmup_steps: optimiser steps over which a constant rate rises from 0.
    b1: decay of the first moment.
    b2: decay of the second moment.
    eps: added to the root of the second moment.
    weight_decay: decoupled, times the rate; on all parameters, as PyTorch.
    clip_norm: largest global norm of a gradient.
  Returns:
    optax.GradientTransformation.
  Source: decoupled weight decay, arxiv.org/abs/1711.05101.
  """
  if warmup_steps:
    learning_rate = optax.linear_schedule(
      learning_rate / warmup_steps, learning_rate, warmup_steps - 1
    )
  return optax.chain(
    optax.clip_by_global_norm(clip_norm),
    optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay),
  )
