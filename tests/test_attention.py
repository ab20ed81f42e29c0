"""Attention over packed rows, and one token's to its cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax.models import attention


def draw(*shape, seed=0, dtype=np.float32):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def qkv(rows=2, tokens=7, heads=4, kv_heads=2, width=3):
  return (
    draw(rows, tokens, heads, width),
    draw(rows, tokens, kv_heads, width, seed=1),
    draw(rows, tokens, kv_heads, width, seed=2),
  )


reference = jax.jit(attention.reference)
one_token = jax.jit(attention.one_token)


def by_hand(q, k, v, segments):
  """Token by token in float64."""
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  out = np.zeros(q.shape)
  share = q.shape[2] // k.shape[2]
  for m, t, h in np.ndindex(q.shape[:3]):
    seen = [s for s in range(t + 1) if segments[m, s] == segments[m, t]]
    scores = k[m, seen, h // share] @ q[m, t, h] / q.shape[3] ** 0.5
    weights = np.exp(scores) / np.exp(scores).sum()
    out[m, t, h] = weights @ v[m, seen, h // share]
  return out


# Two rows: three sequences, then two and padding.
SEGMENTS = np.int32([[1, 1, 1, 2, 2, 2, 3], [1, 1, 2, 2, 2, 0, 0]])


@pytest.mark.parametrize(('heads', 'kv_heads'), [(4, 2), (6, 1), (3, 3)])
def test_every_token_sees_its_own_sequence_up_to_itself(heads, kv_heads):
  arrays = qkv(heads=heads, kv_heads=kv_heads)
  found = reference(*arrays, SEGMENTS)
  np.testing.assert_allclose(found, by_hand(*arrays, SEGMENTS), atol=1e-6)


def test_what_lies_beside_a_sequence_does_not_matter_to_it():
  q, k, v = qkv()
  found = reference(q, k, v, SEGMENTS)[0, 3:6]
  alone = reference(*(x[:1, 3:6] for x in (q, k, v)), np.ones((1, 3), np.int32))
  np.testing.assert_allclose(found, alone[0], atol=1e-6)


def test_padding_leaves_no_number_that_is_not_finite():
  def total(q, k, v):
    return attention.reference(q, k, v, SEGMENTS).sum()

  for gradient in jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*qkv()):
    assert np.isfinite(gradient).all()


def test_in_bfloat16_the_softmax_is_still_in_float32():
  arrays = [x.astype(jnp.bfloat16) for x in qkv(tokens=7)]
  found = reference(*arrays, SEGMENTS)
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    found.astype(np.float32), by_hand(*arrays, SEGMENTS), atol=0.03
  )


def test_one_token_sees_its_cache_as_the_last_of_a_row_does():
  q, k, v = qkv(rows=2, tokens=5)
  whole = reference(q, k, v, np.ones((2, 5), np.int32))
  # Columns that are not seen may hold anything that is finite.
  cache = [
    jnp.pad(x.swapaxes(1, 2), [(0, 0)] * 2 + [(0, 4), (0, 0)], 'maximum')
    for x in (k, v)
  ]
  for slot, length in ((0, 5), (1, 3)):
    seen = jnp.arange(9) < length
    found = one_token(
      q[slot, length - 1][None], *(c[slot][None] for c in cache), seen[None]
    )
    np.testing.assert_allclose(found[0], whole[slot, length - 1], atol=1e-6)


def test_shapes_that_differ_are_refused():
  q, k, v = qkv()
  with pytest.raises(ValueError, match='do not fit'):
    attention.reference(q, k, v[:, :-1], SEGMENTS)
  with pytest.raises(ValueError, match='do not fit'):
    attention.one_token(q[0], k[0], v[0], SEGMENTS[0])
