"""Low-rank adapters: by hand, against the merged policy, on every mesh."""

import functools
import types

import builders
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from siri_jax import compiled
from siri_jax.algorithm import packing
from siri_jax.config import base, memory
from siri_jax.config import recipe as recipes
from siri_jax.models import attention, decoder, lora, sharding

SHAPE = builders.tiny_shape(vocab=20, qk_norm=True)
ALL = lora.Adapters(3, 6.0, tuple(decoder.MATRICES))
SOME = ALL._replace(targets=('o', 'q', 'down'))
TOKENS = np.arange(22).reshape(2, 11) % 20


def test_a_config_without_a_rank_has_no_adapters_whatever_its_targets():
  c = base.get_config()
  assert lora.of(c.lora_kw) == lora.NONE
  c.lora_kw.rank = 8
  assert lora.of(c.lora_kw) == (8, 32.0, tuple(decoder.MATRICES))


@functools.cache
def lively(adapters, seed=1):
  """(frozen, trained): neither A nor B is 0."""
  rng = np.random.default_rng(seed)
  _, sizes = lora.param_shapes(SHAPE, adapters)
  trained = jax.tree.map(
    lambda size: np.float32(0.3 * rng.normal(size=size)),
    sizes,
    is_leaf=lambda x: isinstance(x, tuple),
  )
  return builders.lively(SHAPE), trained


@functools.partial(jax.jit, static_argnames='adapters')
def with_adapters(frozen, trained, adapters):
  """Logits of the forward pass that adds x A B to each product."""
  return forward(lora.joined(frozen, trained, adapters))


def forward(params):
  hidden = decoder.forward(
    params,
    SHAPE,
    jnp.asarray(TOKENS),
    jnp.broadcast_to(jnp.arange(11), TOKENS.shape),
    jnp.ones_like(TOKENS),
    fetch=lambda layer: layer,
    attend=attention.reference,
    remat='nothing',
  )
  return hidden @ decoder.head(params)


def test_a_matrix_with_its_adapter_by_hand():
  # A B = [[3, 4], [6, 8]], and alpha / rank = 2.
  adapters = lora.Adapters(1, 2.0, ('gate',))
  frozen = {'layers': {'gate': jnp.eye(2)[None]}}
  a, b = jnp.array([[[1.0], [2.0]]]), jnp.array([[[3.0, 4.0]]])
  trained = {'layers': {'gate_lora_a': a, 'gate_lora_b': b}}
  layers = lora.merged(frozen, trained, adapters)['layers']
  assert layers['gate'].tolist() == [[[7, 8], [12, 17]]]


def test_adapters_have_the_axes_of_their_matrix():
  frozen, trained = lora.param_shapes(SHAPE, SOME)
  assert frozen == decoder.param_shapes(SHAPE)
  assert trained == {
    'layers': {
      'q_lora_a': (2, 16, 3),
      'q_lora_b': (2, 3, 4, 4),
      'o_lora_a': (2, 4, 4, 3),
      'o_lora_b': (2, 3, 16),
      'down_lora_a': (2, 24, 3),
      'down_lora_b': (2, 3, 16),
    }
  }
  assert lora.param_shapes(SHAPE, lora.NONE) == ({}, frozen)


def test_a_new_policy_with_adapters_is_the_frozen_one_bit_for_bit():
  frozen, _ = lively(ALL)
  trained = lora.init(jax.random.key(0), SHAPE, ALL)
  np.testing.assert_array_equal(
    with_adapters(frozen, trained, ALL), jax.jit(forward)(frozen)
  )
  # PEFT's Kaiming-uniform: within 1 / sqrt(inputs). o has 4 heads of width 4.
  for name, inputs in ('up', 16), ('o', 16), ('down', 24):
    a = np.abs(trained['layers'][f'{name}_lora_a'])
    assert 0.8 * inputs**-0.5 < a.max() <= inputs**-0.5
  layer = trained['layers']
  assert not np.array_equal(layer['q_lora_a'], layer['k_lora_a'])


