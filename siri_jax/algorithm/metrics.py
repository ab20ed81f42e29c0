"""A step's metrics as plain numbers."""

import numpy as np

from siri_jax import types

# The first keys of a record; other keys follow.
ORDER = (
  'step',
  'cap',
  'phase',
  'reward_mean',
  'accuracy',
  'length_mean',
  'length_p90',
  'length_correct',
  'length_wrong',
  'truncated_frac',
  'zero_variance_frac',
  'entropy',
  'loss',
  'grad_norm',
  'clip_low_frac',
  'clip_high_frac',
  'ratio_max',
  'sampler_gap',
  'tokens',
  'weight_version',
  'compile_count',
  'rollout_secs',
  'grade_secs',
  'update_secs',
  'push_secs',
  'step_secs',
  'tokens_per_sec',
)


def ordered(record):
  """The record with the keys of ORDER first, in that order."""
  first = [key for key in ORDER if key in record]
  return {key: record[key] for key in [*first, *record]}


def of_samples(batch, rewards):
  """The metrics of a step's samples.

  Args:
    batch: types.Batch of numpy arrays.
    rewards: float32 [N, G].
  Returns:
    dict of floats, and `tokens`, the sum over responses, int. Lengths are in
    tokens; the mean of an empty set is NaN. Where prompts ask for a target,
    `target_mean` and `target_gap`, the mean distance of a length from it.
  """
  lengths, correct = np.asarray(batch.length), np.asarray(batch.correct)
  return {
    'reward_mean': float(np.mean(rewards)),
    'accuracy': float(np.mean(correct)),
    'length_mean': float(np.mean(lengths)),
    'length_p90': float(np.percentile(lengths, 90)),
    'length_correct': _mean(lengths[correct]),
    'length_wrong': _mean(lengths[~correct]),
    'truncated_frac': float(np.mean(batch.truncated)),
    'zero_variance_frac': float(np.mean(np.ptp(rewards, axis=1) == 0)),
    'tokens': int(np.sum(lengths)),
    **_of_targets(lengths, np.asarray(batch.target)),
  }


def _of_targets(lengths, target):
  """The metrics of targets in prompts, where there are any."""
  if not np.any(target):
    return {}
  return {
    'target_mean': float(np.mean(target)),
    'target_gap': float(np.mean(np.abs(lengths - target))),
  }


def summary(batch):
  """What the next step's schedule knows of a step.

  Args:
    batch: types.Batch of numpy arrays.
  Returns:
    types.StepSummary.
  """
  right = batch.length[batch.correct]
  shares = np.linspace(0, 1, types.QUANTILES)
  return types.StepSummary(
    samples=np.asarray(batch.length.size, np.int32),
    accuracy=np.asarray(np.mean(batch.correct), np.float32),
    truncated_frac=np.asarray(np.mean(batch.truncated), np.float32),
    right_lengths=np.quantile(right if right.size else [0], shares).astype(
      np.float32
    ),
  )


def of_rewards(parts):
  """The mean of each part of the rewards, before its weight.

  Args:
    parts: name -> float32 [N, G], reward units.
  Returns:
    dict of floats, 'rewards/NAME'.
  """
  return {f'rewards/{name}': float(np.mean(x)) for name, x in parts.items()}


def of_update(totals):
  """The metrics of a step's update: sums become shares or means.

  Args:
    totals: metrics of update.merge_metrics, as floats.
  Returns:
    dict of floats. `x_sum` becomes the share `x_frac` for counts of tokens
    (clip_*) and the mean `x` for others (entropy, kl). The means of sampler_*
    are over tokens with a sampler log-probability; NaN if there are none.
  """
  tokens = max(totals['tokens_sum'], 1.0)
  out = {}
  for name, value in totals.items():
    if name.startswith('sampler_'):
      out |= _agreement(name, value, totals)
    elif name.startswith('clip_'):
      out[name.removesuffix('_sum') + '_frac'] = value / tokens
    elif name.endswith('_sum') and name != 'tokens_sum':
      out[name.removesuffix('_sum')] = value / tokens
    elif name != 'tokens_sum':
      out[name] = value
  return out


def _agreement(name, value, totals):
  """A sum of update._agreement as a mean over its tokens."""
  name = name.removesuffix('_sum')
  if name.startswith('sampler_told') or name.endswith('_max'):
    return {} if name.startswith('sampler_told_') else {name: value}
  _, _, stretch = name.partition('_from_')
  tokens = totals[
    f'sampler_told_from_{stretch}_sum' if stretch else 'sampler_told_sum'
  ]
  return {name: value / tokens if tokens else float('nan')}


def counted(before, after):
  """Differences of the counters of sampling and grading over a step.

  Args:
    before: counters at the start of the step.
    after: counters at its end.
  Returns:
    dict of int.
  """
  return {name: after[name] - before[name] for name in after}


def _mean(values):
  return float(np.mean(values)) if values.size else float('nan')
