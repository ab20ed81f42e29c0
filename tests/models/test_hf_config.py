"""Reading of config.json, and refusal of other features."""

import dataclasses
import json

import builders
import pytest

from siri_jax.data import workload
from siri_jax.models import decoder, rope
from siri_jax.models.hf import config as hf_config

SHAPE = builders.tiny_shape()
LLAMA3 = {
  'rope_type': 'llama3',
  'factor': 8.0,
  'low_freq_factor': 1.0,
  'high_freq_factor': 4.0,
  'original_max_position_embeddings': 8192,
}


def written(folder, drop=(), **changes):
  """A folder with the config of SHAPE and changes."""
  config = {**hf_config.config_of(SHAPE), **changes}
  kept = {k: v for k, v in config.items() if k not in drop}
  (folder / 'config.json').write_text(json.dumps(kept))
  return folder


@pytest.mark.parametrize('kind', hf_config.FAMILIES)
@pytest.mark.parametrize('scaling', [None, rope.RopeScaling(8.0, 1.0, 4.0, 64)])
def test_a_shape_is_read_as_it_was_written(tmp_path, kind, scaling):
  fields = hf_config.FAMILIES[kind].fields
  shape = dataclasses.replace(SHAPE, rope_scaling=scaling, **fields)
  config = hf_config.config_of(shape)
  assert config['model_type'] == kind
  (tmp_path / 'config.json').write_text(json.dumps(config))
  assert hf_config.read_shape(tmp_path) == shape


def test_the_config_of_r1_distill_llama_8b_is_read(tmp_path):
  # huggingface.co/deepseek-ai/DeepSeek-R1-Distill-Llama-8B, config.json.
  config = {
    'architectures': ['LlamaForCausalLM'],
    'attention_bias': False,
    'attention_dropout': 0.0,
    'bos_token_id': 128000,
    'eos_token_id': 128001,
    'hidden_act': 'silu',
    'hidden_size': 4096,
    'initializer_range': 0.02,
    'intermediate_size': 14336,
    'max_position_embeddings': 131072,
    'mlp_bias': False,
    'model_type': 'llama',
    'num_attention_heads': 32,
    'num_hidden_layers': 32,
    'num_key_value_heads': 8,
    'pretraining_tp': 1,
    'rms_norm_eps': 1e-05,
    'rope_scaling': LLAMA3,
    'rope_theta': 500000.0,
    'tie_word_embeddings': False,
    'torch_dtype': 'bfloat16',
    'use_cache': True,
    'vocab_size': 128256,
  }
  (tmp_path / 'config.json').write_text(json.dumps(config))
  shape = hf_config.read_shape(tmp_path)
  assert shape.rope_scaling == rope.RopeScaling(8.0, 1.0, 4.0, 8192)
  assert (shape.head_dim, shape.qkv_bias, shape.qk_norm) == (128, False, False)
  assert decoder.param_count(shape) == 8_030_261_248
  known = workload.MODELS['deepseek-ai/DeepSeek-R1-Distill-Llama-8B']
  assert shape == known


def test_the_config_of_qwen3_1_7b_is_read(tmp_path):
  # huggingface.co/Qwen/Qwen3-1.7B, config.json.
  config = {
    'architectures': ['Qwen3ForCausalLM'],
    'attention_bias': False,
    'attention_dropout': 0.0,
    'bos_token_id': 151643,
    'eos_token_id': 151645,
    'head_dim': 128,
    'hidden_act': 'silu',
    'hidden_size': 2048,
    'initializer_range': 0.02,
    'intermediate_size': 6144,
    'max_position_embeddings': 40960,
    'max_window_layers': 28,
    'model_type': 'qwen3',
    'num_attention_heads': 16,
    'num_hidden_layers': 28,
    'num_key_value_heads': 8,
    'rms_norm_eps': 1e-06,
    'rope_scaling': None,
    'rope_theta': 1000000,
    'sliding_window': None,
    'tie_word_embeddings': True,
    'torch_dtype': 'bfloat16',
    'use_cache': True,
    'use_sliding_window': False,
    'vocab_size': 151936,
  }
  (tmp_path / 'config.json').write_text(json.dumps(config))
  shape = hf_config.read_shape(tmp_path)
  assert shape == workload.MODELS['Qwen/Qwen3-1.7B']
  assert decoder.param_count(shape) == 1_720_574_976


def test_a_qwen3_without_head_dim_has_that_of_transformers(tmp_path):
  fields = hf_config.FAMILIES['qwen3'].fields
  config = hf_config.config_of(dataclasses.replace(SHAPE, **fields))
  del config['head_dim']
  (tmp_path / 'config.json').write_text(json.dumps(config))
  assert hf_config.read_shape(tmp_path).head_dim == 128


