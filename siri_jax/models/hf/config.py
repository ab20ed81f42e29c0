"""Reads a Hugging Face config.json, in the format of transformers 4 or 5.

Features that the model functions do not implement are refused, all at once.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from siri_jax.models import decoder, rope
from siri_jax.settings import LARGEST


class Family(NamedTuple):
  """One of Hugging Face's model types.

  Attributes:
    architecture: its class in transformers.
    fields: the fields of decoder.ModelConfig that it sets.
    defaults: keys of config.json that it need not have.
  """

  architecture: str
  fields: Mapping[str, bool]
  defaults: Mapping[str, Any]


# model_type -> Family. Their tensors have the same names, models/hf_names.py.
FAMILIES = {
  'qwen2': Family('Qwen2ForCausalLM', dict(qkv_bias=True, qk_norm=False), {}),
  'qwen3': Family(
    'Qwen3ForCausalLM',
    dict(qkv_bias=False, qk_norm=True),
    dict(head_dim=128),
  ),
  'llama': Family('LlamaForCausalLM', dict(qkv_bias=False, qk_norm=False), {}),
}

WHOLE = (
  'vocab_size',
  'num_hidden_layers',
  'hidden_size',
  'num_attention_heads',
  'num_key_value_heads',
  'intermediate_size',
)
REAL = ('rope_theta', 'rms_norm_eps')
LARGEST_REAL = 1e30  # Float32 holds it; a whole number may be too long for one.
DEEPEST = 10_000  # Layers: the names of each are listed.
# The keys of RoPE settings, before and since transformers 5.
ROPE = ('rope_scaling', 'rope_parameters')
PLAIN_ROPE = ('rope_type', 'type', 'rope_theta')
# Further keys of RoPE scaling of type llama3 -> the fields of rope.RopeScaling.
LLAMA3 = {
  'factor': 'factor',
  'low_freq_factor': 'low',
  'high_freq_factor': 'high',
  'original_max_position_embeddings': 'context',
}
# A limit for servers. The arrays have none.
POSITIONS = 32_768
# Setting -> the only value that is implemented, also the default.
ONLY = {
  'hidden_act': 'silu',
  'use_sliding_window': False,
  'use_mrope': False,
  'attention_dropout': 0,
  'partial_rotary_factor': 1,
  'attention_bias': False,
  'mlp_bias': False,
}


class FolderError(ValueError):
  """A model folder is incomplete or not implemented; lists all faults."""


def read_shape(folder):
  """The decoder.ModelConfig of a folder's config.json.

  Args:
    folder: path of a Hugging Face model folder.
  Raises:
    FolderError: the file is missing, or its model is not implemented.
  """
  path = pathlib.Path(folder) / 'config.json'
  if not path.is_file():
    raise FolderError(
      f'model_path: there is no {path}; name a Hugging Face model folder'
    )
  try:
    config = json.loads(path.read_text())
    config = {k: v for k, v in config.items() if v is not None}
    known = FAMILIES.get(str(config.get('model_type')))
    config = {**(known.defaults if known else {}), **config}
    ropes = [dict(config[key]) for key in ROPE if key in config]
  except (ValueError, RecursionError) as error:
    raise FolderError(f'{path} is not JSON: {error}') from error
  except (AttributeError, TypeError) as error:
    raise FolderError(f'{path} is not a JSON object of settings') from error
  thetas = [r['rope_theta'] for r in (config, *ropes) if r.get('rope_theta')]
  config = {**config, **({'rope_theta': thetas[0]} if thetas else {})}
  wrong = [
    *_numbers(config),
    *_heads(config),
    *_others(config),
    *_turns(ropes, thetas),
  ]
  if wrong:
    raise FolderError(f'{path} is not implemented: ' + '; '.join(wrong))
  return decoder.ModelConfig(
    vocab=config['vocab_size'],
    layers=config['num_hidden_layers'],
    dim=config['hidden_size'],
    heads=config['num_attention_heads'],
    kv_heads=config['num_key_value_heads'],
    head_dim=_head_dim(config),
    mlp=config['intermediate_size'],
    rope_theta=float(config['rope_theta']),
    norm_eps=config['rms_norm_eps'],
    tied=config.get('tie_word_embeddings', False),
    rope_scaling=_scaling(ropes),
    **known.fields,
  )


def model_type(shape):
  """The key of FAMILIES that has a decoder.ModelConfig's fields."""
  return next(
    name
    for name, family in FAMILIES.items()
    if all(getattr(shape, k) == v for k, v in family.fields.items())
  )


def config_of(shape):
  """The config.json of a decoder.ModelConfig, in the format of transformers 4.

  Returns:
    dict that `read_shape` reads as the same shape.
  """
  kind = model_type(shape)
  config = {
    'architectures': [FAMILIES[kind].architecture],
    'model_type': kind,
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
    'max_position_embeddings': POSITIONS,
    'torch_dtype': 'float32',
  }
  if not shape.rope_scaling:
    return config
  scaling = {key: getattr(shape.rope_scaling, k) for key, k in LLAMA3.items()}
  return {**config, 'rope_scaling': {'rope_type': 'llama3', **scaling}}


