"""The forecast of a run: tokens, time, devices, disk, memory of sampling."""

import builders
import numpy as np
import pytest

from configs import cosine640, quickstart
from siri_jax.config import cost_model, devices, forecast, plan
from siri_jax.data import workload
from siri_jax.models import decoder, flops
from tests.helpers import tiny

# One unit each: a second is a step, a byte or a FLOP.
UNIT = devices.Device(
  name='unit',
  gpu=True,
  here=True,
  gb=80.0,
  update=(2.0, 1.0),
  decode=(2.0, 1.0),
  reads=(2.0, 1.0),
  step_secs=(1.0, 2.0),
  speed='',
)


def planned(**changes):
  c = tiny.get_config()
  c.update(changes)
  return plan.make(c)


def work_of(**evals):
  return forecast.Workload(builders.tiny_shape(), 2.0, 64, 0, evals)


def exactly(tokens):
  """Responses of one length."""
  return cost_model.LengthDistribution(np.float64([tokens]), np.ones(1))


@pytest.mark.parametrize(
  ('slots', 'steps'),
  # 8 samples of 6 tokens. Two each after another are 24 to 30 steps.
  [(8, (6, 6)), (2, (24, 30))],
)
def test_slots_fewer_than_samples_take_them_one_after_another(slots, steps):
  made = planned(engine_kw=dict(max_concurrent=slots))
  found = forecast.sampled(made, work_of(), exactly(6), [9], 8)
  assert found.tokens == 48
  assert found.steps == steps
  # Each token reads the prompt and, on average, half of the response.
  assert found.context == 8 * (2 * 6 + 6 * 6 / 2)
  a, b = flops.forward(builders.tiny_shape())
  assert found.operations == 8 * (a * 8 + b * 64)


def test_chunks_are_forecast_as_rows_with_prompts_of_their_own():
  each = dict(context=4, carried=2, head=1)
  made = planned(budget='in_chunks', budget_kw=each)
  found = forecast.sampled(made, work_of(), exactly(7), [9], 8)
  # Prompts of 2, 4 and 4 tokens, then 4, 2 and 1.
  a, b = flops.forward(builders.tiny_shape())
  assert found.tokens == 8 * 7
  assert found.operations == 8 * (a * (6 + 6 + 5) + b * (36 + 36 + 25))
  assert found.context == 8 * (2 * 4 + 8 + 4 * 2 + 2 + 4 * 1 + 0.5)


def test_a_cap_cuts_what_is_sampled():
  found = forecast.sampled(planned(), work_of(), exactly(6), [4, 9], 8)
  assert found.tokens == 8 * (4 + 6)


def test_evaluations_are_counted_at_their_own_cap_and_samples():
  made = planned(total_steps=8, eval_kw=dict(every=0, samples=3, cap=5))
  assert len(made.evals) == 5  # The start and four extrema, one the end.
  found = forecast.of(made, work_of(easy=10, unknown=None), exactly(6), UNIT)
  assert found.evaluation.tokens == 5 * 10 * 3 * 5


def test_all_is_the_sum_unless_sampling_is_ahead():
  for ahead in (0, 1):
    made = planned(off_policy_steps=ahead)
    secs = dict(forecast.of(made, work_of(), exactly(6), UNIT).secs)
    whole, parts = secs.pop('all'), np.sum([*secs.values()], axis=0)
    hidden = ahead * np.minimum(secs['sampling'], secs['updates'])
    np.testing.assert_allclose(whole, parts - hidden)
    assert whole[0] < whole[1]


def paper(**changes):
  c = cosine640.get_config()
  c.update(changes)
  return c


def test_devices_are_those_of_servers_and_trainers_unless_they_share():
  c = paper(engine='vllm')
  assert forecast.trainers(c) == 4
  c.server_kw.update(data=4, tensor=2)
  work = workload.assumed(c)
  for placement, gpus, sleep, count in (
    *(('split', 0, 0, 8), ('split', 0, 1, 8), ('split', 16, 0, 20)),
    *(('shared', 0, 0, 4), ('external', 0, 0, 12), ('external', 0, 1, 8)),
  ):
    c.server_kw.update(placement=placement, gpus=gpus, sleep=sleep)
    found = forecast.of(plan.make(c), work, exactly(9000), UNIT)
    assert found.devices == count
    assert found.hours[0] == pytest.approx(found.secs['all'][0] * count / 3600)
  assert forecast.servers(paper(engine='embedded')) == 0


def test_a_server_holds_what_its_share_of_the_memory_leaves():
  c = paper(engine='vllm')
  shape = workload.MODELS['deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B']
  # 28 layers, 2 heads of 128, key and value, 2 bytes each.
  assert forecast.cache_bytes(c, shape) == 28_672
  held = forecast.serving(plan.make(c), shape, 80.0)
  assert held.weights == 2 * decoder.param_count(shape)
  taken = held.weights + forecast.WORKING + held.cache
  assert taken == pytest.approx(0.9 * 80e9)
  assert held.responses == int(held.cache / (28_672 * (1024 + 16_384)))


def test_the_embedded_engine_holds_slots_and_prompts_and_shrinks():
  made = planned(engine_kw=dict(max_concurrent=64))
  shape = builders.tiny_shape()
  columns = made.c.max_prompt_tokens + made.longest
  slot = forecast.cache_bytes(made.c, shape) * columns
  prompt = forecast.cache_bytes(made.c, shape) * made.c.max_prompt_tokens
  held = forecast.serving(made, shape, 80.0)
  # The 16 slots that stay are copied; every request may have its own prompt.
  assert held.cache == (64 + 16) * slot + made.requests * prompt
  assert held.responses == 64


def test_the_checkpoints_left_are_extrema_newest_and_multiples():
  c = quickstart.get_config()
  c.checkpoint_kw.update(every=10, keep=2, keep_every=50)
  kept = forecast.kept(plan.make(c))
  assert kept == [27, 50, 54, 81, 100, 108, 135, 150, 160, 162]


def test_this_machine_is_planned_for_unless_it_lacks_the_devices():
  here = devices.planned(tiny.get_config())
  assert not here.gpu
  assert here.update[0] > here.update[1] > 0
  absent = devices.planned(paper())
  assert (absent.name, absent.gb, absent.here) == ('H100', 80.0, False)