@pytest.mark.slow
@pytest.mark.parametrize('adapters', [ALL, SOME], ids=['all', 'some'])
def test_the_merged_policy_is_the_one_with_adapters_to_rounding(adapters):
  frozen, trained = lively(adapters)
  apart = with_adapters(frozen, trained, adapters)
  merged = forward(lora.merged(frozen, trained, adapters))
  assert np.abs(apart - forward(frozen)).max() > 0.1
  np.testing.assert_allclose(apart, merged, atol=2e-5 * np.abs(merged).max())


def test_in_float64_a_product_with_its_adapter_is_the_merged_product():
  rng = np.random.default_rng(0)
  x, a, b = (rng.normal(size=n) for n in [(5, 6), (2, 3, 4), (4, 7)])
  with jax.enable_x64(True):
    layer = {'o': rng.normal(size=(2, 3, 7)), 'o_lora_a': a, 'o_lora_b': b}
    found = decoder._product(x, jax.tree.map(jnp.asarray, layer), 'o', 'ad')
    merged = (layer['o'] + np.tensordot(a, b, 1)).reshape(6, 7)
    np.testing.assert_allclose(found, x @ merged, rtol=1e-13, atol=1e-13)


@pytest.mark.slow
def test_gradients_follow_from_those_of_the_merged_matrices():
  # W' = W + s A B: dA = s dW' B^T, dB = s A^T dW'.
  frozen, trained = lively(ALL)
  scale = ALL.alpha / ALL.rank
  weights = np.cos(np.arange(TOKENS.size * 20)).reshape(*TOKENS.shape, 20)
  slope = jax.jit(
    jax.grad(lambda t: jnp.sum(weights * with_adapters(frozen, t, ALL)))
  )(trained)['layers']
  whole = jax.jit(jax.grad(lambda p: jnp.sum(weights * forward(p))))(
    lora.merged(frozen, trained, ALL)
  )['layers']
  for name, inputs in decoder.MATRICES.items():
    d_w = np.asarray(whole[name])
    rows = np.prod(d_w.shape[1 : 1 + inputs])
    d_w = d_w.reshape(2, rows, -1)
    a = trained['layers'][f'{name}_lora_a'].reshape(2, rows, 3)
    b = trained['layers'][f'{name}_lora_b'].reshape(2, 3, -1)
    for found, expected in (
      (slope[f'{name}_lora_a'], scale * d_w @ b.swapaxes(1, 2)),
      (slope[f'{name}_lora_b'], scale * a.swapaxes(1, 2) @ d_w),
    ):
      np.testing.assert_allclose(
        np.asarray(found).reshape(expected.shape),
        expected,
        atol=1e-5 * np.abs(expected).max(),
      )


def test_a_sampler_gets_the_merged_policy_in_its_dtype():
  frozen, trained = lively(ALL)
  recipe = builders.tiny_recipe(SHAPE, dtype=jnp.bfloat16, adapters=ALL)
  copy = compiled._copy(frozen, trained, recipe=recipe)
  assert {x.dtype for x in jax.tree.leaves(copy)} == {jnp.dtype('bfloat16')}
  assert jax.tree.structure(copy) == jax.tree.structure(
    decoder.unstacked(frozen)
  )
  up = copy['layers'][1]['up']
  a, b = (trained['layers'][f'up_lora_{end}'][1] for end in 'ab')
  np.testing.assert_array_equal(
    up, jnp.asarray(frozen['layers']['up'][1] + 2 * a @ b, jnp.bfloat16)
  )


@functools.cache
def updated(param_sharding='zero3', **axes):
  """One optimiser step of a few samples on a mesh, back on the host."""
  recipe = builders.tiny_recipe(
    SHAPE, param_sharding=param_sharding, remat='full', adapters=ALL
  )
  frozen, trained = lively(ALL)
  state = compiled.new_state(trained, recipe.tx)
  mesh = sharding.make_mesh(
    jax.devices(), **{'data': 1, 'fsdp': 1, 'tensor': 1, **axes}
  )
  layout = sharding.layout(mesh, state, frozen)
  samples = builders.random_samples([5, 2, 9, 4, 7, 3, 8, 1], vocab=20)
  rows, count = packing.pack(
    samples,
    weights=np.ones(8, np.float32),
    advantages=np.linspace(-1, 2, 8, dtype=np.float32),
    fit=builders.fit(16, 4),
  )
  held = sharding.put(frozen, layout.frozen)
  state, metrics = compiled.compile_update(recipe, layout)(
    held,
    sharding.put(state, layout.state),
    sharding.put(rows, layout.rows),
    *(np.int32(count), np.float32(39), np.bool_(True), np.bool_(True)),
  )
  sums = compiled.evaluated(lora.checksums, held)
  return jax.device_get((state.params, metrics, sums))