@pytest.mark.parametrize(
  ('changes', 'named'),
  [
    ({'model_type': 'qwen3_moe'}, "model_type='qwen3_moe' is not one of qwen2"),
    ({'model_type': ['llama']}, "model_type=['llama']"),
    ({'model_type': 'llama'}, "['Qwen2ForCausalLM'] is not ['LlamaForCausalLM"),
    ({'attention_bias': True}, 'attention_bias=True'),
    ({'mlp_bias': True}, 'mlp_bias=True'),
    ({'architectures': ['Qwen2ForSequenceClassification']}, 'architectures='),
    ({'use_sliding_window': True}, 'use_sliding_window'),
    ({'hidden_act': 'gelu'}, "hidden_act='gelu'"),
    ({'attention_dropout': 0.1}, 'attention_dropout=0.1'),
    ({'auto_map': {}}, 'auto_map'),
    ({'quantization_config': {}}, 'quantization_config'),
    ({'use_mrope': True}, 'use_mrope'),
    ({'partial_rotary_factor': 0.5}, 'partial_rotary_factor=0.5'),
    (
      {'layer_types': ['full_attention', 'sliding_attention']},
      'layers of type sliding_attention',
    ),
    ({'rope_scaling': {'type': 'yarn', 'factor': 4.0}}, "'yarn'"),
    ({'rope_scaling': {'rope_type': 'default', 'type': 'su'}}, "'su'"),
    ({'rope_scaling': {'factor': 4.0}}, 'RoPE scaling by factor'),
    ({'rope_scaling': {**LLAMA3, 'type': 'yarn'}}, "'yarn' (only llama3 is)"),
    ({'rope_scaling': {**LLAMA3, 'beta': 1}}, 'RoPE scaling by beta'),
    ({'rope_scaling': {**LLAMA3, 'factor': 'x'}}, "scaling by factor='x'"),
    (
      {'rope_scaling': {'rope_type': 'llama3', 'factor': 8.0}},
      'low_freq_factor=None',
    ),
    (
      {'rope_scaling': {**LLAMA3, 'high_freq_factor': 1.0}},
      'high_freq_factor=1.0, which is not above low_freq_factor=1.0',
    ),
    (
      {'rope_scaling': LLAMA3, 'rope_parameters': {'rope_type': 'default'}},
      'rope_scaling and rope_parameters differ',
    ),
    ({'rope_parameters': {'rope_type': 'linear'}}, "'linear'"),
    (
      {
        'rope_parameters': {'rope_type': 'default', 'rope_theta': 10000.0},
        'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0},
      },
      "'yarn'",
    ),
    (
      {'rope_theta': 1.0, 'rope_parameters': {'rope_theta': 2.0}},
      '1.0 and 2.0',
    ),
    ({'vocab_size': None}, 'vocab_size is missing'),
    ({'num_attention_heads': 3}, 'not a multiple of num_key_value_heads'),
    ({'head_dim': 5}, 'head_dim=5 is odd'),
    ({'head_dim': None, 'hidden_size': 18}, 'hidden_size=18 is not a multiple'),
    ({'tie_word_embeddings': 'false'}, "tie_word_embeddings='false'"),
    ({'rms_norm_eps': 10**400}, 'rms_norm_eps=1000'),
    ({'rope_theta': float('inf')}, 'rope_theta=inf'),
    ({'vocab_size': 2**31}, 'vocab_size=2147483648'),
    ({'num_hidden_layers': 10**9}, 'num_hidden_layers=1000000000 is over'),
  ],
)
def test_a_feature_that_is_not_implemented_is_refused_by_name(
  tmp_path, changes, named
):
  folder = written(tmp_path, **changes)
  with pytest.raises(hf_config.FolderError) as refusal:
    hf_config.read_shape(folder)
  assert named in str(refusal.value)
  assert str(folder / 'config.json') in str(refusal.value)


def test_all_missing_features_are_named_at_once(tmp_path):
  written(tmp_path, model_type='gemma', hidden_act='gelu', auto_map={})
  with pytest.raises(hf_config.FolderError, match=r'gemma.*gelu.*auto_map'):
    hf_config.read_shape(tmp_path)


def test_a_config_that_is_no_json_is_refused(tmp_path):
  for text in ('', '{', '[' * 100_000, '{"n": 1' + '0' * 5000 + '}'):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(
      hf_config.FolderError, match=r'config\.json is not JSON'
    ):
      hf_config.read_shape(tmp_path)
