"""The schedules in a closed loop: by hand, and over random signals."""

import functools

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from siri_jax import types
from siri_jax.algorithm import cap_control, metrics, phases, schedules
from siri_jax.runtime import progress
from tests.helpers import builders

LOW, HIGH, FALL, RISE, LEAST = 10, 50, 6.5, 3.25, 5
LOOP = dict(
  low=LOW, high=HIGH, fall=FALL, rise=RISE, smoothing=0.5, least=LEAST
)
LOOPS = {
  'accuracy_turns': dict(**LOOP, drop=0.05, gain=0.01, patience=4),
  'length_quantile': dict(**LOOP, quantile=0.9, margin=1.2, band=0.05),
  'truncation_target': dict(**LOOP, target=0.2, gain=0.5, band=0.02),
}
STEPS = 60


def seen(accuracy=0.5, truncated_frac=0.2, right=(20,)):
  """The summary of a step; `right` are the lengths of its right responses."""
  shares = np.linspace(0, 1, types.QUANTILES)
  return types.StepSummary(
    samples=np.int32(16),
    accuracy=np.float32(accuracy),
    truncated_frac=np.float32(truncated_frac),
    right_lengths=np.quantile(right or [0], shares).astype(np.float32),
  )


def course(name, summaries, **changes):
  """Caps and phases from step 0 on, the first without a summary."""
  schedule = functools.partial(
    getattr(schedules, name), **{**LOOPS[name], **changes}
  )
  start = progress.start()
  state, told, found = start.cap_state, [start.seen, *summaries], []
  for step, summary in enumerate(told):
    cap, state = schedule(step, state, summary)
    found.append((int(cap), phases.word(state.compressing)))
  return [cap for cap, _ in found], [word for _, word in found]


# By hand.


def test_it_falls_until_accuracy_has_dropped_and_rises_until_it_is_still():
  # Not smoothed. Before step 4 accuracy is 0.1 under its first value; it rises
  # before steps 6 and 7, and then for two steps no more.
  accuracy = [0.6, 0.58, 0.57, 0.5, 0.5, 0.55, 0.6, 0.6, 0.605, 0.6]
  settings = dict(smoothing=1.0, drop=0.1 - 1e-6, patience=2, least=2)
  caps, words = course('accuracy_turns', map(seen, accuracy), **settings)
  assert caps == [50, 43, 37, 30, 33, 37, 40, 43, 46, 40, 33]
  assert words == 4 * ['compress'] + 5 * ['expand'] + 2 * ['compress']
  assert phases.turns_of(words) == {4: 'compressed', 9: 'expanded'}


def test_it_rises_again_from_the_floor_though_accuracy_never_fell():
  caps, words = course('accuracy_turns', 12 * [seen(0.5)], fall=20.0)
  assert caps[:3] == [50, 30, 10]
  assert words[: LEAST + 1] == LEAST * ['compress'] + ['expand']
  assert caps[LEAST - 1 : LEAST + 2] == [10, 13, 16]


def test_the_cap_goes_to_a_quantile_of_right_lengths_with_a_margin():
  # 1.2 * 20 = 24 tokens, from 50 by 6.5 a step; within 5 % of itself it holds.
  caps, words = course('length_quantile', 8 * [seen(right=[20])], smoothing=1.0)
  assert caps == [50, 43, 37, 30, 24, 24, 24, 24, 24]
  assert set(words) == {'compress'}
  # The 0.9 quantile of 0, 10, ..., 100 is 90; the cap rises after `least`.
  far = seen(right=range(0, 110, 10))
  caps, words = course('length_quantile', [seen(), seen(), far, far, far, far])
  assert caps == [50, 43, 37, 37, 37, 40, 43]
  assert words[4:6] == ['compress', 'expand']


def test_without_a_right_response_the_quantile_holds():
  assert course('length_quantile', 5 * [seen(right=())])[0] == 6 * [50]


def test_the_share_of_truncated_responses_moves_the_caps_logarithm():
  # Not smoothed: exp(0.5 * (0.1 - 0.2)) = 0.9512 of 50 is 47.56, then 45.24.
  told = [seen(truncated_frac=x) for x in (0.1, 0.1, 0.21, 0.19)]
  caps, words = course('truncation_target', told, smoothing=1.0)
  assert caps == [50, 47, 45, 45, 45]
  assert set(words) == {'compress'}


def test_a_smoothed_value_begins_at_the_first_one():
  state = cap_control.begun(progress.start().cap_state, HIGH)
  state = cap_control.measured(state, np.float32(0.8), True, 0.25)
  assert float(state.signal) == pytest.approx(0.8)
  state = cap_control.measured(state, np.float32(0.4), True, 0.25)
  assert float(state.signal) == pytest.approx(0.7)  # 0.8 + 0.25 * -0.4
  again = cap_control.measured(state, np.float32(0.0), False, 0.25)
  assert float(again.signal) == float(state.signal)


