"""Hugging Face's names and shapes for the policy's arrays.

Hugging Face stores a matrix as (out, in) and each layer in its own tensors. Our
arrays are (in, out), with an axis for heads and one for layers.
"""

import collections
import functools
import math
from typing import NamedTuple

import jax

from siri_jax.models import decoder

# Qwen2, Qwen3 and Llama have the same names. A ModelConfig has some of them.
LAYER = {
  'attn_norm': 'input_layernorm.weight',
  'q': 'self_attn.q_proj.weight',
  'q_bias': 'self_attn.q_proj.bias',
  'q_norm': 'self_attn.q_norm.weight',
  'k': 'self_attn.k_proj.weight',
  'k_bias': 'self_attn.k_proj.bias',
  'k_norm': 'self_attn.k_norm.weight',
  'v': 'self_attn.v_proj.weight',
  'v_bias': 'self_attn.v_proj.bias',
  'o': 'self_attn.o_proj.weight',
  'mlp_norm': 'post_attention_layernorm.weight',
  'gate': 'mlp.gate_proj.weight',
  'up': 'mlp.up_proj.weight',
  'down': 'mlp.down_proj.weight',
}
OUTSIDE = {
  'embed': 'model.embed_tokens.weight',
  'norm': 'model.norm.weight',
  'head': 'lm_head.weight',
}


class Source(NamedTuple):
  """The place of a Hugging Face tensor in our tree.

  Attributes:
    name: name of our array.
    layer: index of the layer, None outside the layers.
    size: shape of the tensor.
  """

  name: str
  layer: int | None
  size: tuple[int, ...]


@functools.cache
def sources(shape):
  """Hugging Face's tensors of a decoder.ModelConfig: name -> Source."""
  sizes = decoder.param_shapes(shape)
  found = {
    name: Source(ours, None, hf_shape(ours, sizes[ours]))
    for ours, name in OUTSIDE.items()
    if ours in sizes
  }
  for layer in range(shape.layers):
    for ours, name in _held(sizes['layers']):
      size = hf_shape(ours, sizes['layers'][ours][1:])
      found[of_layer(layer, name)] = Source(ours, layer, size)
  return found


def to_hf(ours, array):
  """Our array of one layer in Hugging Face's layout."""
  parts = axis_ranges(ours, array.ndim)
  axes = [axis for side in parts for axis in range(*side)]
  return array.transpose(axes).reshape(hf_shape(ours, array.shape))


def to_peft(layers):
  """Adapters as PEFT's tensors: name -> array [rank, inputs] or transposed.

  Args:
    layers: the adapters of lora.param_shapes, arrays by name.
  """
  found = {}
  for ours, array in layers.items():
    for end, theirs in zip(decoder.ADAPTER, ('lora_A', 'lora_B'), strict=True):
      if ours.endswith(end):
        module = LAYER[ours.removesuffix(end)].removesuffix('.weight')
        matrices = _matrices(array, rank_last=theirs == 'lora_A')
        for layer, matrix in enumerate(matrices):
          place = of_layer(layer, f'{module}.{theirs}.weight')
          found[f'base_model.model.{place}'] = matrix
  return found


def export(params, dtype):
  """The parameters in Hugging Face's layout: our name -> array.

  Each array of the layers holds all of them, on its first axis.

  Args:
    params: tree of decoder.param_shapes.
    dtype: dtype of the arrays.
  """
  found = {
    ours: to_hf(ours, params[ours]).astype(dtype)
    for ours in OUTSIDE
    if ours in params
  }
  for ours, _ in _held(params['layers']):
    layers = jax.vmap(functools.partial(to_hf, ours))(params['layers'][ours])
    found[ours] = layers.astype(dtype)
  return found


def exported_shapes(found):
  """The shape of each array of `export`, of all Sources of a model."""
  layers = collections.Counter(each.name for each in found)
  return {
    name: size if layer is None else (layers[name], *size)
    for name, layer, size in found
  }


def named(exported, shape):
  """The tensors of Hugging Face's names in the arrays of `export`."""
  return {
    name: exported[ours] if layer is None else exported[ours][layer]
    for name, (ours, layer, _) in sources(shape).items()
  }


def _matrices(array, *, rank_last):
  """An adapter's array as PEFT's matrices, one for each layer."""
  rank = array.shape[-1 if rank_last else 1]
  size = (len(array), -1, rank) if rank_last else (len(array), rank, -1)
  return array.reshape(size).swapaxes(1, 2)


def _held(layers):
  """The entries of LAYER whose arrays are in a tree's layers."""
  return [(ours, name) for ours, name in LAYER.items() if ours in layers]


def of_layer(layer, name):
  """Hugging Face's name of a layer's tensor."""
  return f'model.layers.{layer}.{name}'


def axis_ranges(ours, rank):
  """For each Hugging Face axis, the range [start, stop) of our axes in it."""
  if ours == 'embed':
    return (0, 1), (1, 2)
  if ours.endswith(('norm', 'bias')):
    return ((0, rank),)
  inputs = decoder.MATRICES.get(ours, 1)
  return (inputs, rank), (0, inputs)


def hf_shape(ours, size):
  """The shape of our array of one layer in Hugging Face's layout."""
  return tuple(math.prod(size[a:b]) for a, b in axis_ranges(ours, len(size)))
