"""The device mesh, one table from logical axis to mesh axis, and collectives.

Rows are sharded over 'data' and 'fsdp', parameters over 'fsdp' and 'tensor'.
Collectives over 'data' and 'fsdp' are explicit; the compiler inserts those over
'tensor'.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from siri_jax.models import decoder
from siri_jax.settings import whole

SETTINGS = {'data': whole(1), 'fsdp': whole(1), 'tensor': whole(1)}

MESH_AXES = ('data', 'fsdp', 'tensor')
ROW_AXES = ('data', 'fsdp')
# Logical axis -> mesh axis that shards it.
RULES = {
  'vocab': 'tensor',
  'width': 'fsdp',
  'heads': 'tensor',
  'kv_heads': 'tensor',
  'mlp': 'tensor',
  'head': None,
  'layer': None,
  'rank': None,
}
# Name of a parameter -> the logical axis of each of its dimensions.
PARAMETERS = {
  'embed': ('vocab', 'width'),
  'head': ('width', 'vocab'),
  'norm': ('width',),
  'attn_norm': ('layer', 'width'),
  'mlp_norm': ('layer', 'width'),
  'q': ('layer', 'width', 'heads', 'head'),
  'q_bias': ('layer', 'heads', 'head'),
  'q_norm': ('layer', 'head'),
  'k': ('layer', 'width', 'kv_heads', 'head'),
  'k_bias': ('layer', 'kv_heads', 'head'),
  'k_norm': ('layer', 'head'),
  'v': ('layer', 'width', 'kv_heads', 'head'),
  'v_bias': ('layer', 'kv_heads', 'head'),
  'o': ('layer', 'heads', 'head', 'width'),
  'gate': ('layer', 'width', 'mlp'),
  'up': ('layer', 'width', 'mlp'),
  'down': ('layer', 'mlp', 'width'),
}


def _of_adapters():
  """PARAMETERS of adapters: A has its matrix's input axes, B its outputs."""
  found = {}
  for name, inputs in decoder.MATRICES.items():
    layer, *axes = PARAMETERS[name]
    a, b = (name + end for end in decoder.ADAPTER)
    found[a] = (layer, *axes[:inputs], 'rank')
    found[b] = (layer, 'rank', *axes[inputs:])
  return found


PARAMETERS |= _of_adapters()


class Layout(NamedTuple):
  """The shardings of an update's arrays.

  Attributes:
    mesh: jax.sharding.Mesh with MESH_AXES.
    state: NamedSharding of each array of a types.TrainState.
    frozen: NamedSharding of each frozen array of the policy; see lora.py.
    rows: NamedSharding of packed rows [U, M, R]: M over data and fsdp.
    whole: NamedSharding of replicated arrays.
  """

  mesh: Any
  state: Any
  frozen: Any
  rows: NamedSharding
  whole: NamedSharding


def make_mesh(devices, *, data, fsdp, tensor):
  """A mesh over the first data * fsdp * tensor of the devices.

  Raises:
    ValueError: there are fewer devices; or, with several processes, more.
  """
  count = data * fsdp * tensor
  if count > len(devices):
    raise ValueError(
      f'mesh_kw asks for {data} * {fsdp} * {tensor} = {count} devices; there '
      f'are {len(devices)} ({devices[0].platform}); change mesh_kw'
    )
  processes = len({device.process_index for device in devices})
  if processes > 1 and count < len(devices):
    raise ValueError(
      f'mesh_kw asks for {data} * {fsdp} * {tensor} = {count} devices; the '
      f'{processes} processes have {len(devices)} and must use all of them'
    )
  return jax.make_mesh(
    (data, fsdp, tensor),
    MESH_AXES,
    axis_types=(jax.sharding.AxisType.Auto,) * 3,
    devices=devices[:count],
  )


def abstract_mesh(*, data, fsdp, tensor):
  """The same mesh without devices, for planning."""
  return jax.sharding.AbstractMesh((data, fsdp, tensor), MESH_AXES)


def layout(mesh, state, frozen=None):
  """The Layout of a state's arrays, by the parameters' names.

  An optimiser's moments are sharded like their parameters; scalars are
  replicated.

  Args:
    mesh: from `make_mesh`, or abstract.
    state: pytree of arrays or shapes whose paths end in parameters' names.
    frozen: such a tree of the policy's frozen arrays; None: there are none.
  Raises:
    ValueError: no rule matches an array, or the mesh does not divide an axis;
      names each.
  Returns:
    Layout.
  """
  wrong = []

  def place(path, x):
    if x.ndim == 0:
      return NamedSharding(mesh, PartitionSpec())
    name = getattr(path[-1], 'key', None)
    if name not in PARAMETERS or len(PARAMETERS[name]) != x.ndim:
      wrong.append(f'{jax.tree_util.keystr(path)} {x.shape} matches no rule')
      return None
    axes = [RULES[axis] for axis in PARAMETERS[name]]
    for axis, size in zip(axes, x.shape, strict=True):
      if axis and size % mesh.shape[axis]:
        wrong.append(
          f'{jax.tree_util.keystr(path)} {x.shape}: {size} does not divide '
          f'over {axis}={mesh.shape[axis]}'
        )
    return NamedSharding(mesh, PartitionSpec(*axes))

  placed = [jax.tree.map_with_path(place, t) for t in (state, frozen or {})]
  if wrong:
    raise ValueError('sharding: ' + '; '.join(wrong))
  rows = PartitionSpec(None, ROW_AXES, None)
  return Layout(
    mesh,
    *placed,
    NamedSharding(mesh, rows),
    NamedSharding(mesh, PartitionSpec()),
  )


