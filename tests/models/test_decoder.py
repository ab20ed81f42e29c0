"""The policy against transformers' models of each type, with random numbers."""

import dataclasses
import functools

import builders
import families
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from siri_jax import compiled
from siri_jax.algorithm import packing
from siri_jax.models import (
  attention,
  decode_attention,
  decoder,
  hf_names,
  rope,
)
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import load


def opened(model, folder):
  """The shape and parameters of a model that transformers has saved."""
  model.save_pretrained(folder)
  shape = hf_config.read_shape(folder)
  return shape, load.read_parameters(folder, shape, builders.here(shape))


def sizes(kind, heads, kv_heads):
  """Settings of a width of 4 a head; heads are wider, if they may be."""
  return dict(
    hidden_size=4 * heads,
    num_attention_heads=heads,
    num_key_value_heads=kv_heads,
    head_dim=4 if kind == 'qwen2' else 8,
  )


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
  ('kind', 'heads', 'kv_heads', 'tied', 'mlp'),
  [
    ('qwen2', 12, 2, False, 40),  # The 1.5B model's heads.
    ('qwen2', 28, 4, False, 40),  # The 7B model's.
    ('qwen2', 14, 2, True, 40),  # Tied, as the 0.5B model.
    ('qwen2', 4, 4, True, 16),  # Square matrices: a missing transpose shows.
    ('qwen3', 4, 2, True, 40),  # Heads as Qwen3-1.7B's: half as wide as here.
    ('qwen3', 4, 4, False, 16),
    ('llama', 4, 1, False, 40),  # R1-Distill-Llama-8B's share of key heads.
    ('llama', 9, 3, True, 40),  # SmolLM2's heads, tied.
  ],
)
def test_logits_are_those_of_transformers(
  tmp_path, kind, heads, kv_heads, tied, mlp
):
  model = families.make(
    kind,
    **sizes(kind, heads, kv_heads),
    intermediate_size=mlp,
    tie_word_embeddings=tied,
  )
  shape, params = opened(model, tmp_path)
  assert (shape.heads, shape.kv_heads, shape.tied) == (heads, kv_heads, tied)
  assert (shape.rope_scaling is not None) == (kind == 'llama')
  ids = random_tokens(2, 13)
  positions, segments = plain_row(ids)
  positions = positions + np.int32([[0], [16000]])  # Also late positions.
  found = our_logits(params, shape, ids, positions, segments)
  expected = their_logits(model, ids, positions)
  atol = 1e-5 * np.abs(expected).max()
  np.testing.assert_allclose(found, expected, atol=atol, rtol=0)


def test_llama_scales_low_frequencies_and_those_between_in_part():
  scaling = rope.RopeScaling(factor=8.0, low=1.0, high=4.0, context=8192)
  turns = np.float32([0.5, 1, 2.5, 4, 100])  # In 8,192 positions.
  found = rope.scaled(2 * np.pi * turns / 8192, scaling)
  # At 2.5 turns half stays and half is divided by 8.
  expected = [1 / 8, 1 / 8, 0.5 + 0.5 / 8, 1, 1]
  np.testing.assert_allclose(found * 8192 / (2 * np.pi * turns), expected, 1e-6)


@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('kind', families.CLASSES)
def test_gradients_are_those_of_transformers(tmp_path, kind, tied):
  model = families.make(kind, num_hidden_layers=1, tie_word_embeddings=tied)
  shape, params = opened(model, tmp_path)
  ids, weights = random_tokens(2, 23), np.float32([[1.0], [-0.5]])

  def ours(params):
    logits = our_logits(params, shape, ids, *plain_row(ids))
    logp = jax.nn.log_softmax(logits[:, :-1])
    picked = jnp.take_along_axis(logp, ids[:, 1:, None], axis=-1)[..., 0]
    return jnp.sum(weights * picked)

  given = torch.tensor(ids, dtype=torch.long)
  logp = torch.log_softmax(model(given).logits[:, :-1], -1)
  picked = logp.gather(-1, given[:, 1:, None])[..., 0]
  (torch.tensor(weights) * picked).sum().backward()
  slopes = hf_names.export(jax.grad(ours)(params), 'float32')
  found = hf_names.named(slopes, shape)
  expected = dict(model.named_parameters())
  assert found.keys() == expected.keys()
  for name, parameter in expected.items():
    grad = parameter.grad.numpy()
    atol = 1e-5 * np.abs(grad).max()
    np.testing.assert_allclose(
      found[name], grad, atol=atol, rtol=0, err_msg=name
    )


