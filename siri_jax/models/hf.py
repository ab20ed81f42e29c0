"""Hugging Face folders in: config.json and safetensors to our sharded tree.

Hugging Face stores a matrix as (out, in) and each layer by itself; ours are
(in, out), heads apart, layers stacked.
"""

import contextlib
import functools
import hashlib
import json
import math
import pathlib

import jax
import ml_dtypes  # noqa: F401  Lets numpy read bfloat16.
import numpy as np
import safetensors

from siri_jax.models import names, qwen2

WHOLE = (
  'vocab_size',
  'num_hidden_layers',
  'hidden_size',
  'num_attention_heads',
  'num_key_value_heads',
  'intermediate_size',
)
REAL = ('rope_theta', 'rms_norm_eps')


class FolderError(ValueError):
  """A model folder that is not whole or not implemented; all faults at once."""


def read_shape(folder):
  """The qwen2.Shape of a folder's config.json, in either of its spellings.

  Args:
    folder: path of a Hugging Face model folder.
  Raises:
    FolderError: there is none, or it asks for what is not implemented.
  """
  path = pathlib.Path(folder) / 'config.json'
  if not path.is_file():
    raise FolderError(f'model_path: there is no {path}')
  try:
    config = json.loads(path.read_text())
    rope = config.get('rope_parameters') or config.get('rope_scaling') or {}
    rope = dict(rope)
  except (ValueError, RecursionError) as error:
    raise FolderError(f'{path} is not JSON: {error}') from error
  except (AttributeError, TypeError) as error:
    raise FolderError(f'{path} is not one object of settings') from error
  config = {**rope, **{k: v for k, v in config.items() if v is not None}}
  _refuse(path, config)
  heads = config['num_attention_heads']
  return qwen2.Shape(
    vocab=config['vocab_size'],
    layers=config['num_hidden_layers'],
    dim=config['hidden_size'],
    heads=heads,
    kv_heads=config['num_key_value_heads'],
    head_dim=config.get('head_dim') or config['hidden_size'] // heads,
    mlp=config['intermediate_size'],
    rope_theta=float(config['rope_theta']),
    norm_eps=config['rms_norm_eps'],
    tied=config.get('tie_word_embeddings', False),
  )


def fingerprint(folder):
  """sha256 over a model folder's tensors and their description."""
  folder, digest = pathlib.Path(folder), hashlib.sha256()
  for path in sorted([*folder.glob('*.safetensors'), *folder.glob('*.json')]):
    with open(path, 'rb') as file:
      digest.update(path.name.encode())
      digest.update(hashlib.file_digest(file, 'sha256').digest())
  return digest.hexdigest()


def read_parameters(folder, shape, shardings):
  """The folder's tensors as the tree of qwen2.array_shapes, float32.

  Each process reads only what its own devices hold.

  Args:
    folder: path of a Hugging Face model folder.
    shape: its qwen2.Shape.
    shardings: the same tree of jax.sharding.Sharding.
  Raises:
    FolderError: naming every tensor that is missing or of another shape, or
      a file that cannot be read.
  """
  with opened(folder) as tensors:
    refuse_tensors(folder, shape, tensors)

    def place(path, size, sharding):
      read = functools.partial(_part, tensors, path[-1].key, size)
      return jax.make_array_from_callback(size, sharding, read)

    sizes = qwen2.array_shapes(shape)
    return jax.tree.map_with_path(
      place, sizes, shardings, is_leaf=lambda x: isinstance(x, tuple)
    )


@contextlib.contextmanager
def opened(folder):
  """The tensors of all files of a folder, unread: name -> safetensors slice.

  Raises:
    FolderError: naming a file that cannot be read.
  """
  found = {}
  with contextlib.ExitStack() as stack:
    for path in sorted(pathlib.Path(folder).glob('*.safetensors')):
      try:
        file = stack.enter_context(safetensors.safe_open(path, 'numpy'))
      except safetensors.SafetensorError as error:
        raise FolderError(f'{path} cannot be read: {error}') from error
      found |= {name: file.get_slice(name) for name in list(file.keys())}
    yield found


