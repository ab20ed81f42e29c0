"""The schedules against the paper's formulas, step by step."""

import functools
import math

import jax
import numpy as np
import pytest

from siri_jax.algorithm import schedules

LOW, HIGH = 8192, 16384
PERIODS = 320, 480, 640
CYCLE = dict(low=LOW, high=HIGH, period=640, phase=0)
HALVES = dict(low_share=0.5, first='low')
STAIR = dict(**CYCLE, **HALVES)
FALL = dict(**CYCLE, fall=160)
PIECES = dict(caps=(8192, 16384), starts=(0, 320), phase=0)


def caps(schedule, steps, **settings):
  """The cap at each step, all traced, as a list."""
  bound = functools.partial(schedule, **settings)
  return jax.jit(jax.vmap(bound))(np.asarray(steps, np.int32)).tolist()


def cycle(schedule, period=640, **settings):
  settings = {**CYCLE, **settings, 'period': period}
  return caps(schedule, range(period), **settings)


def printed_cosine(t, period):
  angle = 2 * math.pi * t / period
  return (HIGH + LOW) / 2 + (HIGH - LOW) / 2 * math.cos(angle)


def printed_stair_cosine(t, period):
  phi = 2 * math.pi * (t % period) / period
  middle, half = (HIGH + LOW) / 2, (HIGH - LOW) / 2
  if phi < math.pi / 4 or phi >= 7 * math.pi / 4:
    return HIGH
  if phi < 3 * math.pi / 4:
    return middle + half * math.cos(2 * (phi - math.pi / 4))
  if phi < 5 * math.pi / 4:
    return LOW
  return middle + half * math.cos(2 * (phi - 3 * math.pi / 4))


def floor(tokens):
  """Floored, after correcting rounding such as cos(pi / 2) = 6e-17."""
  return math.floor(round(tokens, 6))


def test_the_cosine_meets_the_check_values():
  steps = [0, 80, 160, 240, 320, 480]
  expected = [16384, 15184, 12288, 9391, 8192, 12288]
  assert caps(schedules.cosine, steps, **CYCLE) == expected


def test_the_stair_cosine_meets_the_check_values():
  steps = [80, 160, 240, 400, 480, 560]
  expected = [16384, 12288, 8192, 8192, 12288, 16384]
  assert caps(schedules.stair_cosine, steps, **CYCLE) == expected


@pytest.mark.parametrize('period', PERIODS)
def test_the_cosine_is_the_printed_formula_at_every_step(period):
  expected = [floor(printed_cosine(t, period)) for t in range(period)]
  assert cycle(schedules.cosine, period) == expected


@pytest.mark.parametrize('period', PERIODS)
def test_the_stair_cosine_is_the_printed_formula_at_every_step(period):
  expected = [floor(printed_stair_cosine(t, period)) for t in range(period)]
  assert cycle(schedules.stair_cosine, period) == expected


def test_cosine_640_takes_318_values_and_moves_by_40_tokens_at_most():
  values = cycle(schedules.cosine)
  assert len(set(values)) == 318
  # A move has at most 40.2 tokens; with both ends floored, at most 41.
  assert (HIGH - LOW) * math.sin(math.pi / 640) < 40.3
  moves = np.abs(np.diff([*values, values[0]]))
  assert moves.max() == 41
  assert np.sum(moves > 40) == 6


