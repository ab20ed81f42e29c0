"""The cost of a cap: by hand, by identities, against a simulation."""

import numpy as np
import pytest

from siri_jax import types
from siri_jax.algorithm import chunks
from siri_jax.config import cost_model
from siri_jax.models import flops
from tools.benchmarks import full_size

THREE = cost_model.kaplan_meier([2, 4, 9], [False, False, False])
SETTING = dict(samples=5, prompt=3, forward=(7.0, 2.0), passes=3, epochs=1)


def test_tokens_under_a_cap_are_the_sum_of_capped_lengths_by_hand():
  found = 3 * cost_model.capped(THREE, [1, 2, 3, 4, 8, 9, 100])
  np.testing.assert_allclose(found, [3, 6, 8, 10, 14, 15, 15])
  squares = 3 * cost_model.capped(THREE, [3, 100], power=2)
  np.testing.assert_allclose(squares, [4 + 9 + 9, 4 + 16 + 81])
  np.testing.assert_allclose(
    cost_model.share_cut(THREE, [1, 2, 8, 9]), [1, 2 / 3, 1 / 3, 0]
  )


def test_the_longest_of_two_by_hand():
  # The longest of nine pairs is 2 for one, 4 for three, 9 for five.
  both = cost_model.longest(THREE, 2)
  np.testing.assert_allclose(both.share * 9, [1, 3, 5, 0], atol=1e-12)
  assert cost_model.capped(both, 100) == pytest.approx((2 + 12 + 45) / 9)
  assert cost_model.capped(both, 5) == pytest.approx((2 + 12 + 25) / 9)
  np.testing.assert_allclose(cost_model.longest(THREE, 1).share, THREE.share)


@pytest.mark.parametrize('cap', [2, 5, 9, 40])
def test_the_rows_of_chunks_are_those_of_whole_responses(cap):
  each = types.Chunks(context=4, carried=3, head=1)
  found = cost_model.rows(THREE, [cap], each)
  lengths = [min(length, cap) for length in (2, 4, 9)]
  counted = [
    np.diff([*chunks.starts(length, each), length]) for length in lengths
  ]
  for k, (carried, share, mean, square) in enumerate(found):
    own = [parts[k] for parts in counted if len(parts) > k]
    assert carried == (3 if k else 0)
    assert 3 * share == pytest.approx(len(own))
    assert 3 * mean == pytest.approx(sum(own))
    assert 3 * square == pytest.approx(sum(n**2 for n in own))
  # No row of theirs is missing; those past the longest response have no share.
  assert len(found) >= max(map(len, counted))


def test_the_cost_of_steps_is_the_sum_of_their_costs():
  caps = [3, 9, 5, 3, 1]
  parts = [cost_model.estimate_cost(THREE, [cap], **SETTING) for cap in caps]
  whole = cost_model.estimate_cost(THREE, caps, **SETTING)
  assert whole == pytest.approx(
    [sum(part) for part in zip(*parts, strict=True)]
  )


def test_a_step_by_hand():
  cost = cost_model.estimate_cost(THREE, [4], **SETTING)
  # Sequences of 3 + (2, 4, 4) tokens; once sampled, and trained for thrice.
  a_sample = (7 * (5 + 7 + 7) + 2 * (25 + 49 + 49)) / 3
  assert cost.tokens == pytest.approx(5 * 10 / 3)
  assert cost.operations == pytest.approx(4 * 5 * a_sample)
  assert cost_model.estimate_cost(
    THREE, [4], **{**SETTING, 'epochs': 2}
  ).operations == (pytest.approx(7 * 5 * a_sample))


def test_a_cap_above_all_lengths_costs_as_much_as_no_cap():
  free = cost_model.estimate_cost(THREE, [9], **SETTING)
  assert cost_model.estimate_cost(THREE, [10**9], **SETTING) == pytest.approx(
    free
  )
  assert free.tokens == pytest.approx(5 * THREE.tokens[:3].mean())


def test_a_cap_below_all_lengths_costs_itself():
  low = cost_model.estimate_cost(THREE, [2, 1, 1], **SETTING)
  assert (low.tokens, low.wait) == (pytest.approx(5 * 4), pytest.approx(4))


def test_the_operations_are_those_of_an_update_and_a_third():
  shape, natural = full_size.SHAPES['tiny'], [40, 90, 200, 700]
  lengths = cost_model.kaplan_meier(natural, np.zeros(4, bool))
  setting = dict(
    samples=4, prompt=20, forward=flops.forward(shape), passes=3, epochs=1
  )
  found = cost_model.estimate_cost(lengths, [128], **setting).operations
  trained = flops.update(shape, 20 + np.minimum(natural, 128))
  assert found == pytest.approx(4 / 3 * trained)


