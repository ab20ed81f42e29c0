"""Aggregations by hand, on two responses of 2 and 6 tokens."""

import numpy as np
import pytest

from siri_jax.algorithm import aggregations

LENGTHS = np.int32([2, 6])
# The aggregated loss of 1 at each token of the first response, and of the
# second.
BY_HAND = [
  (aggregations.sequence_mean, {}, [1 / 2, 1 / 2]),
  (aggregations.token_mean, {}, [2 / 8, 6 / 8]),
  (aggregations.constant_denominator, dict(tokens=10), [2 / 20, 6 / 20]),
]


@pytest.mark.parametrize(('aggregation', 'settings', 'expected'), BY_HAND)
def test_the_weight_of_a_response(aggregation, settings, expected):
  weights, denom = aggregation(LENGTHS, **settings)
  np.testing.assert_allclose(weights * LENGTHS / denom, expected, rtol=1e-6)


@pytest.mark.parametrize(('aggregation', 'settings', 'expected'), BY_HAND)
def test_there_is_one_length_per_sample(aggregation, settings, expected):
  with pytest.raises(ValueError, match='do not fit'):
    aggregation(LENGTHS[None], **settings)


@pytest.mark.parametrize('tokens', [0, -1, float('nan')])
def test_a_constant_is_above_zero(tokens):
  with pytest.raises(ValueError, match='is not above 0'):
    aggregations.constant_denominator(LENGTHS, tokens=tokens)