def on_one_device(device, state):
  """The Layout of any state on one device."""
  mesh = make_mesh([device], data=1, fsdp=1, tensor=1)
  whole = NamedSharding(mesh, PartitionSpec())
  placed = jax.tree.map(lambda _: whole, state)
  return Layout(mesh, placed, {}, whole, whole)


def spread(mesh, size):
  """Shards the first axis that all devices divide over them, if there is one.

  Args:
    mesh: jax.sharding.Mesh.
    size: the array's shape.
  """
  axis = next((i for i, n in enumerate(size) if n % mesh.size == 0), None)
  spec = () if axis is None else (*[None] * axis, MESH_AXES)
  return NamedSharding(mesh, PartitionSpec(*spec))


def put(tree, shardings, dtype=None):
  """Shards arrays of which every process has a whole copy.

  Args:
    tree: pytree of arrays of the host or of one device.
    shardings: the same tree of jax.sharding.Sharding, or a prefix of it.
    dtype: dtype of the result; None: each array's own.
  """

  def place(x, where):
    x = np.asarray(x, dtype)
    return jax.make_array_from_callback(x.shape, where, lambda part: x[part])

  return jax.tree.map(place, tree, jax.tree.broadcast(shardings, tree))


def each_device(function, mesh, inputs, outputs):
  """Maps a function over devices, each with its rows and parameter shards.

  In the function, 'data' and 'fsdp' are axes for collectives. Along 'tensor' it
  sees whole arrays.

  Args:
    function: a function with one argument for each input.
    mesh: jax.sharding.Mesh.
    inputs: tree of NamedSharding for each argument.
    outputs: tree of NamedSharding for the result.
  """

  def by_hand(sharding):
    axes = (a if a in (*ROW_AXES, ROW_AXES) else None for a in sharding.spec)
    return PartitionSpec(*axes)

  return jax.shard_map(
    function,
    mesh=mesh,
    in_specs=jax.tree.map(by_hand, inputs),
    out_specs=jax.tree.map(by_hand, outputs),
    axis_names=set(ROW_AXES),
    # All sums over devices are explicit; JAX must not check or add any.
    check_vma=False,
  )


def parts(axis):
  """Number of devices along a mesh axis, within `each_device`."""
  return jax.sharding.get_abstract_mesh().shape[axis]


def each_head(attend):
  """Attention with heads sharded over 'tensor', within `each_device`."""
  heads = PartitionSpec(None, None, 'tensor', None)
  return jax.shard_map(
    attend,
    in_specs=(heads, heads, heads, PartitionSpec()),
    out_specs=heads,
    axis_names={'tensor'},
    check_vma=False,
  )


def gather(part, dtype):
  """All-gathers parameters along 'fsdp', within `each_device`.

  The backward pass reduce-scatters the gradients over 'fsdp', in float32.

  Args:
    part: tree of this device's float32 shards, stacked or of one layer.
    dtype: dtype to compute in.
  Returns:
    The same tree, whole along 'fsdp'.
  """
  return jax.tree.map_with_path(
    lambda path, x: _gather(x, _axes(path, x), jnp.dtype(dtype)), part
  )


def scatter(grads):
  """Reduce-scatters gradients over 'fsdp', in float32."""
  return jax.tree.map_with_path(
    lambda path, x: _scatter(x, _axes(path, x)), grads
  )


def add_up(grads):
  """Sums gradients over 'data'."""
  total = functools.partial(jax.lax.psum, axis_name='data')
  return jax.tree.map_with_path(
    lambda path, x: _over('data', total, _axes(path, x))(x), grads
  )


def _axes(path, x):
  """The mesh axis of each axis of a parameter, stacked or of one layer."""
  return tuple(RULES[axis] for axis in PARAMETERS[path[-1].key])[-x.ndim :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(x, axes, dtype):
  x = x.astype(dtype)
  if 'fsdp' not in axes:
    return x
  whole = functools.partial(
    jax.lax.all_gather, axis_name='fsdp', axis=axes.index('fsdp'), tiled=True
  )
  return _over('fsdp', whole, axes)(x)


def _scatter(x, axes):
  share = functools.partial(jax.lax.psum, axis_name='fsdp')
  if 'fsdp' in axes:
    share = functools.partial(
      jax.lax.psum_scatter,
      axis_name='fsdp',
      scatter_dimension=axes.index('fsdp'),
      tiled=True,
    )
  return _over('fsdp', share, axes)(x.astype(jnp.float32))


_gather.defvjp(
  lambda x, axes, dtype: (_gather(x, axes, dtype), None),
  lambda axes, dtype, _, slope: (_scatter(slope, axes),),
)


def _over(axis, collective, axes):
  """A collective over one axis, of one parameter sharded over 'tensor'.

  The collective is given the shards. Otherwise the compiler would gather the
  parameter along 'tensor' before it, and shard it again afterwards.
  """
  if parts(axis) == 1:  # XLA would copy the parameter.
    return lambda x: x
  cut = PartitionSpec(*(a if a == 'tensor' else None for a in axes))
  return jax.shard_map(
    collective,
    in_specs=cut,
    out_specs=cut,
    axis_names={'tensor'},
    check_vma=False,
  )
