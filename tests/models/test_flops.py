"""FLOPs of a sequence: by hand, and for the models of the configs."""

import numpy as np
import pytest

from siri_jax.data import workload
from siri_jax.models import decoder, flops, lora

ROPE = dict(rope_theta=1e4, norm_eps=1e-6, tied=False)
ROPE |= dict(qkv_bias=True, qk_norm=False)
R1 = 'deepseek-ai/DeepSeek-R1-Distill-'


def test_every_weight_that_multiplies_a_token_counts_once_by_hand():
  shape = decoder.ModelConfig(11, 2, 4, 2, 1, 3, 5, **ROPE)
  # q, k, v, o: 4*6 + 4*3 + 4*3 + 6*4; gate, up, down: 3*4*5; the head: 4*11.
  assert flops.weights(shape) == 2 * (72 + 60) + 44
  # A multiplication and an addition each; the embedding is only a look-up.
  # Attention has two products of 6 numbers for half of T^2 pairs in a layer.
  assert flops.forward(shape) == (2 * 308, 2 * 6 * 2)
  assert flops.update(shape, [3, 5]) == 3 * (616 * 8 + 24 * (9 + 25))


@pytest.mark.parametrize(
  ('model', 'billions', 'at_8k', 'at_16k'),
  [
    (f'{R1}Qwen-1.5B', 1.5436, 11.38, 13.49),
    (f'{R1}Qwen-7B', 7.0703, 47.35, 52.29),
    (f'{R1}Llama-8B', 7.5047, 51.47, 57.91),
    ('Qwen/Qwen3-1.7B', 1.7205, 13.14, 15.96),  # Its head is its embedding.
  ],
)
def test_the_models_have_their_known_flops(model, billions, at_8k, at_16k):
  shape = workload.MODELS[model]
  assert flops.weights(shape) / 1e9 == pytest.approx(billions, abs=1e-4)
  lengths = np.int32([8192, 16_384])
  found = [flops.update(shape, [n]) / n / 1e9 for n in lengths]
  assert found == pytest.approx([at_8k, at_16k], abs=0.01)


def test_the_backward_pass_of_a_frozen_matrix_takes_one_product_by_hand():
  shape = decoder.ModelConfig(11, 2, 4, 2, 1, 3, 5, **ROPE)
  adapters = lora.Adapters(2, 4.0, ('q', 'down'))
  # Rank 2, of q 4 + 6 and of down 5 + 4 numbers, in two layers: trained.
  own = 2 * 2 * (10 + 9)
  assert lora.param_count(shape, adapters) == own
  weights = 2 * 2 * 308 + 3 * 2 * own
  found = flops.update(shape, [3, 5], adapters)
  assert found == pytest.approx(weights * 8 + 3 * 24 * (9 + 25))


def test_a_7b_with_adapters_costs_two_thirds_of_full_fine_tuning():
  large = workload.MODELS[f'{R1}Qwen-7B']
  adapters = lora.Adapters(32, 32.0, tuple(decoder.MATRICES))
  # 80.7M numbers, as PEFT counts them.
  assert lora.param_count(large, adapters) == 80_740_352
  assert flops.passes(large, adapters) == pytest.approx(2.034, abs=1e-3)
