"""Extrema and phases of every schedule, on cases computed by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax.algorithm import phases, schedules
from siri_jax.runtime import progress


def caps_of(name, steps, **settings):
  schedule = functools.partial(getattr(schedules, name), **settings)
  return np.asarray(jax.vmap(schedule)(jnp.arange(steps)))


def words_of(name, steps, **settings):
  """The phases of the first `steps`, with extrema of twice as many."""
  caps = caps_of(name, 2 * steps + 1, **settings)
  return phases.phases(caps[:steps], phases.cap_extrema(caps))


PAPER = dict(low=8192, high=16384)


@pytest.mark.parametrize('period', [54, 640])
def test_a_cosine_turns_at_every_half_period(period):
  caps = caps_of('cosine', 3 * period + 1, **PAPER, period=period, phase=0)
  half = period // 2
  assert phases.cap_extrema(caps) == {
    1 * half: 'compressed',
    2 * half: 'expanded',
    3 * half: 'compressed',
    4 * half: 'expanded',
    5 * half: 'compressed',
  }


def test_the_papers_cosine_turns_where_the_paper_evaluates():
  caps = caps_of('cosine', 1921 + 320, **PAPER, period=640, phase=0)
  assert list(phases.cap_extrema(caps)) == [320, 640, 960, 1280, 1600, 1920]


def test_a_wide_bottom_of_floored_values_turns_in_its_middle():
  # 2 tokens of range: most of the cycle is one of three values.
  caps = caps_of('cosine', 101, low=4, high=6, period=40, phase=0)
  assert list(phases.cap_extrema(caps)) == [20, 40, 60, 80]


@pytest.mark.parametrize('steps', [2, 5, 30])
def test_a_run_much_shorter_than_its_period_does_not_turn(steps):
  settings = dict(low=16, high=32, period=640, phase=0)
  assert phases.cap_extrema(caps_of('cosine', 2 * steps + 1, **settings)) == {}
  assert words_of('cosine', steps, **settings) == steps * ['compress']


def test_a_phase_moves_the_turns():
  caps = caps_of('cosine', 1281, **PAPER, period=640, phase=160)
  assert list(phases.cap_extrema(caps)) == [160, 480, 800, 1120]


def test_a_cosine_that_starts_at_the_bottom_expands_first():
  words = words_of('cosine', 640, **PAPER, period=640, phase=320)
  assert words == 320 * ['expand'] + 320 * ['compress']


@pytest.mark.parametrize('first', ['low', 'high'])
def test_a_stair_turns_at_its_jumps(first):
  stair = dict(low_share=0.25, first=first, **PAPER, period=640, phase=0)
  found = phases.cap_extrema(caps_of('stair', 1281, **stair))
  if first == 'low':
    expected = {160: 'compressed', 640: 'expanded', 800: 'compressed'}
  else:
    expected = {480: 'expanded', 640: 'compressed', 1120: 'expanded'}
  assert {at: found[at] for at in expected} == expected
  assert len(found) == 4


def test_a_step_of_a_stair_has_the_phase_of_its_cap():
  stair = dict(low_share=0.5, first='low', **PAPER, period=8, phase=0)
  words = words_of('stair', 16, **stair)
  assert words == 2 * (4 * ['compress'] + 4 * ['expand'])


def test_a_stair_cosine_turns_in_the_middle_of_its_plateaus():
  caps = caps_of('stair_cosine', 1921, **PAPER, period=640, phase=0)
  found = phases.cap_extrema(caps)
  assert list(found.values())[:2] == ['compressed', 'expanded']
  # Plateaus stretch over a quarter of the period, to within a floored token.
  for at, expected in zip(found, [320, 640, 960, 1280, 1600], strict=True):
    assert abs(at - expected) <= 4


def test_short_then_long_turns_once_where_the_cap_jumps():
  settings = dict(caps=(46, 92), starts=(0, 54), phase=0)
  caps = caps_of('piecewise', 325, **settings)
  assert phases.cap_extrema(caps) == {54: 'compressed'}
  words = words_of('piecewise', 162, **settings)
  assert words == 54 * ['compress'] + 108 * ['expand']


def test_a_rise_in_small_steps_never_turns():
  caps = caps_of(
    'piecewise', 100, caps=(4, 8, 12, 16), starts=(0, 10, 20, 30), phase=0
  )
  assert phases.cap_extrema(caps) == {}
  assert set(phases.phases(caps, {})) == {'expand'}


def test_an_asymmetric_cosine_compresses_for_as_long_as_it_falls():
  settings = dict(**PAPER, period=640, fall=160, phase=0)
  caps = caps_of('asymmetric_cosine', 1281, **settings)
  # Floored, it is at 8192 from step 159 to 163: 161 is the middle.
  assert phases.cap_extrema(caps) == {
    161: 'compressed',
    640: 'expanded',
    801: 'compressed',
  }
  words = words_of('asymmetric_cosine', 640, **settings)
  assert words == 161 * ['compress'] + 479 * ['expand']


def test_a_constant_cap_never_turns_and_reads_expand():
  caps = caps_of('constant', 50, cap=92)
  assert phases.cap_extrema(caps) == {}
  assert phases.phases(caps, {}) == 50 * ['expand']


def test_a_run_that_ends_on_its_way_down_compresses_to_its_end():
  words = words_of('cosine', 8, low=4, high=8, period=40, phase=0)
  assert words == 8 * ['compress']


def test_after_the_last_turn_it_goes_the_other_way():
  # No step after the run is known here.
  caps = np.array([8, 6, 4, 6, 7])
  assert phases.phases(caps, {2: 'compressed'}) == [
    *2 * ['compress'],
    *3 * ['expand'],
  ]


# Caps by hand: their turns, phases and stretches of compression.
SHAPES = {
  'a sawtooth that falls': (
    [9, 7, 5, 3, 1] * 3,
    {5: 'compressed', 10: 'compressed'},
    15 * 'v',
    [(0, 5), (5, 10), (10, 15)],
  ),
  'a sawtooth that rises': (
    [1, 3, 5, 7, 9] * 3,
    {5: 'expanded', 10: 'expanded'},
    15 * '^',
    [],
  ),
  # Its last jump, of 1 to 5, is half of the whole range and all of its way.
  'a sawtooth whose teeth shrink': (
    [9, 7, 5, 3, 1, 5, 4, 3, 2, 1, 3, 2, 1],
    {5: 'compressed', 10: 'compressed'},
    13 * 'v',
    [(0, 5), (5, 10), (10, 13)],
  ),
  'a short fall and a long rise': (
    [8, 5, 2, 3, 4, 5, 6, 7, 8, 5, 2, 3, 4],
    {2: 'compressed', 8: 'expanded', 10: 'compressed'},
    'vv^^^^^^vv^^^',
    [(0, 2), (8, 10)],
  ),
  'plateaus with slopes between': (
    [8, 8, 8, 6, 4, 2, 2, 2, 4, 6, 8, 8, 8, 6, 4],
    {6: 'compressed', 11: 'expanded'},
    'vvvvvv^^^^^vvvv',
    [(0, 6), (11, 15)],
  ),
  'plateaus with jumps between': (
    [2, 2, 2, 8, 8, 8, 2, 2, 2, 8],
    {3: 'compressed', 6: 'expanded', 9: 'compressed'},
    'vvv^^^vvv^',
    [(0, 3), (6, 9)],
  ),
  'one jump up': ([4, 4, 8, 8], {2: 'compressed'}, 'vv^^', [(0, 2)]),
  'one jump down': ([8, 8, 4, 4], {2: 'expanded'}, '^^vv', [(2, 4)]),
  'a constant': ([5, 5, 5], {}, '^^^', []),
}


@pytest.mark.parametrize('shape', SHAPES)
def test_a_cap_turns_where_its_changes_change_their_sign(shape):
  caps, turns, words, stretches = SHAPES[shape]
  found = phases.cap_extrema(caps)
  assert found == turns
  signs = {'compress': 'v', 'expand': '^'}
  own = phases.phases(caps, found)
  assert ''.join(signs[word] for word in own) == words
  assert phases.compressions(caps, own) == stretches


def test_a_sawtooth_that_rises_has_stretches_of_expansion():
  caps = [1, 3, 5, 7, 9] * 2
  words = phases.phases(caps, phases.cap_extrema(caps))
  assert phases.expansions(caps, words) == [(0, 5), (5, 10)]


def test_a_closed_loop_turns_where_its_own_phase_ends():
  words = ['compress', 'compress', 'expand', 'compress']
  assert phases.turns_of(words) == {2: 'compressed', 3: 'expanded'}
  start = progress.start().cap_state
  falling = start.replace(cap=np.float32(8), compressing=np.bool_(True))
  rising = start.replace(cap=np.float32(8))
  assert phases.of_states(0, start, falling) == ('compress', '')
  assert phases.of_states(3, falling, rising) == ('expand', 'compressed')
  assert phases.of_states(4, rising, falling) == ('compress', 'expanded')
  assert phases.of_states(5, falling, falling) == ('compress', '')


def test_compressions_are_spans_of_steps_and_a_constant_cap_has_none():
  words = ['compress', 'compress', 'expand', 'compress']
  assert phases.compressions([9, 7, 5, 9], words) == [(0, 2), (3, 4)]
  assert phases.compressions([9, 9], ['compress', 'compress']) == []
