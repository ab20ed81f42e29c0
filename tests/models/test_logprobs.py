"""Chunked log-probabilities and entropies against plain log_softmax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax.config import base
from siri_jax.models import logprobs
from tools.benchmarks import full_size, memory

TOKENS, WIDTH, VOCAB = 11, 6, 17


def draw(dtype=jnp.float32, scale=1.0, vocab=VOCAB):
  rng = np.random.default_rng(0)
  hidden = jnp.asarray(rng.normal(size=(TOKENS, WIDTH)), dtype)
  head = jnp.asarray(scale * rng.normal(size=(WIDTH, vocab)), dtype)
  targets = jnp.asarray(rng.integers(0, vocab, TOKENS), jnp.int32)
  return hidden, head, targets


def plain(hidden, head, targets, temperature):
  """The same with all logits at one time."""
  logits = jnp.einsum(
    'td,dv->tv', hidden, head, preferred_element_type=jnp.float32
  )
  logp = jax.nn.log_softmax(logits / temperature)
  entropy = -jnp.sum(jnp.exp(logp) * logp, axis=-1)
  return jnp.take_along_axis(logp, targets[:, None], 1)[:, 0], entropy


def chunked(
  hidden, head, targets, temperature, chunk=4, live=None, cut=1, padding=0
):
  live = jnp.ones(targets.shape, bool) if live is None else live
  temperature = jnp.float32(temperature)
  return logprobs.logp_and_entropy(
    hidden, head, targets, live, temperature, chunk, cut, padding
  )


@functools.partial(jax.jit, static_argnums=0)
def run(function, hidden, head, targets, temperature, which=(1, 1)):
  """Both outputs, and the gradients of their sum in hidden and head."""
  weights = np.random.default_rng(1).normal(size=(2, TOKENS))

  def total(hidden, head):
    out = function(hidden, head, targets, temperature)
    return sum(
      n * jnp.sum(w * x) for n, w, x in zip(which, weights, out, strict=True)
    ), out

  gradients, out = jax.grad(total, argnums=(0, 1), has_aux=True)(hidden, head)
  return out, gradients


def assert_close(found, expected, rtol=1e-5, atol=1e-5):
  for ours, theirs in zip(found, expected, strict=True):
    np.testing.assert_allclose(
      np.asarray(ours, np.float32), theirs, rtol=rtol, atol=atol
    )


@pytest.mark.parametrize('temperature', [1.0, 0.6])
@pytest.mark.parametrize(
  'which', [(1, 0), (0, 1), (1, 1)], ids=['logp', 'entropy', 'both']
)
def test_values_and_gradients_are_those_of_the_plain_softmax(
  which, temperature
):
  found = run(chunked, *draw(), temperature, which)
  expected = run(plain, *draw(), temperature, which)
  assert_close(found[0], expected[0])
  assert_close(found[1], expected[1])


@pytest.mark.parametrize('chunk', [1, 3, 11, 100])
def test_the_chunk_changes_neither_value_nor_gradient(chunk):
  found = run(functools.partial(chunked, chunk=chunk), *draw(), 0.6)
  expected = run(plain, *draw(), 0.6)
  assert_close(found[0], expected[0])
  assert_close(found[1], expected[1])


@pytest.mark.parametrize(
  ('vocab', 'words', 'cut', 'blocks'),
  [
    (17, 17, 1, 1),
    (18, 6, 1, 3),
    (18, 4, 1, 6),  # Five blocks of at most four entries do not divide 18.
    (18, 3, 2, 3),
    (18, 2, 3, 3),
    (17, 5, 1, 1),  # No number of blocks near four divides 17.
  ],
)
def test_the_gradient_of_the_head_is_the_same_in_blocks_of_words(
  vocab, words, cut, blocks, monkeypatch
):
  monkeypatch.setattr(logprobs, 'WORDS', words)
  assert logprobs.blocks(vocab // cut) == blocks
  given = draw(vocab=vocab)
  found = run(functools.partial(chunked, cut=cut), *given, 0.6)
  expected = run(plain, *given, 0.6)
  assert_close(found[0], expected[0])
  assert_close(found[1], expected[1])


@pytest.mark.parametrize('cut', [1, 2])
@pytest.mark.parametrize('scale', [1.0, 300.0])
def test_padding_has_no_probability_and_no_gradient_however_likely(
  cut, scale, monkeypatch
):
  monkeypatch.setattr(logprobs, 'WORDS', 6)
  hidden, head, targets = draw(vocab=18)
  targets = targets % 13
  wide = head.at[:, 13:].multiply(scale)
  given = functools.partial(chunked, cut=cut, padding=5)
  found = run(given, hidden, wide, targets, 0.6)
  expected = run(plain, hidden, head[:, :13], targets, 0.6)
  assert_close(found[0], expected[0])
  d_hidden, d_head = found[1]
  assert not d_head[:, 13:].any()
  assert_close((d_hidden, d_head[:, :13]), expected[1])


LIVE = np.isin(np.arange(TOKENS), [1, 2, 5, 6, 8, 10])


@pytest.mark.parametrize('chunk', [1, 4, 6, 100])
def test_tokens_outside_the_loss_have_neither_value_nor_gradient(chunk):
  hidden, head, targets = draw()
  some = functools.partial(chunked, chunk=chunk, live=LIVE)
  found = run(some, hidden, head, targets, 0.6)
  # Equal to multiplying the others by zero, if they were finite.
  expected = run(
    lambda *args: [LIVE * x for x in plain(*args)], hidden, head, targets, 0.6
  )
  assert_close(found[0], expected[0])
  assert_close(found[1], expected[1])
  assert not found[0][0][~LIVE].any()
  spoilt = hidden.at[~LIVE].set(jnp.nan)
  assert_close(run(some, spoilt, head, targets, 0.6)[1], found[1])


def test_where_float64_is_on_values_and_gradients_are_the_same():
  expected = run(chunked, *draw(), 0.6)
  with jax.enable_x64(True):
    found = run(chunked, *draw(), 0.6)
  for ours, theirs in zip(found, expected, strict=True):
    assert_close(ours, theirs)


def test_without_a_token_in_the_loss_nothing_is_computed():
  none = functools.partial(chunked, live=np.zeros(TOKENS, bool))
  values, gradients = run(none, *draw(), 1.0)
  assert not any(x.any() for x in (*values, *gradients))


def test_bfloat16_comes_out_in_float32_with_gradients_in_bfloat16():
  hidden, head, targets = draw(jnp.bfloat16)
  values, gradients = run(chunked, hidden, head, targets, 1.0)
  assert {x.dtype for x in values} == {jnp.dtype('float32')}
  assert {x.dtype for x in gradients} == {jnp.dtype('bfloat16')}
  wide = hidden.astype(jnp.float32), head.astype(jnp.float32)
  expected = run(plain, *wide, targets, 1.0)
  assert_close(values, expected[0])
  assert_close(gradients, expected[1], atol=0.05)


def test_large_logits_stay_finite():
  values, gradients = run(chunked, *draw(scale=1e4), 1.0)
  assert all(np.isfinite(x).all() for x in (*values, *gradients))
  assert np.all(values[1] >= -1e-2)


def test_a_policy_without_preference_has_entropy_log_v():
  hidden, head, targets = draw()
  logp, entropy = chunked(hidden, 0 * head, targets, 1.0)
  np.testing.assert_allclose(logp, -np.log(VOCAB), rtol=1e-6)
  np.testing.assert_allclose(entropy, np.log(VOCAB), rtol=1e-6)


def test_shapes_that_differ_are_refused():
  hidden, head, targets = draw()
  with pytest.raises(ValueError, match='do not fit'):
    chunked(hidden, head, targets[:-1], 1.0)


@pytest.mark.parametrize('model', ['1.5b', '7b'])
def test_the_head_of_a_full_row_fits_two_gigabytes(model):
  shape = full_size.SHAPES[model]
  chunk = base.get_config().update_kw.logprob_chunk_tokens
  # The memory without the gradients themselves.
  beside, _ = memory.head(shape, 'cpu')
  assert 4 * chunk * shape.vocab < beside < 2e9
