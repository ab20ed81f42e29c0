"""Alarms on a run's records, with advice.

A pure function of the newest records. Nothing is judged before a few steps: a
run's first loss is about 0, because its policy is the one that sampled, so a
multiple of it means nothing. Shares, entropy and differences are judged by
their mean over a window, so that one odd step raises nothing.
"""

import math

from siri_jax.settings import from_zero, real, whole

SETTINGS = {
  'window': whole(1),
  'least_steps': whole(1),
  **dict.fromkeys(('cut', 'idle', 'ungraded'), real(0, 1)),
  **dict.fromkeys(
    ('gap', 'gap_growth', 'entropy', 'ratio', 'spike', 'spike_floor'),
    from_zero(),
  ),
}

ADVICE = {
  'cut': (
    '{share:.0%} of the responses are cut by the cap and get no reward: read '
    'a few in rollouts/; raise the cap or shorten the prompts'
  ),
  'idle': (
    '{share:.0%} of the groups have equal rewards and no gradient: the '
    "problems are too easy or too hard; use others, or collect='dynamic'"
  ),
  'ungraded': (
    '{share:.1%} of the responses hung or crashed a grader and count as wrong: '
    'raise grader_kw.secs or grader_kw.memory_gb, or check the machine load'
  ),
  'gap': (
    'sampler and trainer differ by {gap:.3g} nats a token: they do not '
    'compute the same policy; compare dtypes, temperature and weights'
  ),
  'gap_grows': (
    'sampler and trainer differ by {gap:.3g} nats a token, {times:.1f} times '
    'as much as before: weights may not arrive; compare their versions'
  ),
  'entropy': (
    'the entropy fell to {entropy:.3g} nats a token: the policy explores too '
    'little; lower learning_rate, raise the upper clip or the temperature'
  ),
  'ratio': (
    'a token became {ratio:.3g} times as likely within a step: lower '
    'learning_rate, minibatches or epochs; an earlier checkpoint is kept'
  ),
  'spike': (
    '{names} rose above {spike:g} times the maximum of the window before: '
    'read the samples of that step; to roll back, end the run, delete the '
    'checkpoints after that step, and resume with the same command'
  ),
}
SPIKES = ('loss', 'kl', 'grad_norm', 'length_mean')  # kl: of losses with a KL.


def raised(
  records,
  *,
  window,
  least_steps,
  cut,
  idle,
  ungraded,
  gap,
  gap_growth,
  entropy,
  ratio,
  spike,
  spike_floor,
):
  """The alarms after the newest record.

  Args:
    records: of metrics.jsonl, in order; the last 2 * window are used.
    window: steps of a mean.
    least_steps: least steps of a window, and of the window before for a
      comparison with it.
    cut: largest share of responses cut by the cap.
    idle: largest share of groups with equal rewards.
    ungraded: largest share of responses that hang or crash a grader.
    gap: largest mean difference of the sampler's and the trainer's
      log-probabilities, nats a token.
    gap_growth: largest growth factor of that difference from window to window,
      if it is above a tenth of `gap`.
    entropy: least entropy, nats a token.
    ratio: largest ratio of a token's probabilities within one step.
    spike: largest ratio of a step's loss, KL, gradient norm or mean length to
      the maximum of the window before.
    spike_floor: least value of a spike: nats of a loss or KL, norm of a
      gradient, tokens of a length.
  Returns:
    dict: name of the alarm -> message with advice.
  """
  now, before = records[-window:], records[-2 * window : -window]
  least = min(least_steps, window)
  if len(now) < least:
    return {}
  lost = _mean(now, 'grader_timeouts') + _mean(now, 'grader_crashes')
  seen = {
    'cut': dict(share=_mean(now, 'truncated_frac')),
    'idle': dict(share=_mean(now, 'zero_variance_frac')),
    'ungraded': dict(share=lost / max(_mean(now, 'grader_answers'), 1.0)),
    'gap': dict(gap=_mean(now, 'sampler_gap')),
    'entropy': dict(entropy=_mean(now, 'entropy')),
    'ratio': dict(ratio=_value(now[-1], 'ratio_max')),
    'spike': dict(names=_spikes(now, spike, spike_floor), spike=spike),
  }
  times = _mean(now, 'sampler_gap') / (_mean(before, 'sampler_gap') or math.inf)
  seen['gap_grows'] = dict(gap=seen['gap']['gap'], times=times)
  stands = {
    'cut': seen['cut']['share'] > cut,
    'idle': seen['idle']['share'] > idle,
    'ungraded': seen['ungraded']['share'] > ungraded,
    'gap': seen['gap']['gap'] > gap,
    'gap_grows': times > gap_growth and seen['gap']['gap'] > gap / 10,
    'entropy': seen['entropy']['entropy'] < entropy,
    'ratio': seen['ratio']['ratio'] > ratio,
    'spike': seen['spike']['names'] != '',
  }
  stands['gap_grows'] &= len(before) >= least
  return {
    name: ADVICE[name].format(**seen[name]) for name, it in stands.items() if it
  }


def _spikes(records, times, floor):
  """Names of the SPIKES in the last record."""
  *before, last = records
  names = [name for name in SPIKES if all(name in r for r in records)]
  most = {
    name: max((abs(_value(record, name)) for record in before), default=0.0)
    for name in names
  }
  return ', '.join(
    name
    for name in names
    if 0 < times * most[name] < abs(_value(last, name)) > floor
  )


def _value(record, name):
  """A record's number; NaN, which raises no alarm, if there is none."""
  value = record.get(name)
  return math.nan if value is None else value


def _mean(records, name):
  values = [_value(record, name) for record in records]
  return sum(values) / len(values) if values else math.nan
