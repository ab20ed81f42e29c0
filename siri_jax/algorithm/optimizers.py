"""The optimisers: optax chains."""

import jax
import optax

from siri_jax.models import decoder
from siri_jax.settings import from_zero, real, whole

SETTINGS = {
  'warmup_steps': whole(0),
  'b1': from_zero(1),
  'b2': from_zero(1),
  'eps': real(0),
  'weight_decay': from_zero(),
  'clip_norm': real(0),
}


def adamw(*, learning_rate, warmup_steps, b1, b2, eps, weight_decay, clip_norm):
  """AdamW on every parameter, after clipping by the global norm.

  Args:
    learning_rate: constant rate, or an optax schedule if warmup_steps is 0.
    warmup_steps: optimiser steps of a linear rise, from rate / warmup_steps to
      the rate.
    b1: decay of the first moment.
    b2: decay of the second moment.
    eps: added to the root of the second moment.
    weight_decay: decoupled, times the rate; on all parameters, as in PyTorch.
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


def muon(*, learning_rate, adam_learning_rate, b1, b2, eps, clip_norm):
  """Muon on the layers' matrices, Adam on the rest, after clipping.

  Args:
    learning_rate: Muon's rate, or an optax schedule.
    adam_learning_rate: of embedding, head, norms and biases.
    b1: decay of Muon's momentum and of Adam's first moment.
    b2: decay of Adam's second moment.
    eps: added to the root of Adam's second moment.
    clip_norm: largest global norm of a gradient.
  Returns:
    optax.GradientTransformation.
  Source: Muon, kellerjordan.github.io/posts/muon.
  """
  return optax.chain(
    optax.clip_by_global_norm(clip_norm),
    optax.contrib.muon(
      learning_rate,
      beta=b1,
      adam_b1=b1,
      adam_b2=b2,
      adam_learning_rate=adam_learning_rate,
      eps=eps,
      muon_weight_dimension_numbers=_dimensions,
    ),
  )


def _dimensions(params):
  """For each parameter, its axes as a matrix for Muon; None for Adam."""

  def one(path, x):
    name = path[-1].key
    if name not in decoder.MATRICES:
      return None
    axes, inputs = range(1, x.ndim), decoder.MATRICES[name]
    return optax.contrib.MuonDimensionNumbers(
      reduction_axis=tuple(axes[:inputs]), output_axis=tuple(axes[inputs:])
    )

  return jax.tree_util.tree_map_with_path(one, params)
