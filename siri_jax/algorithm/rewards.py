"""PLUG-IN family: rewards, `(batch, *, settings) -> float32 [B]`.

A reward gets all samples of the step (types.Batch), so that it can compare the
samples of a group or of the batch.
"""

import jax
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


def recorded(batch):
  """The weight of each response in its training set.

  Args:
    batch: types.Batch of a training set.
  Returns:
    float32 [B], in the unit of its training set.
  Raises:
    ValueError: the batch's arrays are not [B].
  """
  shapes.check('B, B', batch.weight, batch.length)
  return jnp.asarray(batch.weight, jnp.float32)


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
  """`lcpo_exact`, with a soft limit where the target is an upper bound.

  The limited reward is clip(alpha * (target - length) + delta, 0, 1) if right,
  else 0.

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


def answer_score(batch, *, right, wrong, unanswered):
  """A score for right, wrong and missing answers.

  Args:
    batch: types.Batch.
    right: reward units.
    wrong: of an answer that is not right.
    unanswered: of a response without an answer.
  Returns:
    float32 [B].
  Raises:
    ValueError: the batch's arrays are not [B].
  Source: Laser, verl/utils/reward_score/hf_math_verifier.py: 1, -0.5, -1.
  """
  shapes.check('B, B', batch.correct, batch.answered)
  other = jnp.where(batch.answered, wrong, unanswered)
  return jnp.where(batch.correct, right, other).astype(jnp.float32)


def truncation_scaled(batch, *, scale):
  """The capped reward, times `scale` if the cap cut the response.

  Args:
    batch: types.Batch.
    scale: 0..1; 1: `length_capped`; 0: a response must end under the cap.
  Returns:
    float32 [B], in [0, 1].
  Raises:
    ValueError: the batch's arrays are not [B], or scale is not from 0 to 1.
  Source: DLER, as the stop-properly penalty of NeMo RL's guide to ProRLv2.
  """
  if not 0 <= scale <= 1:
    raise ValueError(f'scale={scale} is not from 0 to 1')
  return length_capped(batch) * jnp.where(batch.truncated, scale, 1.0)


def cosine_length(batch, *, right, wrong):
  """Half a cosine in the length, from a value at 0 tokens to one at the cap.

  Args:
    batch: types.Batch.
    right: (reward at 0 tokens, at the cap) of right responses.
    wrong: the same of the others.
  Returns:
    float32 [B]; above the cap as at it.
  Raises:
    ValueError: the batch's arrays are not [B], or a pair is none.
  Source: open-rs, get_cosine_scaled_reward, github.com/knoveleng/open-rs, which
    measures characters over a fixed length; here tokens over the step's cap.
  """
  for name, pair in dict(right=right, wrong=wrong).items():
    if len(pair) != 2:
      raise ValueError(f'{name}={pair} is not (at 0 tokens, at the cap)')
  share = jnp.minimum(batch.length / batch.cap, 1.0)
  falls = (1 + jnp.cos(jnp.pi * share)) / 2
  ends = jnp.where(
    length_capped(batch)[:, None] > 0, jnp.asarray(right), jnp.asarray(wrong)
  )
  start, end = ends.astype(jnp.float32).T
  return end + (start - end) * falls


def length_bonus(batch, *, target, bonus, right, wrong, unanswered):
  """LASER: `answer_score`, plus a bonus if right within a target length.

  Args:
    batch: types.Batch.
    target: tokens.
    bonus: reward units.
    right: as in `answer_score`.
    wrong: as in `answer_score`.
    unanswered: as in `answer_score`.
  Returns:
    float32 [B].
  Raises:
    ValueError: the batch's arrays are not [B].
  Source: LASER, arxiv.org/abs/2505.15612; compute_length_reward_larse with
    the type "reward", github.com/hkust-nlp/Laser.
  """
  score = answer_score(batch, right=right, wrong=wrong, unanswered=unanswered)
  short = batch.correct & (batch.length <= target)
  return score + jnp.where(short, jnp.float32(bonus), 0.0)


def range_in_group(batch, *, weight):
  """Kimi k1.5: 1 if right, plus where the length is in its group's range.

  x = 1/2 - (length - shortest) / (longest - shortest), over all responses of
  the group. A right response has 1 + weight * x, another weight * min(0, x).
  In a group of equal lengths x is 0.

  Args:
    batch: types.Batch.
    weight: of the length term, reward units; Laser's comparison: 0.4.
  Returns:
    float32 [B].
  Raises:
    ValueError: the batch's arrays are not [B].
  Source: Kimi k1.5, section 2.3.3, arxiv.org/abs/2501.12599, as open-rs's
    len_reward and Laser's compute_kimi_penalty quote it.
  """
  right = length_capped(batch)
  length = jnp.asarray(batch.length, jnp.float32)
  shortest = _of_group(jax.ops.segment_min, length, batch)
  width = _of_group(jax.ops.segment_max, length, batch) - shortest
  place = 0.5 - (length - shortest) / jnp.maximum(width, 1.0)
  place = jnp.where(width > 0, place, 0.0)
  return right + weight * jnp.where(right > 0, place, jnp.minimum(place, 0.0))


def sigmoid_in_group(batch, *, alpha):
  """Arora and Zanette: right answers lose more, the longer for their group.

  1 - alpha * sigmoid((length - mean) / (deviation + 1e-7)) if right, else 0;
  mean and deviation over the right responses of the group. A response that the
  cap cut has 0.

  Args:
    batch: types.Batch.
    alpha: 0..1, the most that a right answer loses.
  Returns:
    float32 [B], in [0, 1].
  Raises:
    ValueError: the batch's arrays are not [B], or alpha is not from 0 to 1.
  Source: reward_server/math_server.py with check_eos,
    github.com/Zanette-Labs/efficient-reasoning; arxiv.org/abs/2502.04463.
  """
  if not 0 <= alpha <= 1:
    raise ValueError(f'alpha={alpha} is not from 0 to 1')
  right = truncation_scaled(batch, scale=0.0)
  apart, squares, count = _spread(right, batch)
  deviation = jnp.sqrt(squares / jnp.maximum(count, 1.0))
  return right * (1 - alpha * jax.nn.sigmoid(apart / (deviation + 1e-7)))


def decay_in_group(batch, *, alpha, least, right, wrong, unanswered):
  """GRPO-LEAD: right answers decay with their length in their group.

  right * exp(-alpha * z) with z = (length - mean) / (deviation + 1e-6), mean
  and unbiased deviation over the right responses of the group (1 of a single
  one). Groups whose three shortest responses have a mean of at most `least`
  tokens do not decay.

  Args:
    batch: types.Batch.
    alpha: decay for each deviation; GRPO-LEAD: 0.05.
    least: tokens.
    right: reward units.
    wrong: of an answer that is not right.
    unanswered: of a response without an answer.
  Returns:
    float32 [B].
  Raises:
    ValueError: the batch's arrays are not [B].
  Source: get_reweight_rewards in verl/verl/trainer/main_ppo.py,
    github.com/aeroplanepaper/GRPO-LEAD; arxiv.org/abs/2504.09696.
  """
  score = answer_score(batch, right=right, wrong=wrong, unanswered=unanswered)
  apart, squares, count = _spread(length_capped(batch), batch)
  deviation = jnp.sqrt(squares / jnp.maximum(count - 1, 1.0))
  deviation = jnp.where(count > 1, deviation, 1.0)
  decay = jnp.exp(-alpha * apart / (deviation + 1e-6))
  decays = batch.correct & (_mean_of_shortest(3, batch) > least)
  return score * jnp.where(decays, decay, 1.0)


def _spread(right, batch):
  """Over the right responses of a group, at each of its samples.

  Returns the length minus their mean, the sum of its squares, their number.
  """
  length = jnp.asarray(batch.length, jnp.float32)
  count = _of_group(jax.ops.segment_sum, right, batch)
  total = _of_group(jax.ops.segment_sum, right * length, batch)
  apart = length - total / jnp.maximum(count, 1.0)
  return apart, _of_group(jax.ops.segment_sum, right * apart**2, batch), count


def _mean_of_shortest(number, batch):
  """Mean length of the shortest responses of a group, at each sample."""
  length = jnp.asarray(batch.length, jnp.float32)
  order = jnp.lexsort((length, batch.group))
  place = jnp.zeros_like(order).at[order].set(jnp.arange(order.size))
  rank = place - _of_group(jax.ops.segment_min, place, batch)
  taken = (rank < number).astype(jnp.float32)
  total = _of_group(jax.ops.segment_sum, taken * length, batch)
  return total / _of_group(jax.ops.segment_sum, taken, batch)


def _of_group(reduce, values, batch):
  """A reduction over each group, at each of its samples: [B]."""
  # There are at most as many groups as samples, and the shape must be fixed.
  return reduce(values, batch.group, num_segments=values.size)[batch.group]
