"""Shardings on eight fake devices, and equal results on all meshes."""

import functools
import re
import types

import builders
import jax
import jax.extend as jex
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from siri_jax import compiled
from siri_jax.algorithm import packing
from siri_jax.models import decoder, sharding


def mesh_of(data=1, fsdp=1, tensor=1):
  return sharding.make_mesh(jax.devices(), data=data, fsdp=fsdp, tensor=tensor)


def abstract(**shape):
  """The shapes of a policy's parameters."""
  return jax.tree.map(
    lambda size: jax.ShapeDtypeStruct(size, jnp.float32),
    decoder.param_shapes(builders.tiny_shape(**{'vocab': 20, **shape})),
    is_leaf=lambda x: isinstance(x, tuple),
  )


def test_a_mesh_takes_the_first_devices():
  mesh = mesh_of(data=2, tensor=2)
  assert dict(mesh.shape) == {'data': 2, 'fsdp': 1, 'tensor': 2}
  assert mesh.devices.ravel().tolist() == jax.devices()[:4]


def test_more_devices_than_there_are_is_refused_with_both_numbers():
  with pytest.raises(ValueError, match=r'2 \* 4 \* 2 = 16 devices.* 8 \(cpu\)'):
    mesh_of(data=2, fsdp=4, tensor=2)