def _head_dim(config):
  """Width of a head: head_dim of config.json, or hidden_size / heads."""
  share = config['hidden_size'] // config['num_attention_heads']
  return config.get('head_dim', share)


def _numbers(config):
  """Numbers that are missing or invalid."""
  needed = (*WHOLE, *REAL)
  yield from (f'{key} is missing' for key in needed if key not in config)
  for key in (*WHOLE, 'head_dim'):
    if key in config and not _whole(config[key]):
      yield f'{key}={config[key]!r} is not a whole number above 0'
  if _whole(config.get('num_hidden_layers')) and (
    config['num_hidden_layers'] > DEEPEST
  ):
    yield f'num_hidden_layers={config["num_hidden_layers"]} is over {DEEPEST}'
  for key in REAL:
    if key in config and not _real(config[key]):
      yield f'{key}={config[key]!r} is not a number above 0'
  tied = config.get('tie_word_embeddings', False)
  if type(tied) is not bool:
    yield f'tie_word_embeddings={tied!r} is not true or false'


def _heads(config):
  """Numbers of heads and widths that do not fit each other."""
  names = ('hidden_size', 'num_attention_heads', 'num_key_value_heads')
  given = [config.get(key) for key in names]
  if not all(map(_whole, (*given, config.get('head_dim', 1)))):
    return
  dim, heads, kv_heads = given
  if heads % kv_heads:
    yield (
      f'num_attention_heads={heads} is not a multiple of '
      f'num_key_value_heads={kv_heads}'
    )
  if 'head_dim' not in config and dim % heads:
    yield f'hidden_size={dim} is not a multiple of num_attention_heads={heads}'
  elif _head_dim(config) % 2:
    yield f'head_dim={_head_dim(config)} is odd'


def _others(config):
  """Other features that are not implemented."""
  kind, own = config.get('model_type'), config.get('architectures')
  if not (isinstance(kind, str) and kind in FAMILIES):
    yield f'model_type={kind!r} is not one of {", ".join(FAMILIES)}'
  elif own not in (None, [FAMILIES[kind].architecture]):
    yield f'architectures={own!r} is not {[FAMILIES[kind].architecture]!r}'
  for key, only in ONLY.items():
    if config.get(key, only) != only:
      yield f'{key}={config[key]!r} (only {only!r} is)'
  layers = config.get('layer_types', [])
  layers = layers if isinstance(layers, list) else [layers]
  if other := sorted({str(x) for x in layers} - {'full_attention'}):
    yield f'layers of type {", ".join(other)} (only full_attention is)'
  if 'quantization_config' in config:
    yield 'quantization_config (use the model without quantisation)'
  if 'auto_map' in config:
    yield 'auto_map (code in a model folder is never run)'


def _turns(ropes, thetas):
  """RoPE settings other than one base, and at most one scaling of llama3."""
  if len(set(map(repr, thetas))) > 1:
    yield f'rope_theta is given as {" and ".join(map(repr, thetas))}'
  for given in ropes:
    kinds = [given[key] for key in ('rope_type', 'type') if key in given]
    named = {*PLAIN_ROPE, *(LLAMA3 if 'llama3' in kinds else ())}
    if other := [kind for kind in kinds if kind not in ('default', 'llama3')]:
      yield f'RoPE scaling of type {other[0]!r} (only llama3 is)'
    elif more := sorted({*given} - named):
      yield f'RoPE scaling by {", ".join(map(str, more))}'
    elif 'llama3' in kinds:
      yield from _unscalable(given)
  found = [[given.get(key) for key in LLAMA3] for given in ropes]
  if any(row != found[0] for row in found):
    yield f'{" and ".join(ROPE)} differ'


def _unscalable(given):
  """Numbers of a llama3 scaling that are missing or invalid."""
  for key in LLAMA3:
    holds = _whole if LLAMA3[key] == 'context' else _real
    if not holds(given.get(key)):
      yield f'RoPE scaling by {key}={given.get(key)!r}, not a number above 0'
      return
  if given['high_freq_factor'] <= given['low_freq_factor']:
    yield (
      f'RoPE scaling by high_freq_factor={given["high_freq_factor"]}, which '
      f'is not above low_freq_factor={given["low_freq_factor"]}'
    )


def _scaling(ropes):
  """The rope.RopeScaling of valid RoPE settings, or None."""
  for given in ropes:
    if 'llama3' in (given.get('rope_type'), given.get('type')):
      fields = {field: given[key] for key, field in LLAMA3.items()}
      return rope.RopeScaling(**fields)
  return None


def _whole(value):
  return type(value) is int and 0 < value <= LARGEST


def _real(value):
  return type(value) in (int, float) and 0 < value <= LARGEST_REAL
