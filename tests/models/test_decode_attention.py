"""Attention of one token to its cache: all of it, or what each slot fills."""

import functools

import builders
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax import kernels
from siri_jax.models import attention, decode_attention, ragged_attention

BLOCK = ragged_attention.BLOCK
reference = jax.jit(attention.reference)
dense = jax.jit(decode_attention.dense)
# Pallas's interpreter runs the kernel's program on a CPU.
ragged = jax.jit(functools.partial(ragged_attention.ragged, interpret=True))
INTERPRETED = decode_attention.Attention(ragged, BLOCK)
both = pytest.mark.parametrize('attend', [dense, ragged])


def cache(slots, columns, *, heads=4, kv_heads=2, width=16, dtype=np.float32):
  """Queries [S, H, E], k [S, K, E, C] and v [S, K, C, E]."""
  rng = np.random.default_rng(0)
  sizes = (
    (slots, heads, width),
    (slots, kv_heads, width, columns),
    (slots, kv_heads, columns, width),
  )
  return [jnp.asarray(rng.normal(size=size), dtype) for size in sizes]


@both
def test_one_token_sees_its_cache_as_the_last_of_a_row_does(attend):
  tokens, (q, k, v) = BLOCK + 5, cache(2, 3 * BLOCK)
  row = [x[..., :tokens].transpose(0, 3, 1, 2) for x in (k, v.swapaxes(2, 3))]
  row = [jnp.tile(q[:, None], (1, tokens, 1, 1)), *row]
  whole = reference(*row, np.ones((2, tokens), np.int32))
  for length in (1, BLOCK, tokens):
    found = attend(q, k, v, np.int32([length] * 2))
    np.testing.assert_allclose(found, whole[:, length - 1], atol=1e-6)


@pytest.mark.parametrize(
  ('heads', 'kv_heads', 'width'), [(12, 2, 128), (5, 1, 32), (34, 2, 16)]
)
def test_the_kernel_equals_the_dense_one_for_ragged_lengths(
  heads, kv_heads, width
):
  columns = 5 * BLOCK
  length = np.int32([1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7, columns])
  sizes = dict(heads=heads, kv_heads=kv_heads, width=width)
  given = cache(length.size, columns, **sizes)
  np.testing.assert_allclose(
    ragged(*given, length), dense(*given, length), atol=2e-6
  )


def test_the_kernel_reads_only_the_blocks_that_a_slot_fills():
  length = np.int32([1, BLOCK, BLOCK + 1, 2 * BLOCK - 1])
  q, k, v = cache(length.size, 4 * BLOCK)
  read = -(-length // BLOCK) * BLOCK
  unread = np.arange(4 * BLOCK) >= read[:, None]
  # Whatever is read shows: a weight of 0 times NaN is NaN.
  k_nan = jnp.where(unread[:, None, None], np.nan, k)
  v_nan = jnp.where(unread[:, None, :, None], np.nan, v)
  np.testing.assert_array_equal(
    ragged(q, k_nan, v_nan, length), ragged(q, k, v, length)
  )
  seen = np.asarray(dense(q, k_nan, v_nan, length))
  assert np.isnan(seen).all()


@pytest.mark.parametrize('programs', [1, 6, 99])
def test_any_number_of_programs_shares_the_blocks_of_a_slot(
  programs, monkeypatch
):
  # Of three slots: one each, two each, and no more than the nine blocks.
  monkeypatch.setattr(ragged_attention, 'PROGRAMS', programs)
  given = cache(3, 9 * BLOCK, heads=2, kv_heads=1)
  length = np.int32([1, 5 * BLOCK, 9 * BLOCK])
  np.testing.assert_allclose(
    ragged_attention.ragged(*given, length, interpret=True),
    dense(*given, length),
    atol=2e-6,
  )


@both
def test_an_idle_slot_gets_finite_numbers_and_the_others_theirs(attend):
  given = cache(3, 2 * BLOCK)
  found = attend(*given, np.int32([0, 5, 0]))
  assert np.isfinite(found).all()
  alone = attend(*(x[1:2] for x in given), np.int32([5]))
  np.testing.assert_allclose(found[1:2], alone, atol=1e-6)


@both
def test_large_scores_do_not_overflow(attend):
  q, k, v = cache(1, BLOCK)
  found = attend(100 * q, 100 * k, v, np.int32([BLOCK]))
  assert np.isfinite(found).all()


@both
def test_shapes_that_differ_are_refused(attend):
  q, k, v = cache(2, BLOCK)
  with pytest.raises(ValueError, match='do not fit'):
    attend(q, k, v[:, :, 1:], np.int32([1, 2]))


def test_a_cache_that_is_not_whole_blocks_is_refused():
  with pytest.raises(ValueError, match=f'65 columns.* multiple of {BLOCK}'):
    ragged(*cache(1, 65), np.int32([1]))


SIZE = dict(heads=6, kv_heads=2, width=16, dtype=jnp.bfloat16)


def test_the_distance_of_a_right_kernel_is_rounding():
  found = decode_attention.distance(INTERPRETED, **SIZE)
  assert 0 < found < decode_attention.TOLERANCE


@pytest.mark.parametrize('wrong', [-1, 1])
def test_the_distance_of_a_kernel_that_sees_a_column_more_or_less_is_large(
  wrong,
):
  def attend(q, k, v, length):
    return dense(q, k, v, jnp.maximum(length + wrong, 1))

  found = decode_attention.distance(INTERPRETED._replace(attend=attend), **SIZE)
  assert found > 5 * decode_attention.TOLERANCE


class TestChoice:
  """kernels.decoding_attention, as on a machine with GPUs."""

  @pytest.fixture(autouse=True)
  def gpu(self, monkeypatch):
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    self.said = []

  def chosen(self, engine='embedded', width=16):
    recipe = builders.tiny_recipe(builders.tiny_shape(head_dim=width))
    return kernels.decoding_attention(engine, recipe, self.said.append)

  def test_a_gpu_gets_the_kernel(self, monkeypatch):
    monkeypatch.setattr(ragged_attention, 'RAGGED', INTERPRETED)
    assert self.chosen() is INTERPRETED
    assert self.said == []

  def test_a_kernel_that_cannot_run_is_replaced_and_the_reason_said(self):
    # The interpreter is off, and this machine has no GPU.
    assert self.chosen() is decode_attention.DENSE
    assert 'reads the whole cache' in self.said[0]
    assert 'interpret' in self.said[0]

  def test_a_wrong_kernel_is_replaced(self, monkeypatch):
    def attend(q, k, v, length):
      return dense(q, k, v, 0 * length + v.shape[2])

    wrong = INTERPRETED._replace(attend=attend)
    monkeypatch.setattr(ragged_attention, 'RAGGED', wrong)
    assert self.chosen() is decode_attention.DENSE
    assert 'from the reference' in self.said[0]

  def test_an_engine_of_servers_needs_none(self):
    assert self.chosen(engine='vllm') is decode_attention.DENSE
    assert self.said == []


def test_a_cpu_reads_the_whole_cache():
  recipe = builders.tiny_recipe(builders.tiny_shape())
  found = kernels.decoding_attention('embedded', recipe, None)
  assert found is decode_attention.DENSE


@pytest.mark.gpu
@pytest.mark.parametrize(('heads', 'kv_heads'), [(12, 2), (28, 4)])
def test_the_kernel_equals_the_dense_one_on_a_gpu(heads, kv_heads):
  size = dict(heads=heads, kv_heads=kv_heads, width=128, dtype=jnp.bfloat16)
  found = decode_attention.distance(ragged_attention.RAGGED, **size)
  assert found < decode_attention.TOLERANCE
