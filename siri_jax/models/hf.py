"""Hugging Face folders in: config.json and safetensors to our parameter tree.

Hugging Face stores a matrix as (out, in) and each layer by itself; ours are
(in, out), heads apart, layers stacked.
"""

import json
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
  config = json.loads(path.read_text())
  _refuse(path, config)
  heads = config['num_attention_heads']
  rope = config.get('rope_parameters') or {}
  return qwen2.Shape(
    vocab=config['vocab_size'],
    layers=config['num_hidden_layers'],
    dim=config['hidden_size'],
    heads=heads,
    kv_heads=config['num_key_value_heads'],
    head_dim=config.get('head_dim') or config['hidden_size'] // heads,
    mlp=config['intermediate_size'],
    rope_theta=float(config.get('rope_theta') or rope['rope_theta']),
    norm_eps=config['rms_norm_eps'],
    tied=config.get('tie_word_embeddings', False),
  )


def read_parameters(folder, shape):
  """The folder's tensors as the tree of qwen2.array_shapes, float32 numpy.

  Args:
    folder: path of a Hugging Face model folder.
    shape: its qwen2.Shape.
  Raises:
    FolderError: naming every tensor that is missing or of another size.
  """
  folder = pathlib.Path(folder)
  where = {}
  for file in sorted(folder.glob('*.safetensors')):
    with safetensors.safe_open(file, 'numpy') as tensors:
      where |= dict.fromkeys(tensors.keys(), file)
  wanted = names(shape)
  if missing := [n for n in wanted if n not in where]:
    raise FolderError(
      f'{folder}: its *.safetensors lack {len(missing)} of {len(wanted)} '
      f'tensors: {", ".join(missing[:5])}, ...'
    )
  out, wrong = {'layers': {}}, []

  def read(name, size):
    with safetensors.safe_open(where[name], 'numpy') as tensors:
      tensor = tensors.get_tensor(name).astype(np.float32)
    if tensor.size != int(np.prod(size)):
      wrong.append(f'{name} is {tensor.shape}, which is no {size}')
      return np.zeros(size, np.float32)
    return _ours(tensor, size)

  sizes = qwen2.array_shapes(shape)
  for ours, theirs in LAYER.items():
    size = sizes['layers'][ours]
    stack = [read(_layer(i, theirs), size[1:]) for i in range(shape.layers)]
    out['layers'][ours] = np.stack(stack)
  for ours, theirs in OUTSIDE.items():
    if ours in sizes:
      tensor = read(
        theirs, sizes[ours][::-1] if ours == 'head' else sizes[ours]
      )
      out[ours] = tensor.T if ours == 'head' else tensor
  if wrong:
    raise FolderError(f'{folder}: ' + '; '.join(wrong))
  return out


def names(shape):
  """Hugging Face's tensor names for a shape, in its order."""
  outside = [n for ours, n in OUTSIDE.items() if ours != 'head']
  inside = [_layer(i, n) for i in range(shape.layers) for n in LAYER.values()]
  return [*outside, *inside, *([] if shape.tied else [OUTSIDE['head']])]


def _layer(index, name):
  return f'model.layers.{index}.{name}'


def _ours(tensor, size):
  """(out, in) to (in, out) with heads apart; vectors and embedding as is."""
  if tensor.shape == size or tensor.ndim == 1:
    return tensor.reshape(size)
  return tensor.T.reshape(size)


def _refuse(path, config):
  """Raises for what the model functions do not do, naming each."""
  rope = config.get('rope_parameters') or config.get('rope_scaling') or {}
  kind = rope.get('rope_type', rope.get('type', 'default'))
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
  }
  if wrong := [message for message, holds in checks.items() if holds]:
    raise FolderError(f'{path} is not implemented: ' + '; '.join(wrong))
