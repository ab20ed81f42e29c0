"""The initial policy, and whether it fits the task's tokenizer."""

import builders
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax.models import decoder
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import initial
from tests.helpers import tiny

HF_CONFIG = dict(
  model_type='qwen2',
  vocab_size=32,
  num_hidden_layers=1,
  hidden_size=16,
  num_attention_heads=2,
  num_key_value_heads=1,
  intermediate_size=24,
  rope_theta=100.0,
  rms_norm_eps=1e-6,
)


@pytest.fixture
def c():
  return tiny.get_config()


@pytest.fixture
def model_folder(tmp_path):
  """A folder with a config.json and no parameters."""
  text = str(HF_CONFIG).replace("'", '"')
  (tmp_path / 'config.json').write_text(text)
  return tmp_path


def test_a_fresh_policy_has_the_settings_shape_and_the_tasks_vocabulary(c):
  shape = initial.shape_of(c, vocab=22)
  assert shape == decoder.ModelConfig(
    *(22, 1, 16, 2, 1, 8, 32, 100.0, 1e-6),
    **dict(tied=False, qkv_bias=True, qk_norm=False),
  )


def test_a_config_of_an_older_run_without_a_model_type_is_qwen2s(c):
  today = initial.shape_of(c, vocab=22)
  del c.model_kw['model_type']
  assert initial.shape_of(c, vocab=22) == today


def test_fresh_parameters_are_of_the_shape_and_float32(c):
  shape = initial.shape_of(c, vocab=22)
  params = initial.parameters(c, shape, builders.here(shape))
  sizes = jax.tree.map(jnp.shape, params)
  assert sizes == decoder.param_shapes(shape)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype('float32')}


def test_fresh_parameters_are_a_function_of_the_seed(c):
  shape = initial.shape_of(c, vocab=22)

  def embedding():
    return initial.parameters(c, shape, builders.here(shape))['embed']

  first = embedding()
  np.testing.assert_array_equal(embedding(), first)
  c.seed = 1
  assert not np.array_equal(embedding(), first)


def test_a_pretrained_policy_has_its_folders_shape(c, model_folder):
  c.policy, c.model_path = 'pretrained', str(model_folder)
  shape = initial.shape_of(c, vocab=22)
  assert (shape.vocab, shape.mlp, shape.head_dim) == (32, 24, 8)
  # More rows than ids are padding.
  assert initial.shape_of(c, vocab=32) == shape


def test_a_folder_without_parameters_has_a_shape_and_is_unfit_for_a_run(
  c, model_folder
):
  initial.check_fits(c, initial.shape_of(c, vocab=22))  # A fresh one.
  c.policy, c.model_path = 'pretrained', str(model_folder)
  with pytest.raises(hf_config.FolderError, match=r'has no \*\.safetensors'):
    initial.check_fits(c, initial.shape_of(c, vocab=22))


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(
  c, model_folder
):
  c.policy, c.model_path = 'pretrained', str(model_folder)
  with pytest.raises(initial.MismatchError, match=r'32 ids.* 33'):
    initial.shape_of(c, vocab=33)


def test_a_folder_without_a_model_is_refused_by_its_path(c, tmp_path):
  c.policy, c.model_path = 'pretrained', str(tmp_path / 'none')
  with pytest.raises(hf_config.FolderError, match=r'none/config\.json'):
    initial.shape_of(c, vocab=22)


def test_rows_that_the_tokenizer_has_no_token_for_are_padding(c, model_folder):
  c.policy, c.model_path = 'pretrained', str(model_folder)
  assert initial.shape_of(c, vocab=22).padding == 10
  assert initial.shape_of(c, vocab=32).padding == 0
