"""The shape check: valid and invalid shapes, and no cost under jit."""

import jax
import numpy as np
import pytest

from siri_jax import shapes


def array(*shape):
  return np.zeros(shape)


def test_letters_come_back_with_their_sizes():
  sizes = shapes.check('B T, B', array(4, 7), array(4))
  assert sizes == {'B': 4, 'T': 7}


def test_a_letter_has_one_size_in_all_arrays():
  with pytest.raises(ValueError, match=r'\(4, 7\), \(5,\) do not fit'):
    shapes.check('B T, B', array(4, 7), array(5))


def test_a_letter_has_one_size_within_an_array():
  assert shapes.check('T T', array(3, 3)) == {'T': 3}
  with pytest.raises(ValueError, match='do not fit'):
    shapes.check('T T', array(3, 4))


def test_a_number_is_a_fixed_size():
  assert shapes.check('Q 2', array(5, 2)) == {'Q': 5}
  with pytest.raises(ValueError, match='do not fit'):
    shapes.check('Q 2', array(5, 3))


def test_a_dot_is_a_scalar():
  assert shapes.check('., B', np.float32(1), array(3)) == {'B': 3}
  with pytest.raises(ValueError, match='do not fit'):
    shapes.check('.', array(1))


def test_dots_are_any_leading_dimensions():
  for lead in ((), (2,), (2, 3)):
    arrays = array(*lead, 5), array(*lead, 5)
    sizes = shapes.check('... R, ... R', *arrays)
    assert sizes == {'...': lead, 'R': 5}


def test_leading_dimensions_are_the_same_everywhere():
  # A broadcast from (1, 5) to (3, 5) would not be noticed.
  with pytest.raises(ValueError, match='do not fit'):
    shapes.check('... R, ... R', array(3, 5), array(1, 5))


def test_dots_do_not_stand_for_a_missing_dimension():
  with pytest.raises(ValueError, match='do not fit'):
    shapes.check('... T R', array(5))


def test_a_rank_too_high_or_too_low_does_not_fit():
  for shape in ((4,), (4, 7, 1)):
    with pytest.raises(ValueError, match='do not fit'):
      shapes.check('B T', array(*shape))


def test_as_many_arrays_as_shapes():
  with pytest.raises(ValueError, match='names 2 arrays, got 1'):
    shapes.check('B, B', array(4))


def test_under_jit_the_check_leaves_no_trace():
  def double(x):
    shapes.check('B T', x)
    return 2 * x

  jaxpr = jax.make_jaxpr(double)(array(2, 3))
  assert [e.primitive.name for e in jaxpr.eqns] == ['mul']
  with pytest.raises(ValueError, match='do not fit'):
    jax.jit(double)(array(2))