def config_of(shape):
  """The config.json of a qwen2.Shape, as version 4 of transformers spells it.

  Returns:
    dict that `read_shape` reads as the same shape.
  """
  return {
    'architectures': ['Qwen2ForCausalLM'],
    'model_type': 'qwen2',
    'vocab_size': shape.vocab,
    'num_hidden_layers': shape.layers,
    'hidden_size': shape.dim,
    'num_attention_heads': shape.heads,
    'num_key_value_heads': shape.kv_heads,
    'head_dim': shape.head_dim,
    'intermediate_size': shape.mlp,
    'hidden_act': 'silu',
    'rope_theta': shape.rope_theta,
    'rms_norm_eps': shape.norm_eps,
    'tie_word_embeddings': shape.tied,
    'torch_dtype': 'float32',
  }


def _part(tensors, ours, size, index):
  """The part of an array of ours at `index`, a slice for each axis."""
  chosen = [range(n)[i] for n, i in zip(size, index, strict=True)]
  if ours in names.OUTSIDE:
    return _cut(tensors[names.OUTSIDE[ours]], ours, size, chosen)
  part = np.empty([len(c) for c in chosen], np.float32)
  for place, layer in enumerate(chosen[0]):
    tensor = tensors[names.of_layer(layer, names.LAYER[ours])]
    part[place] = _cut(tensor, ours, size[1:], chosen[1:])
  return part


def _cut(tensor, ours, size, chosen):
  """Reads of one tensor what an array of ours holds at `chosen`, ranges."""
  sides = names.sides(ours, len(size))

  def stretch(first, last):
    # Heads are dealt out whole, so that a side of two axes is one stretch.
    within = math.prod(size[first + 1 : last])
    return slice(chosen[first][0] * within, (chosen[first][-1] + 1) * within)

  part = tensor[tuple(stretch(*side) for side in sides)].astype(np.float32)
  lengths = [len(c) for c in chosen]
  axes = [axis for side in sides for axis in range(*side)]
  return part.reshape([lengths[a] for a in axes]).transpose(np.argsort(axes))


def refuse_tensors(folder, shape, tensors):
  """Raises where tensors are missing or of another shape, naming them."""
  wanted = names.sources(shape)
  if missing := [name for name in wanted if name not in tensors]:
    raise FolderError(
      f'{folder}: its *.safetensors lack {len(missing)} of {len(wanted)} '
      f'tensors: {", ".join(missing[:5])}'
    )
  found = {name: tuple(tensors[name].get_shape()) for name in wanted}
  wrong = [
    f'{name} is {found[name]}, not {size}'
    for name, (_, _, size) in wanted.items()
    if found[name] != size
  ]
  if wrong:
    raise FolderError(f'{folder}: ' + '; '.join(wrong))


def _refuse(path, config):
  """Raises for what the model functions do not do, naming each."""
  kind = config.get('rope_type', config.get('type', 'default'))
  layers = config.get('layer_types', ())
  layers = layers if isinstance(layers, list | tuple) else [layers]
  other = {str(x) for x in layers} - {'full_attention'}
  checks = {
    f'model_type={config.get("model_type")!r} is not qwen2': config.get(
      'model_type'
    )
    != 'qwen2',
    'use_sliding_window is on': config.get('use_sliding_window', False),
    f'layers of type {", ".join(sorted(other))}': other,
    'use_mrope is on': config.get('use_mrope', False),
    f'RoPE scaling of type {kind!r}': kind != 'default',
    f'hidden_act={config.get("hidden_act")!r} is not silu': config.get(
      'hidden_act', 'silu'
    )
    != 'silu',
    'it has auto_map: code in a model folder is never run': 'auto_map'
    in config,
    **{f'{key} is missing': key not in config for key in (*WHOLE, *REAL)},
    **{
      f'{key}={config[key]!r} is no whole number above 0': type(config[key])
      is not int
      or config[key] < 1
      for key in (*WHOLE, 'head_dim')
      if key in config
    },
    **{
      f'{key}={config[key]!r} is no number above 0': not (
        type(config[key]) in (int, float) and 0 < config[key] < math.inf
      )
      for key in REAL
      if key in config
    },
  }
  if wrong := [message for message, holds in checks.items() if holds]:
    raise FolderError(f'{path} is not implemented: ' + '; '.join(wrong))
