"""Reading of config.json, and refusal of other features."""

import json

import builders
import pytest

from siri_jax.models.hf import config as hf_config

SHAPE = builders.tiny_shape()


def written(folder, drop=(), **changes):
  """A folder with the config of SHAPE and changes."""
  config = {**hf_config.config_of(SHAPE), **changes}
  kept = {k: v for k, v in config.items() if k not in drop}
  (folder / 'config.json').write_text(json.dumps(kept))
  return folder


def test_a_shape_is_read_as_it_was_written(tmp_path):
  assert hf_config.read_shape(written(tmp_path)) == SHAPE


@pytest.mark.parametrize(
  ('changes', 'named'),
  [
    ({'model_type': 'qwen3'}, "model_type='qwen3'"),
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
  written(tmp_path, model_type='llama', hidden_act='gelu', auto_map={})
  with pytest.raises(hf_config.FolderError, match=r'llama.*gelu.*auto_map'):
    hf_config.read_shape(tmp_path)


def test_a_config_that_is_no_json_is_refused(tmp_path):
  for text in ('', '{', '[' * 100_000, '{"n": 1' + '0' * 5000 + '}'):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(
      hf_config.FolderError, match=r'config\.json is not JSON'
    ):
      hf_config.read_shape(tmp_path)