@pytest.mark.slow
@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('kind', families.CLASSES)
def test_greedy_tokens_are_those_of_transformers(tmp_path, kind, tied):
  model = families.make(kind, spread=0.4, tie_word_embeddings=tied)
  shape, params = opened(model, tmp_path)
  prompts, lengths = random_tokens(2, 13), (13, 7)
  new = 24  # Past Llama's 16 positions.
  found = builders.greedy(params, shape, prompts, lengths, new)
  for prompt, length, own in zip(prompts, lengths, found, strict=True):
    assert own.tolist() == families.greedy(model, prompt[:length], new)
    assert len({*own.tolist()}) > 4  # Not one token again and again.


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
  ('kind', 'heads', 'kv_heads', 'tied'),
  [
    ('qwen2', 12, 2, False),
    ('qwen3', 8, 2, True),  # Tied, as Qwen3-1.7B.
    ('llama', 8, 2, False),  # Untied, as R1-Distill-Llama-8B.
    ('llama', 9, 3, True),  # SmolLM2's heads.
  ],
)
def test_log_probabilities_of_packed_rows_are_those_of_transformers(
  tmp_path, kind, heads, kv_heads, tied
):
  model = families.make(
    kind, **sizes(kind, heads, kv_heads), tie_word_embeddings=tied
  )
  shape, params = opened(model, tmp_path)
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
    return np.asarray(read({}, params, rows, np.int32(count))[0])

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
decode_one = jax.jit(
  functools.partial(decoder.decode, shape=SHAPE, attend=decode_attention.dense)
)


@functools.cache
def filled_cache():
  """A cache of WIDTH columns after a prompt of PROMPT tokens, and all ids."""
  ids = random_tokens(SLOTS, WIDTH, SHAPE.vocab)
  read = jax.jit(functools.partial(decoder.prefill, shape=SHAPE))
  same, more = (0, 0), (0, WIDTH - PROMPT)
  cache = tuple(
    (jnp.pad(k, [same, same, same, more]), jnp.pad(v, [same, same, more, same]))
    for k, v in read(LAYERS, tokens=ids[:, :PROMPT])
  )
  return cache, ids


def test_prefill_and_decode_step_by_step_equal_the_forward():
  cache, ids = filled_cache()
  expected = np.asarray(our_logits(PARAMS, SHAPE, ids, *plain_row(ids)))
  # Each slot at a different position, as in continuous batching.
  position, slots = np.int32([PROMPT, PROMPT - 1, PROMPT - 2]), np.arange(SLOTS)
  for _ in range(WIDTH - PROMPT):
    logits, cache = decode_one(
      LAYERS, token=ids[slots, position], position=position, cache=cache
    )
    here = expected[slots, position]
    np.testing.assert_allclose(logits, here, atol=1e-5)
    position = position + 1


def test_a_position_past_the_cache_writes_nothing():
  cache, ids = filled_cache()
  past = np.int32([WIDTH, WIDTH + 1, 999])
  _, after = decode_one(LAYERS, token=ids[:, 0], position=past, cache=cache)
  assert jax.tree.all(jax.tree.map(np.array_equal, cache, after))


def test_fresh_parameters_are_small_normal_numbers():
  sizes = ('vocab', 'dim', 'heads', 'kv_heads', 'head_dim', 'mlp')
  shape = builders.tiny_shape(layers=1, qk_norm=True, **dict.fromkeys(sizes, 8))
  params = jax.device_get(decoder.init(jax.random.key(0), shape))
  layers = params.pop('layers')
  assert {x.dtype for x in jax.tree.leaves((params, layers))} == {
    np.dtype('float32')
  }
  for name in 'q_bias', 'k_bias', 'v_bias':
    assert (layers.pop(name) == 0).all()
  assert (params.pop('norm') == 1).all()
  for name in 'attn_norm', 'mlp_norm', 'q_norm', 'k_norm':
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