def test_a_summary_has_the_quantiles_of_right_responses_alone():
  right = [True, True, True, False]
  found = metrics.summary(builders.make_batch([2, 4, 9, 12], right, cap=10))
  assert (found.samples, found.accuracy, found.truncated_frac) == (
    4,
    0.75,
    0.25,
  )
  # Linear between the ranks: 2 at 0, 4 at 0.5, 9 at 1.
  np.testing.assert_allclose(
    found.right_lengths[[0, 5, 10, 15, 20]], [2, 3, 4, 6.5, 9]
  )
  none = metrics.summary(builders.make_batch([3], [False], cap=10))
  assert not none.right_lengths.any()


# Over random signals.


@functools.cache
def compiled(name):
  """Caps and phases of a schedule over the summaries [STEPS, ...] of a run."""
  schedule = functools.partial(getattr(schedules, name), **LOOPS[name])

  def advance(carry, told):
    step, state = carry
    cap, state = schedule(step, state, told)
    return (step + 1, state), (cap, state.compressing)

  start = jax.tree.map(jax.numpy.asarray, progress.start().cap_state)
  return jax.jit(lambda told: jax.lax.scan(advance, (0, start), told)[1])


@st.composite
def signals(draw):
  """A random signal: levels that are stuck for a while, with noise or none."""
  levels = draw(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=STEPS))
  stuck = np.repeat(levels, -(-STEPS // len(levels)))[:STEPS]
  rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
  noise = draw(st.sampled_from([0.0, 0.01, 0.1, 1.0])) * rng.normal(size=STEPS)
  return np.clip(stuck + noise, 0, 1).astype(np.float32)


def told(signal):
  """Summaries whose every field follows a signal."""
  spread = np.linspace(0, 1, types.QUANTILES, dtype=np.float32)
  return types.StepSummary(
    samples=np.full(STEPS, 16, np.int32),
    accuracy=signal,
    truncated_frac=signal,
    right_lengths=np.floor(2 * HIGH * signal[:, None] * spread),
  )


@pytest.mark.parametrize('name', LOOPS)
@given(signal=signals())
def test_whatever_is_measured_a_cap_stays_in_bounds_and_turns_seldom(
  name, signal
):
  caps, compressing = map(np.asarray, compiled(name)(told(signal)))
  assert caps.dtype == np.int32
  assert LOW <= caps.min() <= caps.max() <= HIGH
  moves = np.diff(caps)
  assert -FALL - 1 <= moves.min() <= moves.max() <= RISE + 1
  # It moves with its phase alone, and a phase lasts `least` steps or more.
  assert (moves[compressing[1:]] <= 0).all()
  assert (moves[~compressing[1:]] >= 0).all()
  turns = np.flatnonzero(np.diff(compressing))
  assert (np.diff(turns, prepend=-1) >= LEAST).all()


@pytest.mark.parametrize('name', ['length_quantile', 'truncation_target'])
@given(level=st.floats(0, 1, width=32))
def test_a_stuck_signal_turns_at_most_once(name, level):
  stuck = told(np.full(STEPS, level, np.float32))
  _, compressing = compiled(name)(stuck)
  assert np.diff(np.asarray(compressing)).sum() <= 1


@given(seed=st.integers(0, 2**32 - 1))
def test_noise_within_the_band_moves_nothing(seed):
  noise = np.random.default_rng(seed).uniform(-0.02, 0.02, STEPS)
  caps, _ = compiled('truncation_target')(told(np.float32(0.2 + noise)))
  assert set(np.asarray(caps).tolist()) == {HIGH}


WRONG = [
  *((name, {k: v}, f'{k}={v} is') for name in LOOPS for k, v in [
    ('low', 0), ('high', 9.5), ('high', 2**24 + 1), ('fall', 0.0),
    ('rise', -1.0), ('smoothing', 0.0), ('smoothing', 1.5), ('least', 1),
  ]),
  *((name, {'low': 51}, 'low=51 is above high=50') for name in LOOPS),
  ('accuracy_turns', {'drop': 0.0}, 'drop=0.0 is'),
  ('accuracy_turns', {'gain': 1.0}, 'gain=1.0 is'),
  ('accuracy_turns', {'patience': 0}, 'patience=0 is'),
  ('length_quantile', {'quantile': 1.1}, 'quantile=1.1 is'),
  ('length_quantile', {'margin': 1.0}, 'margin=1.0 is'),
  ('length_quantile', {'band': 1.0}, 'band=1.0 is'),
  ('truncation_target', {'target': -0.1}, 'target=-0.1 is'),
  ('truncation_target', {'gain': 0.0}, 'gain=0.0 is'),
  ('truncation_target', {'band': -1.0}, 'band=-1.0 is'),
]  # fmt: skip


@pytest.mark.parametrize(('name', 'change', 'words'), WRONG)
def test_settings_that_do_not_fit_are_refused(name, change, words):
  with pytest.raises(ValueError, match=words.replace('.', r'\.')):
    course(name, [], **change)
