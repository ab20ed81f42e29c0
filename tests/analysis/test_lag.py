"""The lag of the length behind the cap: shifts that are known."""

import json
import math

import numpy as np
import pytest
from made_runs import make

from siri_jax.analysis import runs
from siri_jax.analysis import seeds as groups
from siri_jax.analysis.figures import lag


def swing(steps, period):
  return 69 + 23 * np.cos(2 * np.pi * np.arange(steps) / period)


@pytest.mark.parametrize('shift', [-3, 0, 7])
def test_the_lag_of_a_shifted_series_is_found(shift):
  cap = swing(170, 40)
  length = np.roll(0.4 * cap, shift)[10:-10] - 0.1 * np.arange(150)
  found = lag.estimate([(cap[10:-10], length)], 20, 10)
  assert found.lag == shift
  assert found.low <= shift <= found.high
  assert found.high - found.low <= 2
  assert found.correlation == pytest.approx(1, abs=0.02)


def test_the_interval_covers_the_lag_with_its_probability():
  rng = np.random.default_rng(0)
  held = 0
  for seed in range(40):
    noise = rng.normal(0, 6, 200)
    for t in range(1, 200):  # The noise of a step lasts for a few steps.
      noise[t] += 0.6 * noise[t - 1]
    cap = swing(200, 40)
    length = 0.4 * np.roll(cap, 6) + noise
    found = lag.estimate([(cap[20:], length[20:])], 20, 10, seed)
    held += found.low <= 6 <= found.high
  assert held >= 33  # Of 40; 38 are expected of 95 %.


def test_noise_has_an_interval_as_wide_as_the_cycle():
  noise = np.random.default_rng(1).normal(size=160)
  found = lag.estimate([(swing(160, 40), noise)], 20, 10)
  assert found.high - found.low > 15


def test_more_seeds_narrow_the_interval_of_the_lag():
  rng = np.random.default_rng(2)
  cap = swing(160, 40)
  seeds = [
    (cap, 0.2 * np.roll(cap, 5) + rng.normal(0, 8, 160)) for _ in range(6)
  ]
  one, six = lag.estimate(seeds[:1], 20, 10), lag.estimate(seeds, 20, 10)
  assert six.high - six.low < one.high - one.low


def test_a_missing_lag_has_a_reason(tmp_path):
  flat = make(tmp_path / 'flat', schedule='constant')
  found = lag.table([runs.read(flat)]).set_index('setting')
  assert found.loc['constant'].told == 'the cap never moves'
  assert math.isnan(found.loc['constant'].lag)
  short = runs.read(make(tmp_path / 'short', steps=6))
  (group,) = groups.of([short])
  assert 'does not come back' in lag.of_group(group)


def test_the_lag_of_runs_is_drawn_with_its_interval(tmp_path):
  path = make(tmp_path, steps=40)
  lines = [
    json.loads(x) for x in (path / 'metrics.jsonl').read_text().splitlines()
  ]
  for record in lines:
    record['length_mean'] = lines[max(record['step'] - 2, 0)]['cap'] / 2
  text = ''.join(json.dumps(record) + '\n' for record in lines)
  (path / 'metrics.jsonl').write_text(text)
  (text,) = lag.draw([runs.read(path)]).legends[0].get_texts()
  assert text.get_text().startswith('cosine: 2 steps (')
