"""The policy against transformers' Qwen2ForCausalLM on random models."""

import dataclasses
import functools

import builders
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from siri_jax import compiled
from siri_jax.algorithm import packing
from siri_jax.models import attention, decoder
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import load


def their_model(heads, kv_heads, tied, mlp=40):
  """A random model of transformers, with random biases and norms."""
  config = transformers.Qwen2Config(
    vocab_size=53,
    hidden_size=4 * heads,
    intermediate_size=mlp,
    num_hidden_layers=2,
    num_attention_heads=heads,
    num_key_value_heads=kv_heads,
    tie_word_embeddings=tied,
    rms_norm_eps=1e-6,
    rope_parameters={'rope_type': 'default', 'rope_theta': 10000.0},
  )
  torch.manual_seed(0)
  model = transformers.Qwen2ForCausalLM(config).eval()
  for parameter in model.parameters():
    parameter.data = 0.1 * torch.randn_like(parameter)
    if parameter.ndim == 1:
      parameter.data += 1
  return model


def their_logits(model, tokens, positions):
  with torch.no_grad():
    out = model(
      torch.tensor(tokens, dtype=torch.long),
      position_ids=torch.tensor(positions, dtype=torch.long),
    )
  return out.logits.numpy()


@functools.partial(jax.jit, static_argnames='shape')
def our_logits(params, shape, tokens, positions, segments):
  hidden = decoder.forward(
    params,
    shape,
    tokens,
    positions,
    segments,
    fetch=lambda layer: layer,
    attend=attention.reference,
    remat='nothing',
  )
  return hidden @ decoder.head(params)


def plain_row(tokens):
  """Positions and segments of rows that are one sequence each."""
  positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
  return positions, np.ones_like(tokens)


def random_tokens(rows, tokens, vocab=53):
  rng = np.random.default_rng(rows + tokens)
  return rng.integers(0, vocab, (rows, tokens)).astype(np.int32)


@pytest.mark.parametrize(
  ('heads', 'kv_heads', 'tied', 'mlp'),
  [
    (12, 2, False, 40),  # The 1.5B model's heads.
    (28, 4, False, 40),  # The 7B model's.
    (14, 2, True, 40),  # Tied, as the 0.5B model.
    (4, 4, True, 16),  # Square matrices: a missing transpose shows.
  ],
)
def test_logits_are_those_of_transformers(tmp_path, heads, kv_heads, tied, mlp):
  model = their_model(heads, kv_heads, tied, mlp)
  model.save_pretrained(tmp_path)
  shape = hf_config.read_shape(tmp_path)
  assert (shape.heads, shape.kv_heads, shape.tied) == (heads, kv_heads, tied)
  params = load.read_parameters(tmp_path, shape, builders.here(shape))
  ids = random_tokens(2, 13)
  positions, segments = plain_row(ids)
  positions = positions + np.int32([[0], [16000]])  # Also late positions.
  found = our_logits(params, shape, ids, positions, segments)
  expected = their_logits(model, ids, positions)
  atol = 1e-5 * np.abs(expected).max()
  np.testing.assert_allclose(found, expected, atol=atol, rtol=0)


def their_logprobs(model, sample):
  """float32 log-probabilities of a sample's response."""
  ids = np.concatenate([sample.prompt_ids, sample.response_ids])
  with torch.no_grad():
    logits = model(torch.tensor(ids[None], dtype=torch.long)).logits[0]
  logp = torch.log_softmax(logits.float(), -1).numpy()[:-1]
  found = np.take_along_axis(logp, ids[1:, None], axis=-1)[:, 0]
  return found[sample.prompt_ids.size - 1 :]


@pytest.mark.slow
@pytest.mark.parametrize(
  ('heads', 'kv_heads', 'tied'), [(12, 2, False), (28, 4, True)]
)
def test_log_probabilities_of_packed_rows_are_those_of_transformers(
  tmp_path, heads, kv_heads, tied
):
  model = their_model(heads, kv_heads, tied)
  model.save_pretrained(tmp_path)
  shape = hf_config.read_shape(tmp_path)
  params = load.read_parameters(tmp_path, shape, builders.here(shape))
  plain = builders.random_samples([26, 11, 1, 8, 17, 29] * 6, vocab=53)

  def theirs():
    told = [their_logprobs(model, sample) for sample in plain]
    samples = [
      dataclasses.replace(sample, sampler_logp=logp)
      for sample, logp in zip(plain, told, strict=True)
    ]
    blank = np.ones(len(samples), np.float32)
    fit = builders.fit(37, 3)
    return packing.pack(samples, blank, blank, fit, extra=('sampler_logp',))

  def ours(dtype):
    recipe = builders.tiny_recipe(shape, dtype=jnp.dtype(dtype))
    read = compiled.compile_logprobs(recipe, builders.one_device(recipe))
    return np.asarray(read(params, rows, np.int32(count))[0])

  rows, count = theirs()
  live, true = rows.mask > 0, rows.extra['sampler_logp']
  np.testing.assert_allclose(ours('float32')[live], true[live], atol=1e-5)
  model = model.bfloat16()
  rounded = theirs()[0].extra['sampler_logp']
  apart = [np.abs(x - true)[live] for x in (ours('bfloat16'), rounded)]
  assert 0 < apart[0].mean() < apart[1].mean()
  assert apart[0].max() < 1.5 * apart[1].max()