def test_several_processes_must_use_all_devices():
  devices = [types.SimpleNamespace(process_index=i // 4) for i in range(8)]
  with pytest.raises(
    ValueError, match='the 2 processes have 8 and must use all'
  ):
    sharding.make_mesh(devices, data=1, fsdp=4, tensor=1)


def test_the_table_places_every_array_of_a_policy():
  placed = sharding.layout(mesh_of(2, 2, 2), abstract()).state
  assert placed['embed'].spec == P('tensor', 'fsdp')
  assert placed['head'].spec == P('fsdp', 'tensor')
  assert placed['norm'].spec == P('fsdp')
  assert placed['layers']['q'].spec == P(None, 'fsdp', 'tensor', None)
  assert placed['layers']['k_bias'].spec == P(None, 'tensor', None)
  assert placed['layers']['o'].spec == P(None, 'tensor', None, 'fsdp')
  assert placed['layers']['down'].spec == P(None, 'tensor', 'fsdp')


def test_moments_are_sharded_like_parameters_and_scalars_replicated():
  recipe = builders.tiny_recipe(builders.tiny_shape())
  state = jax.eval_shape(
    lambda p: compiled.new_state(p, recipe.tx), {'layers': abstract()['layers']}
  )
  placed = sharding.layout(mesh_of(2, 2, 2), state).state
  assert placed.step.spec == P()
  nested = {'mu': (abstract(), {'nu': abstract()}), 'count': state.step}
  placed = sharding.layout(mesh_of(2, 2, 2), nested).state
  assert placed['count'].spec == P()
  assert placed['mu'][0] == placed['mu'][1]['nu']


def test_rows_are_sharded_over_data_and_fsdp():
  layout = sharding.layout(mesh_of(2, 2, 2), abstract())
  rows = jax.device_put(np.zeros((3, 8, 16)), layout.rows)
  assert {s.data.shape for s in rows.addressable_shards} == {(3, 2, 16)}
  whole = jax.device_put(np.zeros(5), layout.whole)
  assert {s.data.shape for s in whole.addressable_shards} == {(5,)}


def test_every_array_without_a_rule_is_named():
  tree = abstract()
  tree['layers']['gate_bias'] = jax.ShapeDtypeStruct((2, 24), jnp.float32)
  tree['embed'] = jax.ShapeDtypeStruct((2, 20, 16), jnp.float32)
  with pytest.raises(ValueError, match='matches no rule') as refusal:
    sharding.layout(mesh_of(), tree)
  assert "['layers']['gate_bias'] (2, 24) matches no rule" in str(refusal.value)
  assert "['embed'] (2, 20, 16) matches no rule" in str(refusal.value)


def test_every_axis_that_the_mesh_does_not_divide_is_named():
  with pytest.raises(ValueError, match='does not divide') as refusal:
    sharding.layout(mesh_of(tensor=2), abstract(vocab=19, kv_heads=1))
  message = str(refusal.value)
  assert "['embed'] (19, 16): 19 does not divide over tensor=2" in message
  assert "['layers']['k'] (2, 16, 1, 4): 1 does not divide" in message
  assert "['q']" not in message


@functools.cache
def updated(param_sharding='zero3', **axes):
  """One optimiser step of a few samples on a mesh, back on the host."""
  # With the arrays of every model type.
  shape = builders.tiny_shape(vocab=20, qk_norm=True)
  recipe = builders.tiny_recipe(
    shape, param_sharding=param_sharding, remat='full'
  )
  state = compiled.new_state(builders.lively(shape), recipe.tx)
  layout = sharding.layout(mesh_of(**axes), state)
  samples = builders.random_samples([5, 2, 9, 4, 7, 3, 8, 1], vocab=20)
  rows, count = packing.pack(
    samples,
    weights=np.ones(8, np.float32),
    advantages=np.linspace(-1, 2, 8, dtype=np.float32),
    fit=builders.fit(16, 4),
  )
  state, metrics = compiled.compile_update(recipe, layout)(
    {},
    sharding.put(state, layout.state),
    sharding.put(rows, layout.rows),
    np.int32(count),
    np.float32(39),
    np.bool_(True),
    np.bool_(True),
  )
  for array, placed in zip(
    jax.tree.leaves(state), jax.tree.leaves(layout.state), strict=True
  ):
    assert array.sharding.is_equivalent_to(placed, array.ndim)
  return jax.device_get((state.params, metrics))


@pytest.mark.slow
@pytest.mark.parametrize(
  ('param_sharding', 'axes'),
  [
    ('zero3', dict(data=2, fsdp=2, tensor=2)),
    ('zero1', dict(data=2, fsdp=2, tensor=2)),
    ('zero3', dict(fsdp=4)),
  ],
)
def test_an_update_on_several_devices_equals_the_one_on_one(
  param_sharding, axes
):
  one, several = updated(), updated(param_sharding, **axes)
  assert one[1]['grad_norm'] > 0.1
  # Parameters that differ by 1e-7 give such a difference.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4),
    one,
    several,
  )


def traced(shape, param_sharding, remat='full', **axes):
  """The update of rows for eight devices, traced from shapes."""
  recipe = builders.tiny_recipe(
    shape, param_sharding=param_sharding, remat=remat
  )
  state = jax.eval_shape(
    lambda: compiled.new_state(builders.lively(shape), recipe.tx)
  )
  layout = sharding.layout(mesh_of(**axes), state)
  rows, _ = packing.pack([], [], [], builders.fit(16, 8), capacity=8)
  kinds = ('int32', 'float32', 'bool', 'bool')
  scalars = (jax.ShapeDtypeStruct((), kind) for kind in kinds)
  update = compiled.compile_update(recipe, layout)
  return update.trace({}, state, rows, *scalars)


def collectives(param_sharding):
  """The collectives in a micro-batch, and once an update."""
  shape = builders.tiny_shape(vocab=20, layers=5)
  program = traced(shape, param_sharding, data=2, fsdp=4)
  found = {'in': set(), 'out': set()}

  def walk(jaxpr, place):
    for equation in jaxpr.eqns:
      name = equation.primitive.name
      if name in ('all_gather', 'reduce_scatter', 'psum', 'all_to_all'):
        found[place].add((name, *equation.params.get('axes', ('fsdp',))))
      inside = 'in' if name == 'while' else place
      for inner in jex.core.jaxprs_in_params(equation.params):
        walk(getattr(inner, 'jaxpr', inner), inside)

  walk(program.jaxpr.jaxpr, 'out')
  return found


def test_zero1_has_no_collectives_between_micro_batches():
  assert collectives('zero1')['in'] == set()
  assert ('reduce_scatter', 'fsdp') in collectives('zero1')['out']


def test_zero3_has_no_collectives_between_copies_of_the_model():
  found = collectives('zero3')
  assert ('all_gather', 'fsdp') in found['in']
  assert not any('data' in axes for _, *axes in found['in'])
  assert ('psum', 'data') in found['out']


@pytest.mark.slow
@pytest.mark.parametrize('param_sharding', ['zero3', 'zero1'])
def test_no_weight_sharded_over_tensor_is_gathered_whole(param_sharding):
  # Only the MLP's width and the vocabulary have sizes 44 and 68.
  shape = builders.tiny_shape(vocab=68, mlp=44)
  program = traced(shape, param_sharding, data=2, fsdp=2, tensor=2)
  text = program.lower().compile().as_text()
  crossing = re.findall(
    r'= \S*\[([\d,]*)\]\S* (?:all-gather|all-reduce|all-to-all)\(', text
  )
  sizes = {int(n) for dims in crossing for n in dims.split(',') if n}
  assert {22, 34} <= sizes
  assert not {44, 68} & sizes


@pytest.mark.parametrize('remat', decoder.REMAT)
def test_no_gathered_weight_is_kept_for_the_backward_pass(remat):
  shape = builders.tiny_shape(layers=5, mlp=44)
  program = traced(shape, 'zero3', remat, fsdp=2)
  kept = []

  def walk(jaxpr):
    for equation in jaxpr.eqns:
      if equation.primitive.name == 'scan':
        kept.extend(x.aval.shape for x in equation.outvars)
      for inner in jex.core.jaxprs_in_params(equation.params):
        walk(getattr(inner, 'jaxpr', inner))

  walk(program.jaxpr.jaxpr)
  tokens = 8 * 16 // 2
  assert (5, tokens, shape.dim) in kept
  assert ((5, tokens, shape.mlp) in kept) == (
    remat in ('gate', 'products', 'nothing')
  )
  # The shards of gradients have half of the width.
  assert (5, shape.dim // 2, shape.mlp) in kept
  assert (5, shape.dim, shape.mlp) not in kept
