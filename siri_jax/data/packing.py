"""Packs sequences into rows of a fixed length; only their number varies."""

import jax
import numpy as np

from siri_jax import types


def first_fit_decreasing(lengths, room):
  """Puts sequences into as few rows as first-fit-decreasing finds.

  Args:
    lengths: int [B], tokens of each sequence.
    room: tokens of a row.
  Returns:
    list of rows, each a list of indices into `lengths`.
  Raises:
    ValueError: naming every sequence that is longer than a row.
  """
  lengths = np.asarray(lengths)
  if (over := np.flatnonzero(lengths > room)).size:
    raise ValueError(
      f'sequences {over.tolist()} of {lengths[over].tolist()} tokens do not '
      f'fit a row of {room}: raise row_tokens'
    )
  rows, left = [], np.empty(0, np.int64)
  for i in np.argsort(-lengths, kind='stable'):
    fits = np.flatnonzero(left >= lengths[i])
    if fits.size:
      rows[fits[0]].append(int(i))
      left[fits[0]] -= lengths[i]
    else:
      rows.append([int(i)])
      left = np.append(left, room - lengths[i])
  return rows


def pack(
  samples, weights, advantages, *, row_tokens, micro_rows, capacity=0, extra=()
):
  """Samples as packed rows in micro-batches, padded to a fixed capacity.

  The capacity is in samples, one row for each, so that the arrays' shape never
  depends on lengths.

  Args:
    samples: types.Sample, B of them.
    weights: float32 [B], the aggregation's weight of every response token.
    advantages: float32 [B].
    row_tokens: R.
    micro_rows: M, rows of a micro-batch.
    capacity: most samples there could be; 0: as many as there are.
    extra: names of the extra arrays the loss takes from the rows; filled
      with zeros, but for 'sampler_logp'.
  Returns:
    types.Rows of numpy arrays [U, M, R], and how many of the U micro-batches
    are in use.
  Raises:
    ValueError: a sample is longer than a row.
  """
  lengths = [s.prompt_ids.size + s.response_ids.size for s in samples]
  placed = first_fit_decreasing(lengths, row_tokens)
  micro_batches = -(-(capacity or len(samples)) // micro_rows)
  shape = (micro_batches * micro_rows, row_tokens)
  rows = types.Rows(
    **{
      name: np.zeros(shape, np.int32)
      for name in ('tokens', 'targets', 'positions', 'segments')
    },
    **{
      name: np.zeros(shape, np.float32) for name in ('mask', 'adv', 'old_logp')
    },
    extra={name: np.zeros(shape, np.float32) for name in extra},
  )
  for row, members in enumerate(placed):
    start = 0
    for segment, i in enumerate(members, 1):
      place = (row, slice(start, start + lengths[i]))
      _lay(rows, place, segment, samples[i], weights[i], advantages[i])
      start += lengths[i]
  in_use = -(-len(placed) // micro_rows)
  stacked = (micro_batches, micro_rows, row_tokens)
  return jax.tree.map(lambda x: x.reshape(stacked), rows), in_use


def _lay(rows, place, segment, sample, weight, advantage):
  """Writes one sample into its place in the rows."""
  ids = np.concatenate([sample.prompt_ids, sample.response_ids])
  # The position before each response token is the one that predicts it.
  predicts = slice(sample.prompt_ids.size - 1, ids.size - 1)
  rows.tokens[place] = ids
  rows.targets[place][:-1] = ids[1:]
  rows.positions[place] = np.arange(ids.size)
  rows.segments[place] = segment
  rows.mask[place][predicts] = weight
  rows.adv[place] = advantage
  if 'sampler_logp' in rows.extra:
    rows.extra['sampler_logp'][place][predicts] = sample.sampler_logp