@pytest.mark.slow
def test_an_update_changes_every_adapter_and_has_state_for_them_alone():
  params, metrics, _ = updated()
  before = lively(ALL)[1]
  assert params.keys() == {'layers'}
  for name, x in before['layers'].items():
    assert not np.array_equal(params['layers'][name], x)
  assert metrics['grad_norm'] > 0.1
  state = recipes.blank(
    builders.tiny_recipe(SHAPE, adapters=ALL, tx=optax.adam(1e-3))
  )
  count = sum(x.size for x in jax.tree.leaves(before))
  assert sum(x.size for x in jax.tree.leaves(state.opt_state)) == 2 * count + 1


@pytest.mark.slow
@pytest.mark.parametrize(
  ('param_sharding', 'axes'),
  [
    ('zero3', dict(data=2, fsdp=2, tensor=2)),
    ('zero1', dict(data=2, fsdp=2, tensor=2)),
  ],
)
def test_an_update_on_several_devices_equals_the_one_on_one(
  param_sharding, axes
):
  one, several = updated(), updated(param_sharding, **axes)
  for found, expected in zip(several[:2], one[:2], strict=True):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4),
      found,
      expected,
    )
  # And the base has the same fingerprint.
  assert one[2] == several[2]


def test_a_checksum_notices_one_bit_and_two_numbers_that_changed_places():
  x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
  swapped, flipped = x.copy(), x.copy()
  swapped[0, 0], swapped[2, 1] = x[2, 1], x[0, 0]
  flipped.view(np.uint32)[1, 1] ^= 1
  found = {int(lora.checksums(y)) for y in (x, swapped, flipped, x.T)}
  assert len(found) == 4
  assert lora.checksums(x).dtype == jnp.uint32
  narrow = jnp.asarray(x, jnp.bfloat16)
  assert lora.checksums(narrow) == lora.checksums(narrow + 0)


def test_the_memory_estimate_has_a_frozen_base_and_the_state_of_adapters():
  def estimate(**changes):
    recipe = builders.tiny_recipe(
      SHAPE, dtype=jnp.dtype('bfloat16'), tx=optax.adam(1e-3), **changes
    )
    state = recipes.blank(recipe)
    mesh = sharding.abstract_mesh(data=1, fsdp=1, tensor=1)
    layout = sharding.layout(mesh, state, recipes.frozen(recipe))
    fit = builders.fit(16, 1)
    return memory.estimate(recipe, layout, state, fit, micro_batches=3)

  base = decoder.param_count(SHAPE)
  own = sum(x.size for x in jax.tree.leaves(lively(ALL)[1]))
  found, full = estimate(adapters=ALL), estimate()
  assert found['parameters'] == 2 * base + 4 * own
  assert found['optimiser'] == 4 * (2 * own + 1)
  assert found['gradients'] == 2 * 4 * own
  scaled = sum(
    x.size for n, x in lively(ALL)[1]['layers'].items() if n.endswith('_b')
  )
  assert found['gathered weights'] == 4 * scaled
  assert full['parameters'] == 4 * base
  assert found['head'] < full['head']


def test_a_push_has_the_merged_matrices_by_hand():
  frozen, trained = lively(SOME)
  recipe = types.SimpleNamespace(adapters=SOME, dtype=jnp.float32)
  pushed = compiled._publish(frozen, trained, recipe=recipe)
  layers = {**frozen['layers'], **trained['layers']}
  for layer in range(SHAPE.layers):
    down, a, b = (
      np.asarray(layers[name][layer], np.float64)
      for name in ('down', 'down_lora_a', 'down_lora_b')
    )
    found = pushed['down'][layer]
    np.testing.assert_allclose(found, (down + 2.0 * a @ b).T, rtol=1e-5)
    np.testing.assert_array_equal(  # It has no adapter.
      pushed['up'][layer], np.asarray(layers['up'][layer]).T
    )