@pytest.mark.parametrize('period', PERIODS)
def test_the_three_shapes_have_mean_12288(period):
  assert np.mean(cycle(schedules.stair, period, **HALVES)) == 12288
  for schedule in schedules.cosine, schedules.stair_cosine:
    # Flooring loses at most a token for two steps half a cycle apart.
    values = np.asarray(cycle(schedule, period))
    pairs = values + np.roll(values, period // 2)
    assert set(pairs) <= {LOW + HIGH, LOW + HIGH - 1}


@pytest.mark.parametrize('period', [*PERIODS, 100, 54, 2000])
def test_the_stair_cosine_is_continuous_at_every_joint(period):
  values = cycle(schedules.stair_cosine, period)
  steepest = (HIGH - LOW) / 2 * 2 * 2 * math.pi / period
  assert np.abs(np.diff([*values, values[0]])).max() <= steepest + 1
  # The slope is 0 on both sides of a joint; only the curvature is left.
  flat = (HIGH - LOW) / 2 * (1 - math.cos(4 * math.pi / period))
  for eighths in 1, 3, 5, 7:
    joint = eighths * period // 8
    around = values[joint - 1], values[joint], values[joint + 1]
    assert np.abs(np.diff(around)).max() <= 4 * flat + 1


def test_the_stair_is_low_for_its_share_and_starts_with_first():
  four = dict(low=1, high=2, period=4, phase=0)
  for share, first, expected in (
    (0.5, 'low', [1, 1, 2, 2]),
    (0.5, 'high', [2, 2, 1, 1]),
    (0.25, 'low', [1, 2, 2, 2]),
    (0.25, 'high', [2, 2, 2, 1]),
  ):
    settings = dict(**four, low_share=share, first=first)
    assert caps(schedules.stair, range(4), **settings) == expected


@pytest.mark.parametrize('first', ['low', 'high'])
@pytest.mark.parametrize('percent', [7, 29, 30, 57, 93])
def test_a_share_is_not_lost_to_floating_point(percent, first):
  # 0.29 * 100 is below 29, 0.07 * 100 above 7.
  settings = dict(low=1, high=2, period=100, phase=0, first=first)
  values = caps(
    schedules.stair, range(100), **settings, low_share=percent / 100
  )
  assert values.count(1) == percent


def test_piecewise_is_the_baseline_of_8k_then_16k():
  steps = [0, 319, 320, 5000]
  expected = [8192, 8192, 16384, 16384]
  assert caps(schedules.piecewise, steps, **PIECES) == expected


def test_the_asymmetric_cosine_falls_and_rises_in_its_own_times():
  values = cycle(schedules.asymmetric_cosine, fall=160)
  assert (values[0], values[160], values[80]) == (HIGH, LOW, 12288)
  assert values[400] == 12288
  assert np.all(np.diff(values[:161]) <= 0)
  assert np.all(np.diff(values[160:]) >= 0)


def test_an_asymmetric_cosine_of_equal_times_is_the_cosine():
  symmetric = cycle(schedules.asymmetric_cosine, fall=320)
  assert symmetric == cycle(schedules.cosine)


def test_a_constant_is_the_same_at_every_step():
  assert caps(schedules.constant, [0, 1, 999], cap=77) == [77] * 3


CYCLIC = [
  (schedules.stair, STAIR),
  (schedules.cosine, CYCLE),
  (schedules.stair_cosine, CYCLE),
  (schedules.asymmetric_cosine, FALL),
]


@pytest.mark.parametrize(('schedule', 'settings'), CYCLIC)
def test_a_cycle_repeats(schedule, settings):
  steps = np.arange(640)
  assert caps(schedule, steps + 1280, **settings) == caps(
    schedule, steps, **settings
  )


@pytest.mark.parametrize(
  ('schedule', 'settings'), [*CYCLIC, (schedules.piecewise, PIECES)]
)
def test_a_phase_moves_a_schedule_ahead(schedule, settings):
  steps = np.arange(0, 640, 7)
  moved = caps(schedule, steps, **{**settings, 'phase': 100})
  assert moved == caps(schedule, steps + 100, **settings)


WRONG = [
  (schedules.constant, dict(cap=0), 'cap=0 is not a whole number of 1'),
  (schedules.constant, dict(cap=2.5), r'cap=2\.5 is not a whole'),
  (schedules.constant, dict(cap=math.nan), 'cap=nan is not a whole'),
  (schedules.piecewise, dict(PIECES, caps=(1,)), 'differ in number'),
  (schedules.piecewise, dict(PIECES, caps=(0, 1)), 'are not whole numbers of'),
  (schedules.piecewise, dict(PIECES, caps=()), 'are not whole numbers of'),
  (schedules.piecewise, dict(PIECES, starts=(1, 2)), 'that rise from 0'),
  (schedules.piecewise, dict(PIECES, starts=(0, 0)), 'that rise from 0'),
  (schedules.piecewise, dict(PIECES, starts=(0, 1.5)), 'that rise from 0'),
  (schedules.piecewise, dict(PIECES, phase=-1), 'phase=-1 is not a whole'),
  (schedules.stair, dict(STAIR, low_share=0.0), r'low_share=0\.0 gives no'),
  (schedules.stair, dict(STAIR, low_share=1.0), r'low_share=1\.0 gives no'),
  (schedules.stair, dict(STAIR, low_share=1e-4), 'gives no step to low'),
  (schedules.stair, dict(STAIR, first='up'), "first='up' is neither"),
  (schedules.cosine, dict(CYCLE, period=5), 'period=5 is odd'),
  (schedules.stair_cosine, dict(CYCLE, period=5), 'period=5 is odd'),
  (schedules.asymmetric_cosine, dict(FALL, fall=0), 'fall=0 is not a whole'),
  (schedules.asymmetric_cosine, dict(FALL, fall=640), 'from 1 to period-1'),
  *(
    (schedule, {**settings, key: value}, f'{key}={value} is ')
    for schedule, settings in CYCLIC
    for key, value in dict(low=0, high=9.5, period=1, phase=-1).items()
  ),
  *((f, dict(s, low=HIGH + 1), 'is above high') for f, s in CYCLIC),
]


@pytest.mark.parametrize(('schedule', 'settings', 'words'), WRONG)
def test_settings_that_do_not_fit_are_refused(schedule, settings, words):
  with pytest.raises(ValueError, match=words):
    schedule(0, **settings)


def test_all_faults_come_at_once():
  with pytest.raises(ValueError, match='low=0') as error:
    schedules.stair(
      0, low=0, high=-1, period=1, phase=-1, low_share=2, first='up'
    )
  for name in 'high=-1', 'period=1', 'phase=-1', 'low_share=2', "first='up'":
    assert name in str(error.value)


@pytest.mark.parametrize('phase', [2**31 - 1, 2**40 + 3, 640.0])
def test_a_large_phase_is_the_same_as_its_remainder(phase):
  settings = {**CYCLE, 'phase': phase}
  near = {**CYCLE, 'phase': int(phase) % 640}
  steps = range(0, 640, 7)
  assert caps(schedules.cosine, steps, **settings) == caps(
    schedules.cosine, steps, **near
  )


def test_a_phase_beyond_the_last_piece_stays_in_it():
  settings = {**PIECES, 'phase': 2**31 - 1}
  assert caps(schedules.piecewise, [0, 1, 10**6], **settings) == [16384] * 3
