"""Hugging Face folders in: config.json and safetensors to our parameter tree.

Hugging Face stores a matrix as (out, in) and each layer by itself; ours are
(in, out), heads apart, layers stacked.
"""

import contextlib
import json
import math
import pathlib

import ml_dtypes  # noqa: F401  Lets numpy read bfloat16.
import numpy as np
import safetensors

from siri_jax.models import qwen2

LAYER = {
  'attn_norm': 'input_layernorm.weight',
  'q': 'self_attn.q_proj.weight',
  'q_bias': 'self_attn.q_proj.bias',
  'k': 'self_attn.k_proj.weight',
  'k_bias': 'self_attn.k_proj.bias',
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

NEEDED = (
  'vocab_size',
  'num_hidden_layers',
  'hidden_size',
  'num_attention_heads',
  'num_key_value_heads',
  'intermediate_size',
  'rope_theta',
  'rms_norm_eps',
)


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
  except ValueError as error:
    raise FolderError(f'{path} is not JSON: {error}') from error
  rope = config.get('rope_parameters') or config.get('rope_scaling') or {}
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


def read_parameters(folder, shape):
  """The folder's tensors as the tree of qwen2.array_shapes, float32 numpy.

  Args:
    folder: path of a Hugging Face model folder.
    shape: its qwen2.Shape.
  Raises:
    FolderError: naming every tensor that is missing or of another shape, or
      a file that cannot be read.
  """
  folder = pathlib.Path(folder)
  where = {}
  for file in sorted(folder.glob('*.safetensors')):
    with _open(file) as tensors:
      where |= dict.fromkeys(tensors.keys(), file)
  wanted = names(shape)
  if missing := [n for n in wanted if n not in where]:
    raise FolderError(
      f'{folder}: its *.safetensors lack {len(missing)} of {len(wanted)} '
      f'tensors: {", ".join(missing[:5])}'
    )
  wrong = []

  def read(ours, name, size):
    with _open(where[name]) as tensors:
      tensor = tensors.get_tensor(name).astype(np.float32)
    if tensor.shape != _theirs(ours, size):
      wrong.append(f'{name} is {tensor.shape}, not {_theirs(ours, size)}')
      return np.zeros(size, np.float32)
    return tensor if ours == 'embed' else tensor.T.reshape(size)

  sizes = qwen2.array_shapes(shape)
  layers = {
    ours: np.stack(
      [
        read(ours, _layer(i, name), sizes['layers'][ours][1:])
        for i in range(shape.layers)
      ]
    )
    for ours, name in LAYER.items()
  }
  outside = {
    ours: read(ours, name, sizes[ours])
    for ours, name in OUTSIDE.items()
    if ours in sizes
  }
  if wrong:
    raise FolderError(f'{folder}: ' + '; '.join(wrong))
  return {**outside, 'layers': layers}


def names(shape):
  """Hugging Face's tensor names for a shape, in its order."""
  outside = [n for ours, n in OUTSIDE.items() if ours != 'head']
  inside = [_layer(i, n) for i in range(shape.layers) for n in LAYER.values()]
  return [*outside, *inside, *([] if shape.tied else [OUTSIDE['head']])]


def _layer(index, name):
  return f'model.layers.{index}.{name}'


def _theirs(ours, size):
  """The shape in which Hugging Face stores an array of ours, of one layer."""
  whole = math.prod(size)
  if ours == 'embed':
    return size
  if ours.endswith(('norm', 'bias')):
    return (whole,)
  inputs = whole // size[-1] if ours == 'o' else size[0]
  return (whole // inputs, inputs)


@contextlib.contextmanager
def _open(file):
  """A safetensors file; says its name where it cannot be read."""
  try:
    with safetensors.safe_open(file, 'numpy') as tensors:
      yield tensors
  except safetensors.SafetensorError as error:
    raise FolderError(f'{file} cannot be read: {error}') from error


def _refuse(path, config):
  """Raises for what the model functions do not do, naming each."""
  kind = config.get('rope_type', config.get('type', 'default'))
  checks = {
    f'model_type={config.get("model_type")!r} is not qwen2': config.get(
      'model_type'
    )
    != 'qwen2',
    'use_sliding_window is on': config.get('use_sliding_window', False),
    f'RoPE scaling of type {kind!r}': kind != 'default',
    f'hidden_act={config.get("hidden_act")!r} is not silu': config.get(
      'hidden_act', 'silu'
    )
    != 'silu',
    'it has auto_map: code in a model folder is never run': 'auto_map'
    in config,
    **{f'{key} is missing': key not in config for key in NEEDED},
  }
  if wrong := [message for message, holds in checks.items() if holds]:
    raise FolderError(f'{path} is not implemented: ' + '; '.join(wrong))
