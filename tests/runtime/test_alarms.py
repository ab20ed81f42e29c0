"""Alarms on records by hand: values with and without an alarm."""

import math

import pytest

from siri_jax.config import base
from siri_jax.runtime import alarms

KW = dict(
  window=2,
  least_steps=2,
  cut=0.5,
  idle=0.9,
  ungraded=0.01,
  gap=0.1,
  gap_growth=3.0,
  entropy=0.02,
  ratio=10.0,
  spike=5.0,
  spike_floor=0.05,
)
CALM = dict(
  truncated_frac=0.1,
  zero_variance_frac=0.3,
  grader_answers=100,
  grader_timeouts=0,
  grader_crashes=0,
  sampler_gap=0.005,
  entropy=0.3,
  ratio_max=1.5,
  loss=-0.1,
  grad_norm=0.5,
  length_mean=60.0,
)


def raised(*changes):
  return alarms.raised([CALM | change for change in changes], **KW)


def test_a_healthy_run_raises_no_alarm():
  assert raised({}, {}, {}, {}) == {}
  assert raised({}) == {}
  assert raised() == {}


@pytest.mark.parametrize(
  ('name', 'change', 'told'),
  [
    ('cut', dict(truncated_frac=1.0), '100% of the responses'),
    ('idle', dict(zero_variance_frac=1.0), '100% of the groups'),
    ('ungraded', dict(grader_timeouts=3, grader_crashes=1), '4.0% of'),
    ('gap', dict(sampler_gap=0.2), '0.2 nats'),
    ('entropy', dict(entropy=0.01), '0.01 nats'),
    ('ratio', dict(ratio_max=50.0), '50 times'),
  ],
)
def test_each_alarm_has_its_value_and_advice(name, change, told):
  found = raised(change, change)
  assert set(found) == {name}
  assert told in found[name]
  assert ':' in found[name]


def test_a_single_bad_step_raises_no_alarm():
  assert raised({}, dict(truncated_frac=0.8)) == {}
  assert raised({}, dict(entropy=0.0)) == {}


def test_a_ratio_is_judged_by_one_step():
  assert set(raised({}, dict(ratio_max=11.0))) == {'ratio'}
  assert raised(dict(ratio_max=11.0), {}) == {}
  assert raised(dict(ratio_max=11.0)) == {}  # The first step of a run.


def test_a_step_far_above_all_of_the_window_before_is_a_spike():
  for change in (dict(loss=0.6), dict(grad_norm=3.0), dict(length_mean=301.0)):
    found = raised({}, change)
    assert set(found) == {'spike'}
    assert next(iter(change)) in found['spike']
    assert raised(change, {}) == {}
  # Neither the first step nor the first with a gradient is a spike.
  assert raised(dict(grad_norm=3.0)) == {}
  assert raised(dict(grad_norm=0.0), dict(grad_norm=3.0)) == {}


def test_a_healthy_first_step_raises_no_alarm():
  # On policy, the first loss is only rounding.
  first = dict(loss=1e-9, truncated_frac=0.9, zero_variance_frac=1.0)
  assert raised(first) == {}
  assert raised(dict(loss=1e-9), dict(loss=0.02)) == {}
  assert set(raised(dict(loss=1e-9), dict(loss=0.2))) == {'spike'}


def test_a_growing_difference_is_reported_before_it_is_large():
  small, large = dict(sampler_gap=0.01), dict(sampler_gap=0.05)
  assert set(raised(small, small, large, large)) == {'gap_grows'}
  # One step is not enough to compare with.
  assert raised(small, large, large) == {}
  tiny = dict(sampler_gap=1e-6), dict(sampler_gap=1e-3)
  assert raised(tiny[0], tiny[0], tiny[1], tiny[1]) == {}


def test_nan_raises_no_alarm():
  for name in ('entropy', 'sampler_gap', 'ratio_max', 'loss', 'grad_norm'):
    assert raised({name: None}, {name: None}) == {}
    assert raised({name: math.nan}, {name: math.nan}) == {}


def test_the_config_names_every_threshold():
  assert set(base.get_config().alarms_kw) == set(KW)