SHAPE = builders.tiny_shape()
PARAMS = builders.lively(SHAPE)
LAYERS = decoder.unstacked(PARAMS)


def test_the_packed_forward_equals_the_unpacked_one():
  lengths, width = [4, 1, 6, 3], 10
  places = [(0, 0), (0, 4), (1, 0), (1, 6)]
  ids = random_tokens(4, width, SHAPE.vocab)
  unpacked = our_logits(PARAMS, SHAPE, ids, *plain_row(ids))
  packed, positions, segments = np.zeros((3, 4, width), np.int32)
  for i, (length, (row, start)) in enumerate(zip(lengths, places, strict=True)):
    place = row, slice(start, start + length)
    packed[place], segments[place] = ids[i, :length], i + 1
    positions[place] = np.arange(length)
  found = our_logits(PARAMS, SHAPE, packed, positions, segments)
  for i, (length, (row, start)) in enumerate(zip(lengths, places, strict=True)):
    np.testing.assert_allclose(
      found[row, start : start + length], unpacked[i, :length], atol=1e-5
    )


SLOTS, PROMPT, WIDTH = 3, 4, 9
decode = jax.jit(functools.partial(decoder.decode, shape=SHAPE))


@functools.cache
def filled_cache():
  """A cache of WIDTH columns after a prompt of PROMPT tokens, and all ids."""
  ids = random_tokens(SLOTS, WIDTH, SHAPE.vocab)
  read = jax.jit(functools.partial(decoder.prefill, shape=SHAPE))
  pad = [(0, 0), (0, 0), (0, WIDTH - PROMPT), (0, 0)]
  cache = read(LAYERS, tokens=ids[:, :PROMPT])
  return jax.tree.map(lambda x: jnp.pad(x, pad), cache), ids


def test_prefill_and_decode_step_by_step_equal_the_forward():
  cache, ids = filled_cache()
  expected = np.asarray(our_logits(PARAMS, SHAPE, ids, *plain_row(ids)))
  # Each slot at a different position, as in continuous batching.
  position, slots = np.int32([PROMPT, PROMPT - 1, PROMPT - 2]), np.arange(SLOTS)
  for _ in range(WIDTH - PROMPT):
    logits, cache = decode(
      LAYERS, token=ids[slots, position], position=position, cache=cache
    )
    here = expected[slots, position]
    np.testing.assert_allclose(logits, here, atol=1e-5)
    position = position + 1


def test_a_position_past_the_cache_writes_nothing():
  cache, ids = filled_cache()
  past = np.int32([WIDTH, WIDTH + 1, 999])
  _, after = decode(LAYERS, token=ids[:, 0], position=past, cache=cache)
  assert jax.tree.all(jax.tree.map(np.array_equal, cache, after))


def test_fresh_parameters_are_small_normal_numbers():
  sizes = ('vocab', 'dim', 'heads', 'kv_heads', 'head_dim', 'mlp')
  shape = builders.tiny_shape(layers=1, **dict.fromkeys(sizes, 8))
  params = jax.device_get(decoder.init(jax.random.key(0), shape))
  layers = params.pop('layers')
  assert {x.dtype for x in jax.tree.leaves((params, layers))} == {
    np.dtype('float32')
  }
  for name in 'q_bias', 'k_bias', 'v_bias':
    assert (layers.pop(name) == 0).all()
  assert (params.pop('norm') == 1).all()
  for name in 'attn_norm', 'mlp_norm':
    assert (layers.pop(name) == 1).all()
  drawn = np.concatenate([x.ravel() for x in jax.tree.leaves((params, layers))])
  assert drawn.mean() == pytest.approx(0, abs=0.002)
  assert drawn.std() == pytest.approx(0.04, rel=0.05)


@pytest.mark.parametrize('tied', [False, True])
def test_the_tree_has_a_head_where_it_is_not_tied(tied):
  shape = builders.tiny_shape(tied=tied)
  params = jax.eval_shape(
    lambda key: decoder.init(key, shape), jax.random.key(0)
  )
  assert ('head' in params) is not tied
  sizes = jax.tree.map(lambda x: x.shape, params)
  assert sizes == decoder.param_shapes(shape)
  assert decoder.head(builders.lively(shape)).shape == (shape.dim, shape.vocab)


def test_in_bfloat16_the_hidden_states_are_bfloat16_and_near():
  shape = builders.tiny_shape(layers=1)
  params, ids = builders.lively(shape), random_tokens(2, 6, shape.vocab)
  narrow = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
  found = our_logits(narrow, shape, ids, *plain_row(ids))
  assert found.dtype == jnp.bfloat16
  expected = our_logits(params, shape, ids, *plain_row(ids))
  apart = np.abs(found.astype(np.float32) - expected)
  assert apart.mean() < 0.02 * np.abs(expected).mean()


def test_shapes_that_differ_are_refused():
  ids = random_tokens(2, 5, SHAPE.vocab)
  positions, segments = plain_row(ids)
  with pytest.raises(ValueError, match='do not fit'):
    our_logits(PARAMS, SHAPE, ids, positions[:, 1:], segments)