@pytest.mark.parametrize('cap', [20, 60, 500])
def test_a_simulation_has_the_same_cost(cap):
  rng = np.random.default_rng(0)
  drawn = rng.integers(1, 200, (20_000, 12))
  lengths = cost_model.kaplan_meier(np.arange(1, 200), np.zeros(199, bool))
  sampled = np.minimum(drawn, cap)
  setting = {**SETTING, 'samples': 12}
  found = cost_model.estimate_cost(lengths, [cap], **setting)
  whole = sampled + 3.0
  assert found.tokens == pytest.approx(sampled.sum(1).mean(), rel=5e-3)
  assert found.wait == pytest.approx(sampled.max(1).mean(), rel=5e-3)
  assert found.operations == pytest.approx(
    4 * (7 * whole + 2 * whole**2).sum(1).mean(), rel=1e-2
  )


def test_a_cut_response_counts_as_censored_by_hand():
  # Of six, one ends at 2; a cap of 3 cuts two. Of the other three, one ends at
  # 5 and one at 7; the last is cut at 8.
  found = cost_model.kaplan_meier([2, 3, 3, 5, 7, 8], [0, 1, 1, 0, 0, 1])
  ends = found.share > 0  # None ends where only a cut was.
  np.testing.assert_array_equal(found.tokens[ends], [2, 5, 7, np.inf])
  left = np.cumprod([5 / 6, 2 / 3, 1 / 2])
  share = found.share[ends]
  np.testing.assert_allclose(share, -np.diff(left, prepend=1, append=0))
  # A response without a known end is longer than any cap.
  assert cost_model.capped(found, 1000) == pytest.approx(
    share[:3] @ [2, 5, 7] + 1000 * left[-1]
  )


def test_natural_lengths_are_recovered_from_samples_under_many_caps():
  rng = np.random.default_rng(1)
  natural = np.ceil(rng.lognormal(4, 0.6, 60_000))
  caps = rng.integers(40, 160, natural.size)
  seen = cost_model.kaplan_meier(np.minimum(natural, caps), natural > caps)
  for cap in (30, 60, 120):
    known = np.minimum(natural, cap).mean()
    assert cost_model.capped(seen, cap) == pytest.approx(known, rel=0.01)
  # Counting cut samples as complete would be wrong.
  naive = cost_model.kaplan_meier(
    np.minimum(natural, caps), np.zeros(natural.size)
  )
  assert cost_model.capped(naive, 120) < 0.95 * np.minimum(natural, 120).mean()


@pytest.mark.parametrize('cut', [True, False])
def test_one_sample_is_enough_and_none_is_refused(cut):
  assert cost_model.capped(cost_model.kaplan_meier([7], [cut]), 7) == 7
  assert cost_model.capped(cost_model.kaplan_meier([7], [cut]), 9) == (
    9 if cut else 7
  )
  with pytest.raises(ValueError, match='no sample'):
    cost_model.kaplan_meier([], [])


def test_a_lognormal_has_its_mean_and_its_median():
  found = cost_model.lognormal(mean=9000.0, median=7000.0)
  assert cost_model.capped(found, 10**9) == pytest.approx(9000, rel=1e-3)
  assert cost_model.share_cut(found, 7000) == pytest.approx(0.5, abs=1e-3)
  assert found.share.sum() == pytest.approx(1)
  small = cost_model.lognormal(mean=3.0, median=2.0)
  np.testing.assert_array_equal(small.tokens[:50], np.arange(1, 51))


@pytest.mark.parametrize('mean', [7000.0, 6000.0])
def test_a_lognormal_with_a_mean_that_is_not_above_its_median_is_refused(mean):
  with pytest.raises(ValueError, match='not above median=7000'):
    cost_model.lognormal(mean=mean, median=7000.0)


@pytest.mark.parametrize(
  ('sigma', 'median', 'cut', 'saved'),
  [
    (0.7, 7000, (0.11, 0.41), (0.10, 0.13, 0.25)),
    (0.7, 10_000, (0.24, 0.61), (0.14, 0.18, 0.25)),
    (0.9, 10_000, (0.29, 0.59), (0.15, 0.19, 0.25)),
  ],
)
def test_a_cosine_saves_as_much_as_computed_by_hand(sigma, median, cut, saved):
  mean = median * np.exp(sigma**2 / 2)
  lengths = cost_model.lognormal(mean=mean, median=median)
  found = cost_model.share_cut(lengths, [16_384, 8192])
  np.testing.assert_allclose(found, cut, atol=0.006)
  cosine = 12_288 + 4096 * np.cos(2 * np.pi * np.arange(640) / 640)
  forward = flops.forward(full_size.SHAPES['1.5b'])
  setting = dict(samples=1024, prompt=150, forward=forward, passes=3, epochs=1)
  high = cost_model.estimate_cost(lengths, np.full(640, 16_384), **setting)
  swings = cost_model.estimate_cost(lengths, np.floor(cosine), **setting)
  shares = 1 - np.array(swings) / np.array(high)
  np.testing.assert_allclose(shares, saved, atol=0.006)
