"""PLUG-IN family: rewards, `(batch, *, settings) -> float32 [B]`.

A reward gets all samples of the step (types.Batch), so that it can compare the
samples of a group or of the batch.
"""

import jax.numpy as jnp

from siri_jax import shapes

EXACTLY, AT_MOST = range(2)  # Modes of a target in the prompt.


def length_capped(batch):
  """1 if the response, clipped to the cap, has the right answer, else 0.

  The grader reads the clipped response, so its verdict is the reward.

  Args:
    batch: types.Batch.
  Returns:
    float32 [B], in {0, 1}.
  Raises:
    ValueError: the batch's arrays are not [B].
  Source: SIRI, section 4.1, arxiv.org/abs/2509.25176.
  """
  shapes.check('B, B', batch.correct, batch.length)
  return batch.correct.astype(jnp.float32)


def overlong_buffer(batch, *, buffer, factor):
  """The capped reward minus a ramp over the last tokens before the cap.

  R - factor * clip((length - (cap - buffer)) / buffer, 0, 1). The ramp moves
  with the schedule's cap. It does not grow above the cap, because a response
  that is clipped only for the reward may be much longer.

  Args:
    batch: types.Batch.
    buffer: tokens before the cap over which the penalty grows to `factor`; a
      plan refuses more than the lowest cap, under which all would be penalised.
    factor: reward units at the cap.
  Returns:
    float32 [B].
  Raises:
    ValueError: the batch's arrays are not [B], or buffer is below 1.
  Source: DAPO, section 3.4, arxiv.org/abs/2503.14476.
  """
  if buffer < 1:
    raise ValueError(f'buffer={buffer} is below 1 token')
  over = (batch.length - (batch.cap - buffer)) / buffer
  return length_capped(batch) - factor * jnp.clip(over, 0.0, 1.0)


def lcpo_exact(batch, *, alpha):
  """1 if right, else 0, minus `alpha` for each token off the target.

  Args:
    batch: types.Batch, whose prompts ask for a target.
    alpha: reward units a token; L1: 0.0003.
  Returns:
    float32 [B].
  Raises:
    ValueError: the batch's arrays are not [B].
  Source: L1, equation 1, arxiv.org/abs/2503.04697; its math_reward.py with
    linear_reward is the same.
  """
  shapes.check('B, B', batch.target, batch.length)
  off = jnp.abs(batch.target - batch.length)
  return length_capped(batch) - alpha * off


def lcpo_max(batch, *, alpha, delta):
  """`lcpo_exact`, but where the target is an upper bound a soft limit.

  There it is clip(alpha * (target - length) + delta, 0, 1) if right, else 0.

  Args:
    batch: types.Batch, whose prompts ask for a target, with a mode of AT_MOST
      where it is an upper bound.
    alpha: reward units a token; L1: 0.0003.
    delta: reward of a right response of exactly the target; L1: 0.5.
  Returns:
    float32 [B].
  Raises:
    ValueError: the batch's arrays are not [B].
  Source: L1, equation 2, arxiv.org/abs/2503.04697. Its math_reward.py halves
    the slope: (clip(alpha * (target - length), -1, 1) + 1) / 2.
  """
  spare = alpha * (batch.target - batch.length) + delta
  limited = length_capped(batch) * jnp.clip(spare, 0.0, 1.0)
  return jnp.where(
    batch.mode == AT_MOST, limited, lcpo_exact(batch, alpha=alpha)
  )
