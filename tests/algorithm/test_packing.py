"""Packing: the places of tokens, targets and weights."""

import itertools

import builders
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from siri_jax.algorithm import packing

NAMES = [
  *('tokens', 'targets', 'positions', 'segments'),
  *('mask', 'adv', 'old_logp'),
]


def pack(samples, row_tokens=8, micro_batch_rows=1, **changes):
  weights = np.arange(1, len(samples) + 1, dtype=np.float32)
  fit = builders.fit(row_tokens, micro_batch_rows)
  return packing.pack(samples, weights, -weights, fit, **changes)


def test_first_fit_decreasing_by_hand():
  # Longest first, each into the first row with room: 6+2, 5+3, 4.
  rows = packing.first_fit_decreasing([2, 3, 4, 5, 6], 8, 9)
  assert rows == [[4, 0], [3, 1], [2]]


def test_equal_lengths_keep_their_order():
  assert packing.first_fit_decreasing([3, 3, 3], 6, 9) == [[0, 1], [2]]


@hypothesis.given(
  strategies.lists(strategies.integers(1, 10), max_size=30),
  strategies.integers(10, 40),
  strategies.integers(1, 6),
)
def test_every_sequence_lies_in_one_row_and_no_row_overflows(
  lengths, room, most
):
  rows = packing.first_fit_decreasing(lengths, room, most)
  assert sorted(itertools.chain(*rows)) == list(range(len(lengths)))
  loads = [sum(lengths[i] for i in row) for row in rows]
  assert all(load <= room for load in loads)
  assert all(len(row) <= most for row in rows)
  # Two rows, each at most half full, would have been one.
  half = [
    2 * load <= room and 2 * len(row) <= most
    for row, load in zip(rows, loads, strict=True)
  ]
  assert sum(half) <= 1


def test_a_sequence_that_does_not_fit_is_named():
  with pytest.raises(ValueError, match=r'sequences \[1, 2\] of \[9, 11\] tok'):
    packing.first_fit_decreasing([3, 9, 11], 8, 9)


def test_rows_of_similar_cost_share_a_micro_batch_by_hand():
  # Micro-batches of four rows, two per device: the costliest rows first, each
  # to the device with the least cost so far.
  costs = [1, 9, 8, 2, 7, 3, 5]
  assert packing.balance_micro_batches(
    costs, micro_batch_rows=4, devices=2
  ).reshape(2, 2, 2).tolist() == [
    [[1, 6], [2, 4]],  # 9 + 5 and 8 + 7.
    [[5, 0], [3, -1]],  # 3 + 1 and 2, to 18 and 17.
  ]


@hypothesis.given(
  strategies.lists(strategies.floats(0, 100), max_size=40),
  strategies.integers(1, 4),
  strategies.integers(1, 3),
)
def test_every_row_is_assigned_once_and_devices_are_balanced(
  costs, devices, share
):
  places = packing.balance_micro_batches(costs, devices * share, devices)
  assert sorted(places[places >= 0]) == list(range(len(costs)))
  # Only the last micro-batch has room left.
  assert (places[: -devices * share] >= 0).all()
  given = np.where(places >= 0, np.append(costs, 0)[places], 0)
  loads = given.reshape(-1, devices, share).sum(axis=(0, 2))
  assert np.ptp(loads) <= max(costs, default=0) * share + 1e-9


def test_the_papers_lengths_are_balanced_within_three_per_cent():
  rng = np.random.default_rng(0)
  lengths = np.minimum(rng.lognormal(8.9, 0.7, 512) + 150, 16_534).astype(int)
  rows = packing.first_fit_decreasing(lengths, 17_408, 32)
  costs = [
    float(np.sum(3.1e9 * lengths[r] + 86_016 * lengths[r] ** 2.0)) for r in rows
  ]
  places = packing.balance_micro_batches(costs, micro_batch_rows=8, devices=8)
  given = np.where(places >= 0, np.append(costs, 0)[places], 0).reshape(-1, 8)
  loads = given.sum(axis=0)
  assert loads.max() < 1.03 * loads.mean()
  # With zero3, all devices wait for the costliest row of a micro-batch.
  assert given.max(axis=1).sum() < 1.05 * loads.mean()


def test_two_sequences_in_a_row_by_hand():
  first = builders.make_sample([5, 6], [7, 8, 9])
  second = builders.make_sample([4], [3])
  rows, in_use = pack([first, second])
  assert in_use == 1
  row = {name: getattr(rows, name)[0, 0].tolist() for name in NAMES}
  assert row == dict(
    tokens=[5, 6, 7, 8, 9, 4, 3, 0],
    targets=[6, 7, 8, 9, 0, 3, 0, 0],
    positions=[0, 1, 2, 3, 4, 0, 1, 0],
    segments=[1, 1, 1, 1, 1, 2, 2, 0],
    # The positions that predict response tokens have weights: from the prompt's
    # last token to the response's last but one.
    mask=[0, 1, 1, 1, 0, 2, 0, 0],
    adv=[-1, -1, -1, -1, -1, -2, -2, 0],
    old_logp=[0] * 8,
  )


def test_every_response_token_is_a_target_with_its_weight_once():
  samples = builders.random_samples([1, 5, 3, 4, 2], vocab=50)
  rows, in_use = pack(samples, row_tokens=11, micro_batch_rows=2)
  live = rows.mask[:in_use] > 0
  found = sorted(
    zip(rows.mask[:in_use][live], rows.targets[:in_use][live], strict=True)
  )
  expected = sorted(
    (i, token)
    for i, sample in enumerate(samples, 1)
    for token in sample.response_ids
  )
  assert found == expected


def test_only_the_number_of_samples_decides_the_arrays_shape():
  for lengths in ([1, 1, 1], [9, 9, 9], [1, 5, 9]):
    rows, _ = pack(builders.random_samples(lengths, vocab=9), 12, 2)
    # A row for each sample, in micro-batches of two.
    assert rows.tokens.shape == rows.mask.shape == (2, 2, 12)


def test_unused_capacity_is_padding():
  few = builders.random_samples([1, 5], vocab=9)
  for samples in few, few[:1], []:
    rows, in_use = pack(samples, 8, micro_batch_rows=2, capacity=5)
    assert rows.tokens.shape == (3, 2, 8)
    assert in_use == bool(samples)


def test_only_filled_micro_batches_are_in_use():
  short = builders.random_samples([1] * 5, vocab=9)
  assert pack(short, row_tokens=20)[1] == 1
  assert pack(short, row_tokens=8)[1] == 3
  assert pack(short, row_tokens=8, micro_batch_rows=2)[1] == 2
  rows, in_use = pack(short, row_tokens=8, micro_batch_rows=2)
  assert not rows.tokens[in_use:].any()
  assert not rows.mask[in_use:].any()


def test_the_samplers_log_probabilities_are_at_the_predicting_positions():
  sample = builders.make_sample(
    [1, 2], [3, 4, 5], sampler_logp=np.float32([-0.1, -0.2, -0.3])
  )
  rows, _ = pack([sample], extra=('sampler_logp', 'ref_logp'))
  expected = np.float32([0, -0.1, -0.2, -0.3, 0, 0, 0, 0])
  np.testing.assert_array_equal(rows.extra['sampler_logp'][0, 0], expected)
  assert not rows.extra['ref_logp'].any()


def test_a_sample_longer_than_a_row_is_refused():
  samples = builders.random_samples([2, 9], vocab=9)
  with pytest.raises(ValueError, match=r'row of 8; raise row_tokens'):
    pack(samples)
