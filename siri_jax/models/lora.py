"""Low-rank adapters (LoRA): a frozen policy, and small matrices that learn.

A matrix W of a layer becomes W + (alpha / rank) A B. W is frozen, A and B are
trained. The parameters of a policy are thus two trees, `frozen` and `trained`,
which `joined` makes one. Without adapters, `frozen` is empty.
Source: arxiv.org/abs/2106.09685, section 4.1; names, scale and start as in
PEFT, huggingface.co/docs/peft, whose lora_A and lora_B are transposed.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from siri_jax.models import decoder
from siri_jax.settings import Rule, real, whole

# PEFT's name of a matrix -> ours, and its name of all of them.
TARGETS, ALL = {f'{name}_proj': name for name in decoder.MATRICES}, 'all-linear'
SETTINGS = {
  'rank': whole(0),
  'alpha': real(0),
  'targets': Rule(
    lambda v: (
      isinstance(v, (tuple, list)) and bool(v) and {*v} <= {ALL, *TARGETS}
    ),
    f'a tuple of one or more of {ALL}, {", ".join(TARGETS)}',
  ),
}
A, B = decoder.ADAPTER


class Adapters(NamedTuple):
  """The adapters of a policy; hashable.

  Attributes:
    rank: inner width of A B; 0: no adapters, all parameters are trained.
    alpha: A B is multiplied by alpha / rank.
    targets: the matrices that have one, names of decoder.MATRICES.
  """

  rank: int
  alpha: float
  targets: tuple[str, ...]


NONE = Adapters(0, 1.0, ())


def of(kw):
  """The Adapters of a config's lora_kw; NONE for a rank of 0."""
  if not kw.rank:
    return NONE
  chosen = {*kw.targets}
  names = [ours for name, ours in TARGETS.items() if {ALL, name} & chosen]
  return Adapters(kw.rank, kw.alpha, tuple(names))


def param_shapes(shape, adapters):
  """(frozen, trained): the trees of a policy with each array's shape.

  Args:
    shape: decoder.ModelConfig.
    adapters: Adapters.
  Returns:
    decoder.param_shapes, and {'layers': {'q_lora_a': (L, D, rank), ...}}. The
    trained A has the matrix's input axes, B its output axes. Without adapters
    {}, and decoder.param_shapes.
  """
  whole, layers = decoder.param_shapes(shape), {}
  if not adapters.rank:
    return {}, whole
  for name in adapters.targets:
    inputs = 1 + decoder.MATRICES[name]
    size = whole['layers'][name]
    layers[name + A] = (*size[:inputs], adapters.rank)
    layers[name + B] = (size[0], adapters.rank, *size[inputs:])
  return whole, {'layers': layers}


def param_count(shape, adapters):
  """The number of trained parameters."""
  _, trained = param_shapes(shape, adapters)
  sizes = jax.tree.leaves(trained, is_leaf=lambda x: isinstance(x, tuple))
  return sum(map(math.prod, sizes))


def init(key, shape, adapters):
  """Random adapters, float32: A uniform within 1 / sqrt(inputs), B zero.

  The policy is then the frozen one, bit for bit.
  Source: PEFT's Kaiming-uniform A with a = sqrt(5).
  """
  _, trained = param_shapes(shape, adapters)
  sizes = trained['layers']

  def draw(key, name):
    size = sizes[name]
    if name.endswith(B):
      return jnp.zeros(size, jnp.float32)
    bound = math.prod(size[1:-1]) ** -0.5
    return jax.random.uniform(key, size, jnp.float32, -bound, bound)

  keys = jax.random.split(key, len(sizes))
  drawn = {n: draw(k, n) for k, n in zip(keys, sorted(sizes), strict=True)}
  return {'layers': drawn}


def joined(frozen, trained, adapters):
  """One tree for decoder.forward; B is multiplied by alpha / rank.

  Args:
    frozen: the frozen arrays, {} without adapters.
    trained: the trained arrays, of the shapes of `param_shapes`.
    adapters: Adapters.
  """
  scaled = {
    name: x * (adapters.alpha / adapters.rank) if name.endswith(B) else x
    for name, x in trained['layers'].items()
  }
  layers = {**frozen.get('layers', {}), **scaled}
  return {**frozen, **trained, 'layers': layers}


def merged(frozen, trained, adapters):
  """The policy without adapters: W + (alpha / rank) A B.

  Args:
    frozen, trained, adapters: see `joined`.
  Returns:
    The tree of decoder.param_shapes; sums with an adapter are float32.
  """
  tree = joined(frozen, trained, adapters)
  split = decoder.unstacked(tree)['layers']
  layers = {
    name: jnp.stack([weight(layer, name) for layer in split])
    if name + A in tree['layers']
    else array
    for name, array in tree['layers'].items()
    if not name.endswith((A, B))
  }
  return {**tree, 'layers': layers}


def weight(layer, name):
  """An array of one layer of `joined`, with its adapter if it has one."""
  if name + A not in layer:
    return layer[name]
  product = functools.partial(
    jnp.tensordot, axes=1, precision=jax.lax.Precision.HIGHEST
  )
  return layer[name].astype(jnp.float32) + product(
    layer[name + A], layer[name + B]
  )


def checksums(tree):
  """A number for each array, equal on every mesh; for a fingerprint.

  Args:
    tree: pytree of arrays of 2 or 4 bytes a number.
  Returns:
    The same tree of uint32 []: the sum, modulo 2^32, of a hash of each number's
    bits and place.
  """
  return jax.tree.map(_checksum, tree)


def _checksum(x):
  wide = {2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize]
  bits = jax.lax.bitcast_convert_type(x, wide).astype(jnp.uint32)
  place = jnp.uint32(0)
  for axis, size in enumerate(x.shape):
    along = jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
    place = place * jnp.uint32(size) + along
  # The odd constants and the shift of MurmurHash3, which mix all bits.
  mixed = (bits ^ place * jnp.uint32(0xCC9E2D51)) * jnp.uint32(0x85EBCA6B)
  mixed = (mixed ^ mixed >> 13) * jnp.uint32(0xC2B2AE35)
  return jnp.sum(mixed ^ mixed >> 16, dtype=jnp.uint32)
