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
    '{share:.0%} of the responses are cut by the cap and earn nothing: look at '
    'a few in rollouts/, raise the cap or shorten the prompts'
  ),
  'idle': (
    '{share:.0%} of the groups have equal rewards and teach nothing: the '
    "problems are too easy or too hard; take others, or collect='dynamic'"
  ),
  'ungraded': (
    '{share:.1%} of the answers cost a grader its life and count as wrong: '
    'raise grader_kw.secs or grader_kw.memory_gb, or look at the machine'
  ),
  'gap': (
    'sampler and trainer differ by {gap:.3g} nats a token: they do not '
    'compute the same policy; compare dtypes, temperature and weights'
  ),
  'gap_grows': (
    'sampler and trainer differ by {gap:.3g} nats a token, {times:.1f} times '
    'what it was: weights may not arrive; compare their versions'
  ),
  'entropy': (
    'the entropy is down to {entropy:.3g} nats a token: the policy hardly '
    'explores; lower learning_rate, raise the upper clip or the temperature'
  ),
  'ratio': (
    'a token became {ratio:.3g} times as likely within a step: lower '
    'learning_rate, minibatches or epochs; a checkpoint before is kept'
  ),
  'spike': (
    'from one step to the next {names} went above {spike:g} times all of the '
    'window before: look at the samples of that step; to go back, end the run '
    'and delete the checkpoints after it, and the same command goes on from '
    'the one before'
  ),
}
SPIKES = ('loss', 'kl', 'grad_norm', 'length_mean')  # kl: where a loss has it.


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
  """The alarms that stand after the newest record.

  Args:
    records: of metrics.jsonl, in order; the last 2 * window of them count.
    window: steps of a mean.
    least_steps: steps before anything is judged, and steps that the window
      before needs where two windows are compared.
    cut: share of responses that the cap may cut.
    idle: share of groups that may have equal rewards.
    ungraded: share of answers that may cost a grader its life.
    gap: mean difference between the sampler's log-probabilities and the
      trainer's, nats a token.
    gap_growth: times that difference may grow from window to window, where
      it is above a tenth of `gap`.
    entropy: nats a token, at least.
    ratio: of a token's probabilities within one step, at most.
    spike: times the largest of the window before that a step's loss, KL,
      gradient or mean length may have.
    spike_floor: the least that counts as a spike: nats of a loss or KL, norm
      of a gradient, tokens of a length.
  Returns:
    dict: name -> what was seen and what to do.
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
  """Names of the SPIKES in which the last record exceeds all others."""
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
  """A record's number; nan, which raises nothing, where it has none."""
  value = record[name]
  return math.nan if value is None else value


def _mean(records, name):
  values = [_value(record, name) for record in records]
  return sum(values) / len(values) if values else math.nan
