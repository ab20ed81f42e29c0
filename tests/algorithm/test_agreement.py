"""Differences of the engine's and the trainer's log-probabilities."""

import dataclasses
import math

import jax
import numpy as np
import pytest
import test_update
from test_update import RECIPE, SAMPLES, before, pack, plain_logp, step

from siri_jax.algorithm import update


def test_agreement_is_over_tokens_with_a_sampler_log_probability():
  off = [0.0, 1.0, None, None, -0.5, None]  # Nats, sample by sample.
  samples = [
    dataclasses.replace(s, sampler_logp=None if o is None else x[m] - o)
    for s, x, m, o in zip(SAMPLES, *plain_logp(before()[0]), off, strict=True)
  ]
  rows, count = pack(samples=samples, extra=('sampler_logp',))
  run = test_update.compiled(update.compute_logprobs, RECIPE)
  _, found = jax.device_get(run(before()[0], rows, count))
  kl = 2 * (math.e - 2) + 3 * (math.exp(-0.5) - 0.5)
  told = {'told_sum': 10, 'gap_sum': 3.5, 'gap_max': 1.0, 'kl_sum': kl}
  told |= {'far_sum': 2, 'told_from_0_sum': 10, 'told_from_1024_sum': 0}
  for name, value in told.items():
    assert found[f'sampler_{name}'] == pytest.approx(value, rel=1e-4), name


@pytest.mark.slow
def test_off_policy_the_engine_is_not_compared_with_itself():
  # The engine had other weights: the gap is that of the two policies.
  (now, mask), (then, _) = (plain_logp(params) for params in before())
  apart = np.abs(np.asarray(now) - np.asarray(then))[np.asarray(mask)]
  samples = [
    dataclasses.replace(s, sampler_logp=np.asarray(x)[m])
    for s, x, m in zip(SAMPLES, then, mask, strict=True)
  ]
  rows, count = pack(samples=samples, extra=('sampler_logp',))
  rows = rows.replace(old_logp=rows.extra['sampler_logp'])
  recipe = dataclasses.replace(RECIPE, off_policy=True)
  _, metrics = step(rows, count, recipe=recipe)
  assert metrics['sampler_gap_max'] == pytest.approx(apart.max(), rel=1e-3)
  assert metrics['sampler_gap_sum'] == pytest.approx(apart.sum(), rel=1e-3)
  assert metrics['ratio_max'] > 1
