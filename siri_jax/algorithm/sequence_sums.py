"""Sums over the sequences, or the pairs of sequences, of packed rows."""

import jax
import jax.numpy as jnp

from siri_jax.models import attention


def whole(values, numbers):
  """The sum over a token's sequence, at each token.

  Args:
    values: number or bool [..., R].
    numbers: [..., R], 1.. for each sequence of a row, or each pair of them; 0
      for padding, which is in none.
  Returns:
    float32 [..., R], in the values' unit.
  """
  return _exact('...rs,...s->...r', *_totals(values, numbers))


def so_far(values, numbers):
  """The sum over a token's sequence up to it, at each token.

  Args:
    values: number or bool [..., R].
    numbers: [..., R], as of `whole`; each sequence is contiguous.
  Returns:
    float32 [..., R], in the values' unit.
  """
  at, totals = _totals(values, numbers)
  before = jnp.cumsum(totals, axis=-1) - totals
  row = jnp.cumsum(values.astype(jnp.float32), axis=-1)
  return row - _exact('...rs,...s->...r', at, before)


def _totals(values, numbers):
  """Which sequence has a token [..., R, S], and the sum over each [..., S]."""
  numbers = numbers.astype(jnp.int32) - 1  # Padding, -1, is in none.
  at = jax.nn.one_hot(numbers, attention.SEQUENCES)
  values = values.astype(jnp.float32)
  return at, _exact('...rs,...r->...s', at, values)


def _exact(formula, *arrays):
  """einsum in full float32, which a GPU would round to TF32."""
  return jnp.einsum(formula, *arrays, precision=jax.lax.Precision.HIGHEST)
