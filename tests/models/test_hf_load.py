"""Loading of transformers' folders, with transformers' logits."""

import json

import builders
import jax
import numpy as np
import pytest
import safetensors.numpy

from siri_jax.models import sharding
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import load

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

SIZES = dict(
  vocab_size=40,
  hidden_size=48,
  num_hidden_layers=2,
  num_attention_heads=4,
  num_key_value_heads=2,
  intermediate_size=56,
  rms_norm_eps=1e-5,
  # The key of transformers before version 5; `make` writes the new one.
  rope_parameters={'rope_type': 'default', 'rope_theta': 500.0},
)


def make(folder, *, shard=None, **changes):
  """Saves and returns a random model with random biases and norms."""
  torch.manual_seed(0)
  config = transformers.Qwen2Config(**{**SIZES, **changes})
  model = transformers.Qwen2ForCausalLM(config).eval()
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(torch.randn_like(parameter) * 0.1)
  model.save_pretrained(folder, **({'max_shard_size': shard} if shard else {}))
  return model


def parameters_of(folder):
  shape = hf_config.read_shape(folder)
  return load.read_parameters(folder, shape, builders.here(shape))


def assert_equal_to(model, folder):
  tokens = np.random.default_rng(0).integers(0, 40, (2, 9))
  with torch.no_grad():
    theirs = model(torch.tensor(tokens)).logits.numpy()
  assert np.abs(theirs).max() > 0.5
  ours = builders.logits(
    parameters_of(folder), hf_config.read_shape(folder), tokens
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('tied', [True, False])
def test_a_saved_model_loads_and_its_logits_are_equal(tmp_path, tied):
  model = make(tmp_path, tie_word_embeddings=tied)
  assert hf_config.read_shape(tmp_path).tied is tied
  assert_equal_to(model, tmp_path)


@pytest.mark.slow
def test_heads_may_be_wider_than_the_stream_divided_by_them(tmp_path):
  model = make(tmp_path, head_dim=20)
  assert hf_config.read_shape(tmp_path).head_dim == 20
  assert_equal_to(model, tmp_path)


@pytest.mark.slow
def test_a_model_in_several_files_loads(tmp_path):
  model = make(tmp_path, shard='20KB')
  assert len(list(tmp_path.glob('*.safetensors'))) > 2
  assert_equal_to(model, tmp_path)


def test_bfloat16_is_read_as_float32_of_the_same_values(tmp_path):
  model = make(tmp_path).to(torch.bfloat16)
  model.save_pretrained(tmp_path)
  params = parameters_of(tmp_path)
  assert params['embed'].dtype == np.float32
  theirs = model.model.embed_tokens.weight.detach().float().numpy()
  np.testing.assert_array_equal(params['embed'], theirs)


@pytest.fixture
def folder(tmp_path):
  make(tmp_path)
  return tmp_path


def rewrite(folder, drop=(), **changes):
  """Changes a folder's config.json; None is written as null."""
  path = folder / 'config.json'
  config = {**json.loads(path.read_text()), **changes}
  path.write_text(
    json.dumps({k: v for k, v in config.items() if k not in drop})
  )


def test_both_formats_of_a_config_give_the_same_shape(folder):
  shape = hf_config.read_shape(folder)
  assert shape.rope_theta == 500.0
  rewrite(folder, drop=['rope_parameters'], rope_theta=500.0)
  assert hf_config.read_shape(folder) == shape
  rewrite(folder, rope_scaling=None, head_dim=None)
  assert hf_config.read_shape(folder) == shape
  rewrite(folder, drop=['rope_theta'])
  with pytest.raises(hf_config.FolderError, match='rope_theta is missing'):
    hf_config.read_shape(folder)


def test_every_device_gets_its_shard_and_no_more_is_read(folder, monkeypatch):
  shape = hf_config.read_shape(folder)
  whole = parameters_of(folder)
  cuts, cut = [], load._cut
  monkeypatch.setattr(
    load, '_cut', lambda *a: cuts.append(cut(*a).size) or cut(*a)
  )
  mesh = sharding.make_mesh(jax.devices(), data=1, fsdp=4, tensor=2)
  shardings = sharding.layout(mesh, whole).state
  params = load.read_parameters(folder, shape, shardings)
  for ours, expected, where in zip(
    *map(jax.tree.leaves, (params, whole, shardings)), strict=True
  ):
    assert ours.sharding == where
    np.testing.assert_array_equal(ours, expected)
  # Matrices are read once; the norms once for each half of the tensor axis,
  # biases once for each quarter of the others.
  layers = shape.layers * shape.head_dim * (shape.heads + 2 * shape.kv_heads)
  sizes = sum(x.size for x in jax.tree.leaves(whole))
  norms = (2 * shape.layers + 1) * shape.dim
  assert sum(cuts) == sizes + norms + 3 * layers


def tensors_of(folder):
  path = folder / 'model.safetensors'
  return path, safetensors.numpy.load_file(path)


def test_missing_tensors_are_named(folder):
  path, tensors = tensors_of(folder)
  del tensors['model.norm.weight'], tensors['lm_head.weight']
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(hf_config.FolderError, match=r'lack 2 of 27') as refusal:
    parameters_of(folder)
  assert 'model.norm.weight, lm_head.weight' in str(refusal.value)


def test_a_folder_without_safetensors_names_the_conversion(folder):
  (folder / 'model.safetensors').unlink()
  (folder / 'pytorch_model.bin').write_text('old')
  with pytest.raises(
    hf_config.FolderError, match=r'no \*\.safetensors.*save_p'
  ):
    parameters_of(folder)


def test_tensors_of_another_shape_are_named_with_both_shapes(folder):
  path, tensors = tensors_of(folder)
  up, down = (f'model.layers.1.mlp.{n}_proj.weight' for n in ('up', 'down'))
  tensors[up], tensors[down] = tensors[down], tensors[up]  # As many numbers.
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(hf_config.FolderError) as refusal:
    parameters_of(folder)
  assert f'{up} is (48, 56), not (56, 48)' in str(refusal.value)
  assert f'{down} is (56, 48), not (48, 56)' in str(refusal.value)


def test_an_incomplete_download_is_named(folder):
  path = folder / 'model.safetensors'
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(
    hf_config.FolderError, match=r'model\.safetensors cannot be'
  ):
    parameters_of(folder)


def test_all_faults_of_the_tensors_are_named_at_once(folder):
  path, tensors = tensors_of(folder)
  del tensors['model.norm.weight']
  tensors['lm_head.weight'] = tensors['lm_head.weight'].astype(np.int8)
  embed = 'model.embed_tokens.weight'
  tensors[embed] = np.ascontiguousarray(tensors[embed].T)
  tensors['model.layers.2.mlp.up_proj.weight'] = np.ones(3)  # Of a third layer.
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(hf_config.FolderError) as refusal:
    parameters_of(folder)
  told = str(refusal.value).splitlines()
  assert [line.removeprefix(f'{folder}: ') for line in told] == [
    'its *.safetensors lack 1 of 27 tensors: model.norm.weight',
    '1 of its tensors are not in a model of this config.json: '
    'model.layers.2.mlp.up_proj.weight',
    f'{embed} is (48, 40), not (40, 48)',
    'lm_head.weight has dtype I8, not one of F32, F16, BF16',
  ]


@pytest.mark.parametrize('factor', [1, 2])
def test_a_tied_head_is_accepted_if_it_equals_the_embedding(tmp_path, factor):
  make(tmp_path, tie_word_embeddings=True)
  path, tensors = tensors_of(tmp_path)
  tensors['lm_head.weight'] = factor * tensors['model.embed_tokens.weight']
  safetensors.numpy.save_file(tensors, path)
  if factor == 1:
    assert 'head' not in parameters_of(tmp_path)
  else:
    with pytest.raises(hf_config.FolderError, match=r'not in .*: lm_head'):
      parameters_of(tmp_path)


def test_only_the_files_of_an_index_are_read_and_missing_ones_named(
  tmp_path,
):
  make(tmp_path, shard='20KB')
  whole = parameters_of(tmp_path)
  stray = {'model.norm.weight': np.zeros(48, np.float32)}
  safetensors.numpy.save_file(stray, tmp_path / 'adapter.safetensors')
  jax.tree.map(np.testing.assert_array_equal, parameters_of(tmp_path), whole)
  one, two, *_ = sorted(tmp_path.glob('model-*'))
  one.unlink()
  two.write_text('version https://git-lfs.github.com/spec/v1')
  with pytest.raises(hf_config.FolderError) as refusal:
    parameters_of(tmp_path)
  assert f'{one} cannot be read' in str(refusal.value)
  assert f'{two} cannot be read' in str(refusal.value)
  (tmp_path / load.WHOLE).touch()
  with pytest.raises(
    hf_config.FolderError, match=r'index\.json of other files'
  ):
    parameters_of(tmp_path)
  (tmp_path / load.INDEX).write_text('[]')
  with pytest.raises(hf_config.FolderError, match='is not an index of tensors'):
    parameters_of(tmp_path)


def test_a_tensor_in_two_files_is_refused(folder):
  _, tensors = tensors_of(folder)
  norm = {'model.norm.weight': 2 * tensors['model.norm.weight']}
  safetensors.numpy.save_file(norm, folder / 'trained.safetensors')
  with pytest.raises(hf_config.FolderError, match=r'trained.*both have.*norm'):
    parameters_of(folder)


@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf])
def test_every_tensor_with_a_number_that_is_not_finite_is_named(folder, number):
  path, tensors = tensors_of(folder)
  bias = 'model.layers.1.self_attn.k_proj.bias'
  tensors[bias][-1] = tensors['lm_head.weight'][7, 3] = number
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(hf_config.FolderError) as refusal:
    parameters_of(folder)
  told = f'{folder}: 2 of its tensors hold numbers that are not finite: '
  assert str(refusal.value).startswith(told)
  assert bias in str(refusal.value)
  assert 'lm_head.weight' in str(refusal.value)


def test_half_a_number_too_large_for_its_dtype_is_not_finite_either(tmp_path):
  make(tmp_path).to(torch.float16).save_pretrained(tmp_path)
  path, tensors = tensors_of(tmp_path)
  tensors['model.norm.weight'][0] = np.float16(np.inf)
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(hf_config.FolderError, match=r'finite: model\.norm'):
    parameters_of(tmp_path)


def test_a_spoilt_tied_head_is_named_for_what_it_is(tmp_path):
  make(tmp_path, tie_word_embeddings=True)
  path, tensors = tensors_of(tmp_path)
  embed = tensors['model.embed_tokens.weight']
  embed[2, 2] = np.nan
  safetensors.numpy.save_file({**tensors, 'lm_head.weight': embed}, path)
  with pytest.raises(hf_config.FolderError, match=r'finite: model\.embed'):
    parameters_of(tmp_path)
