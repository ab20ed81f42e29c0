"""Attention over packed rows."""

import dataclasses

import builders
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax import kernels
from siri_jax.models import attention, decoder


def draw(*shape, seed=0, dtype=np.float32):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def qkv(rows=2, tokens=7, heads=4, kv_heads=2, width=3):
  return (
    draw(rows, tokens, heads, width),
    draw(rows, tokens, kv_heads, width, seed=1),
    draw(rows, tokens, kv_heads, width, seed=2),
  )


reference = jax.jit(attention.reference)
blocked = jax.jit(attention.blocked)


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


def both_ways(attend, q, k, v, segments):
  """An implementation's output and gradients outside padding."""
  slope = jnp.where(segments[..., None, None] > 0, draw(*q.shape, seed=3), 0)
  out, back = jax.vjp(lambda *qkv: attend(*qkv, segments), q, k, v)
  return jnp.where(segments[..., None, None] > 0, out, 0), *back(slope)


@pytest.mark.slow
@pytest.mark.parametrize('tokens', [7, 128, 300])
def test_blocked_attention_equals_the_reference_forward_and_backward(tokens):
  arrays = qkv(tokens=tokens)
  segments = np.minimum(np.arange(tokens) // 50 + 1, 5) % 5
  segments = np.broadcast_to(np.int32(segments), (2, tokens))
  for ours, true in zip(
    both_ways(blocked, *arrays, segments),
    both_ways(reference, *arrays, segments),
    strict=True,
  ):
    np.testing.assert_allclose(ours, true, atol=1e-5)


def test_blocks_need_memory_in_the_tokens_not_in_their_square():
  def temporary(tokens):
    given = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in qkv(1, tokens)]
    segments = jax.ShapeDtypeStruct((1, tokens), jnp.int32)

    def total(q, k, v, segments):
      return attention.blocked(q, k, v, segments).sum()

    program = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
    compiled = program.lower(*given, segments).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporary(8192) < 2.2 * temporary(4096)


def test_lengths_and_starts_of_the_sequences_of_packed_rows_by_hand():
  lengths, starts = attention.ragged(SEGMENTS)
  assert lengths.shape == (2, attention.SEQUENCES)
  assert starts.shape == (2, attention.SEQUENCES + 1)
  assert lengths[:, :4].tolist() == [[3, 3, 1, -1], [2, 3, -1, -1]]
  assert starts[:, :4].tolist() == [[0, 3, 6, -1], [0, 2, -1, -1]]
  assert (lengths[:, 4:] == -1).all()
  assert (starts[:, 4:] == -1).all()


def hopper(monkeypatch):
  """Lets programs for a Hopper GPU be lowered on a machine without one."""
  from jax._src.cudnn import fused_attention_stablehlo as fused

  monkeypatch.setattr(fused, 'check_cudnn_version', lambda: 91000)
  monkeypatch.setattr(fused, 'check_compute_capability', lambda _: True)
  return fused


def test_cudnn_is_called_with_ragged_causal_sequences(monkeypatch):
  hopper(monkeypatch)
  given = [
    jax.ShapeDtypeStruct((2, 256, heads, 128), jnp.bfloat16)
    for heads in (12, 2, 2)
  ]
  segments = jax.ShapeDtypeStruct((2, 256), jnp.int32)

  def total(q, k, v, segments):
    return attention.cudnn(q, k, v, segments).astype(jnp.float32).sum()

  program = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
  text = program.trace(*given, segments).lower(lowering_platforms=('cuda',))
  text = text.as_text()
  assert '__cudnn$fmhaSoftmaxBackward' in text
  assert 'PADDING_CAUSAL' in text
  assert f'max_seg_per_batch\\22: {attention.SEQUENCES}' in text


@pytest.mark.slow
def test_a_policy_that_keeps_attention_runs_cudnn_once_forwards(monkeypatch):
  hopper(monkeypatch)
  shape = builders.tiny_shape(layers=5, head_dim=8)
  params = jax.tree.map(jnp.bfloat16, builders.lively(shape))
  ids = np.ones((1, 128), np.int32)

  def count(remat):
    def total(params):
      hidden = decoder.forward(
        params,
        shape,
        ids,
        ids,
        ids,
        fetch=lambda layer: layer,
        attend=attention.cudnn,
        remat=remat,
      )
      return hidden.astype(jnp.float32).sum()

    program = jax.jit(jax.grad(total)).trace(params)
    text = program.lower(lowering_platforms=('cuda',)).as_text()
    return text.count('@__cudnn$fmhaSoftmax(')

  assert [count(remat) for remat in decoder.REMAT] == [2, 1, 1, 1, 1, 1]


def test_without_cudnn_it_raises():
  with pytest.raises(RuntimeError, match='cuDNN'):
    attention.cudnn(*qkv(), SEGMENTS)


def across(q, k, v, segments):
  """Wrong attention: sequences attend to those before them."""
  return attention.reference(q, k, v, jnp.ones_like(segments))


@pytest.mark.slow
@pytest.mark.parametrize(
  ('attend', 'least', 'most'),
  [(attention.reference, 0, attention.TOLERANCE), (across, 0.3, 10)],
)
def test_the_check_against_the_reference_detects_wrong_attention(
  attend, least, most
):
  size = dict(heads=6, kv_heads=1, width=8, dtype=jnp.bfloat16)
  found = jax.jit(lambda: attention.distance(attend, **size))()
  assert least < found < most


@pytest.mark.slow
def test_a_run_on_wrong_attention_is_refused(monkeypatch):
  shape = builders.tiny_shape(head_dim=8)
  recipe = builders.tiny_recipe(shape, dtype=jnp.bfloat16)
  kernels.check_attention(recipe)  # The reference is right.
  recipe = dataclasses.replace(recipe, attend=attention.cudnn)
  with pytest.raises(ValueError, match=r"cannot run here: cuDNN.*'blocked'"):
    kernels.check_attention(recipe)
  monkeypatch.setattr(attention, 'cudnn', across)
  recipe = dataclasses.replace(recipe, attend=across)
  with pytest.raises(ValueError, match=r'wrong with jax.*0\.11\.2'):
    kernels.check_attention(recipe)


@pytest.mark.gpu
@pytest.mark.parametrize(('heads', 'kv_heads'), [(12, 2), (28, 4)])
def test_cudnn_equals_the_reference_forward_and_backward(heads, kv_heads):
  size = dict(heads=heads, kv_heads=kv_heads, width=128, dtype=jnp.bfloat16)
  assert attention.distance(attention.cudnn, **size) < attention.TOLERANCE


def test_a_sequence_does_not_depend_on_its_neighbours():
  q, k, v = qkv()
  found = reference(q, k, v, SEGMENTS)[0, 3:6]
  alone = reference(*(x[:1, 3:6] for x in (q, k, v)), np.ones((1, 3), np.int32))
  np.testing.assert_allclose(found, alone[0], atol=1e-6)


def test_padding_gives_only_finite_numbers():
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


def test_shapes_that_differ_are_refused():
  q, k, v = qkv()
  with pytest.raises(ValueError, match='do not fit'):
    attention.reference(q, k, v[:, :-1], SEGMENTS)
