"""The device mesh, and one table from logical axis to mesh axis."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

MESH_AXES = ('data', 'fsdp', 'tensor')
# Logical axis -> mesh axis that it is cut along.
RULES = {
  'vocab': 'tensor',
  'width': 'fsdp',
  'heads': 'tensor',
  'kv_heads': 'tensor',
  'mlp': 'tensor',
  'head': None,
  'layer': None,
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
  'k': ('layer', 'width', 'kv_heads', 'head'),
  'k_bias': ('layer', 'kv_heads', 'head'),
  'v': ('layer', 'width', 'kv_heads', 'head'),
  'v_bias': ('layer', 'kv_heads', 'head'),
  'o': ('layer', 'heads', 'head', 'width'),
  'gate': ('layer', 'width', 'mlp'),
  'up': ('layer', 'width', 'mlp'),
  'down': ('layer', 'mlp', 'width'),
}


class Layout(NamedTuple):
  """Where the arrays of an update lie.

  Attributes:
    state: NamedSharding of each array of a types.TrainState.
    rows: NamedSharding of packed rows [U, M, R]: M over data and fsdp.
    whole: NamedSharding of what every device has all of.
  """

  state: Any
  rows: NamedSharding
  whole: NamedSharding


def make_mesh(*, data, fsdp, tensor):
  """A mesh over the first data * fsdp * tensor devices.

  Raises:
    ValueError: there are fewer devices.
  """
  count = data * fsdp * tensor
  devices = jax.devices()
  if count > len(devices):
    raise ValueError(
      f'mesh_kw asks for {data} * {fsdp} * {tensor} = {count} devices; there '
      f'are {len(devices)} ({devices[0].platform})'
    )
  return jax.make_mesh(
    (data, fsdp, tensor),
    MESH_AXES,
    axis_types=(jax.sharding.AxisType.Auto,) * 3,
    devices=devices[:count],
  )


def layout(mesh, state):
  """The Layout of a state's arrays, by the parameters' names.

  An optimiser's moments lie as their parameters do; scalars everywhere.

  Args:
    mesh: from `make_mesh`.
    state: pytree of arrays or shapes whose paths end in parameters' names.
  Raises:
    ValueError: naming each array that no rule matches, and each axis that
      the mesh does not divide.
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

  placed = jax.tree_util.tree_map_with_path(place, state)
  if wrong:
    raise ValueError('sharding: ' + '; '.join(wrong))
  rows = PartitionSpec(None, ('data', 'fsdp'), None)
  return Layout(
    placed, NamedSharding(mesh, rows), NamedSharding(mesh, PartitionSpec())
  )


def put(tree, shardings):
  """Arrays that every process has whole, each part onto its own device."""

  def place(x, where):
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, where, lambda part: x[part])

  return jax.tree.map(place, tree, shardings)


def on_one_device(state):
  """The Layout of any state on the first device alone."""
  mesh = make_mesh(data=1, fsdp=1, tensor=1)
  whole = NamedSharding(mesh, PartitionSpec())
  return Layout(jax.tree.map(lambda _: whole, state), whole, whole)
