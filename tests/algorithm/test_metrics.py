"""A step's metrics, on cases computed by hand."""

import math

import numpy as np
import pytest

from siri_jax import types
from siri_jax.algorithm import metrics


def batch_of(length, correct, truncated):
  return types.Batch(
    group=np.zeros(len(length), np.int32),
    length=np.asarray(length, np.int32),
    correct=np.asarray(correct, bool),
    answered=np.ones(len(length), bool),
    truncated=np.asarray(truncated, bool),
    cap=np.int32(40),
    target=np.zeros(len(length), np.int32),
    mode=np.zeros(len(length), np.int32),
    weight=np.zeros(len(length), np.float32),
  )


def test_samples_are_described_by_their_lengths_and_verdicts():
  batch = batch_of([10, 20, 30, 40], [1, 0, 1, 0], [0, 0, 0, 1])
  rewards = np.array([[1, 0], [0.5, 0.5]], np.float32)
  assert metrics.of_samples(batch, rewards) == {
    'reward_mean': 0.5,
    'accuracy': 0.5,
    'length_mean': 25.0,
    'length_p90': pytest.approx(37.0),  # 0.7 of the way from 30 to 40.
    'length_correct': 20.0,
    'length_wrong': 30.0,
    'truncated_frac': 0.25,
    'zero_variance_frac': 0.5,
    'tokens': 100,
  }


@pytest.mark.filterwarnings('error')
def test_a_mean_over_nothing_is_nan_and_no_warning():
  batch = batch_of([10, 20], [1, 1], [0, 0])
  found = metrics.of_samples(batch, np.ones((1, 2), np.float32))
  assert found['length_correct'] == 15.0
  assert math.isnan(found['length_wrong'])
  assert found['zero_variance_frac'] == 1.0


def test_sums_over_tokens_become_shares_and_means():
  totals = {
    'tokens_sum': 50.0,
    'clip_low_sum': 5.0,
    'clip_high_sum': 10.0,
    'entropy_sum': 100.0,
    'kl_sum': 25.0,
    'ratio_max': 1.5,
    'loss': 0.25,
    'grad_norm': 3.0,
  }
  assert metrics.of_update(totals) == {
    'clip_low_frac': 0.1,
    'clip_high_frac': 0.2,
    'entropy': 2.0,
    'kl': 0.5,
    'ratio_max': 1.5,
    'loss': 0.25,
    'grad_norm': 3.0,
  }


def test_sampler_metrics_are_means_over_tokens_with_a_log_probability():
  totals = {
    'tokens_sum': 50.0,
    'sampler_told_sum': 4.0,
    'sampler_gap_sum': 2.0,
    'sampler_gap_max': 1.5,
    'sampler_far_sum': 1.0,
    'sampler_told_from_0_sum': 4.0,
    'sampler_gap_from_0_sum': 2.0,
    'sampler_told_from_1024_sum': 0.0,
    'sampler_gap_from_1024_sum': 0.0,
  }
  assert metrics.of_update(totals) == pytest.approx(
    {
      'sampler_told': 4.0,
      'sampler_gap': 0.5,
      'sampler_gap_max': 1.5,
      'sampler_far': 0.25,
      'sampler_gap_from_0': 0.5,
      'sampler_gap_from_1024': math.nan,
    },
    nan_ok=True,
  )


def test_a_steps_counters_are_differences_since_its_start():
  before = {'grader_answers': 10, 'grader_timeouts': 1}
  after = {'grader_answers': 18, 'grader_timeouts': 1}
  assert metrics.counted(before, after) == {
    'grader_answers': 8,
    'grader_timeouts': 0,
  }


def test_no_tokens_cause_no_division_by_zero():
  found = metrics.of_update({'tokens_sum': 0.0, 'entropy_sum': 0.0})
  assert found == {'entropy': 0.0}


def test_a_record_starts_with_the_common_keys_in_order():
  record = {'kl': 1, 'tokens': 2, 'cap': 3, 'skipped': 4, 'step': 5}
  assert list(metrics.ordered(record)) == [
    'step',
    'cap',
    'tokens',
    'kl',
    'skipped',
  ]
  assert metrics.ordered(record) == record
