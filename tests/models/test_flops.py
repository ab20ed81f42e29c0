"""FLOPs of a sequence: by hand, and for the two models."""

import numpy as np
import pytest

from siri_jax.models import decoder, flops, lora

ROPE = dict(rope_theta=1e4, norm_eps=1e-6, tied=False)
ROPE |= dict(qkv_bias=True, qk_norm=False)
SMALL = decoder.ModelConfig(
  151_936, 28, 1536, 12, 2, 128, 8960, **ROPE
)  # The 1.5B.
LARGE = decoder.ModelConfig(
  152_064, 28, 3584, 28, 4, 128, 18_944, **ROPE
)  # The 7B.


def test_every_weight_that_multiplies_a_token_counts_once_by_hand():
  shape = decoder.ModelConfig(11, 2, 4, 2, 1, 3, 5, **ROPE)
  # q, k, v, o: 4*6 + 4*3 + 4*3 + 6*4; gate, up, down: 3*4*5; the head: 4*11.
  assert flops.weights(shape) == 2 * (72 + 60) + 44
  # A multiplication and an addition each; the embedding is only a look-up.
  # Attention has two products of 6 numbers for half of T^2 pairs in a layer.
  assert flops.forward(shape) == (2 * 308, 2 * 6 * 2)
  assert flops.update(shape, [3, 5]) == 3 * (616 * 8 + 24 * (9 + 25))


@pytest.mark.parametrize(
  ('shape', 'billions', 'at_8k', 'at_16k'),
  [(SMALL, 1.5436, 11.38, 13.49), (LARGE, 7.0703, 47.35, 52.29)],
  ids=['1.5B', '7B'],
)
def test_the_two_models_have_their_known_flops(shape, billions, at_8k, at_16k):
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
  adapters = lora.Adapters(32, 32.0, tuple(decoder.MATRICES))
  # 80.7M numbers, as PEFT counts them.
  assert lora.param_count(LARGE, adapters) == 80_740_352
  assert flops.passes(LARGE, adapters) == pytest.approx(2.034, abs=1e-3)
