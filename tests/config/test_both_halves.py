"""The memory of a GPU that samples and trains in turns."""

import pytest

from configs import one_gpu
from siri_jax.config import both_halves, dry_run, forecast, memory, plan
from siri_jax.data import workload
from tests.helpers import tiny
from tools.benchmarks import full_size

SHAPE = full_size.SHAPES['1.5b']


@pytest.fixture
def made():
  c = one_gpu.get_config()
  c.model_path, c.engine = 'somewhere', 'vllm'
  return plan.make(c)


def test_the_halves_of_a_step_on_one_gpu_by_hand(made):
  found = both_halves.halves(made, SHAPE)
  parameters = 1.777e9
  # Parameters and two moments in float32 stay; vLLM's weights are bfloat16.
  state, _ = found['parameters and optimiser']
  assert state == pytest.approx(3 * 4 * parameters, rel=1e-3)
  weights, asleep = found['server: weights']
  assert weights == pytest.approx(2 * parameters, rel=1e-3)
  assert asleep == 0
  # The server has 0.6 of 80 GB while it samples.
  server = [n for name, (n, _) in found.items() if name.startswith('server')]
  assert sum(server) == pytest.approx(0.6 * 80e9)


def test_a_token_of_the_cache_has_keys_and_values_of_all_layers(made):
  # 28 layers, 2 heads of width 128, keys and values, 2 bytes each.
  each = forecast.cache_bytes(made.c, SHAPE)
  assert each == 28 * 2 * 128 * 2 * 2
  cache, _ = both_halves.halves(made, SHAPE)['server: keys and values']
  assert cache / each == pytest.approx(1.41e6, rel=0.01)


def test_the_training_half_is_the_update_beside_a_sleeping_server(made):
  found = memory.of_plan(made, SHAPE)
  update = memory.total(found[memory.choose_remat(made.c, found)])
  training = sum(n for _, n in both_halves.halves(made, SHAPE).values())
  assert training == update + both_halves.ASLEEP


def test_the_one_gpu_config_fits_and_a_smaller_gpu_does_not(made):
  told = both_halves.text(made, SHAPE)
  assert 'Both halves fit 80 GB' in told
  assert '81\nresponses of the greatest length at a time' in told
  made.c.update_kw.device_gb, made.c.update_kw.remat = 40.0, 'full'
  assert 'Both halves do NOT fit 40 GB' in both_halves.text(made, SHAPE)


def test_a_dry_run_shows_them_only_where_gpus_are_shared():
  c = tiny.get_config()
  work = workload.of(c)._replace(shape=SHAPE)
  for engine, placement, shown in (
    ('vllm', 'shared', True),
    ('vllm', 'split', False),
    ('embedded', 'shared', False),
  ):
    c.engine, c.server_kw.placement = engine, placement
    text = dry_run.text(plan.make(c), work)
    assert ('both halves of a step' in text) == shown
