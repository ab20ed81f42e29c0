"""Packing of sequences into rows of fixed length."""

from typing import NamedTuple

import jax
import numpy as np

from siri_jax import types
from siri_jax.algorithm import chunks


class PackingConfig(NamedTuple):
  """The sizes of rows and micro-batches, and the cost of a sequence.

  Attributes:
    row_tokens: R, tokens of a row.
    sequences: most sequences of a row.
    micro_batch_rows: M, rows of a micro-batch.
    devices: devices that share a micro-batch, a divisor of M.
    cost: (a, b); a sequence of T tokens costs a T + b T^2.
  """

  row_tokens: int
  sequences: int
  micro_batch_rows: int
  devices: int
  cost: tuple[float, float]


def first_fit_decreasing(lengths, room, most):
  """Assigns sequences to rows by first-fit-decreasing.

  Args:
    lengths: int [B], tokens of each sequence.
    room: tokens of a row.
    most: sequences of a row.
  Returns:
    list of rows, each a list of indices into `lengths`.
  Raises:
    ValueError: sequences are longer than a row; names each.
  """
  lengths = np.asarray(lengths)
  if (over := np.flatnonzero(lengths > room)).size:
    raise ValueError(
      f'sequences {over.tolist()} of {lengths[over].tolist()} tokens do not '
      f'fit a row of {room}; raise row_tokens'
    )
  rows, left, held = [], np.empty(0, np.int64), np.empty(0, np.int64)
  for i in np.argsort(-lengths, kind='stable'):
    fits = np.flatnonzero((left >= lengths[i]) & (held < most))
    if not fits.size:
      fits = [len(rows)]
      rows.append([])
      left, held = np.append(left, room), np.append(held, 0)
    row = fits[0]
    rows[row].append(int(i))
    left[row] -= lengths[i]
    held[row] += 1
  return rows


def balance_micro_batches(costs, micro_batch_rows, devices):
  """Assigns rows to micro-batches and devices so that devices wait little.

  A micro-batch gets rows of similar cost, because zero3 synchronises its
  devices at every layer. Within a micro-batch, the costlier rows go to the
  devices with the least cost so far.

  Args:
    costs: float [rows], cost of each row.
    micro_batch_rows: M, rows of a micro-batch.
    devices: devices that share a micro-batch, a divisor of M.
  Returns:
    int [U * M], the row at each place; -1 for padding.
  """
  costs = np.asarray(costs, np.float64)
  order = np.argsort(-costs, kind='stable')
  share, sofar = micro_batch_rows // devices, np.zeros(devices)
  places = np.full((-(-costs.size // micro_batch_rows), devices, share), -1)
  for micro, first in zip(
    places, range(0, costs.size, micro_batch_rows), strict=True
  ):
    taken = np.zeros(devices, int)
    for row in order[first : first + micro_batch_rows]:
      device = np.argmin(np.where(taken < share, sofar, np.inf))
      micro[device, taken[device]] = row
      taken[device] += 1
      sofar[device] += costs[row]
  return places.reshape(-1)


def pack(
  samples, weights, advantages, fit, *, capacity=0, extra=(), together=1
):
  """Packs samples into rows and micro-batches, padded to a fixed capacity.

  A response in chunks is one sequence for each chunk. There is room for one row
  per sequence of the capacity, or per `together` of them, so that the shape
  does not depend on lengths.

  Args:
    samples: types.Tokens, B of them.
    weights: float32 [B], the aggregation's weight of every response token that
      the policy chose; forced ones have none.
    advantages: float32 [B].
    fit: PackingConfig.
    capacity: most sequences; 0: their number.
    extra: names of the rows' extra arrays. They are filled with zeros, except
      'sampler_logp', which is NaN if the engine returned none.
    together: consecutive samples that stay in one row, one after the other; 2
      for pairs. It divides B and the capacity.
  Returns:
    types.PackedBatch of numpy [U, M, R], and the number of micro-batches in
    use.
  Raises:
    ValueError: a sequence, or those that stay together, are longer than a row.
  """
  sequences = [
    (row, *own)
    for sample, *own in zip(samples, weights, advantages, strict=True)
    for row in chunks.rows(sample)
  ]
  lengths = np.asarray(
    [s.prompt_ids.size + s.response_ids.size for s, *_ in sequences], np.int64
  )
  bundles = lengths.reshape(-1, together).sum(axis=1)
  most = fit.sequences // together
  placed = [
    [bundle * together + i for bundle in row for i in range(together)]
    for row in first_fit_decreasing(bundles, fit.row_tokens, most)
  ]
  a, b = fit.cost
  costs = [
    float(np.sum(a * lengths[r] + b * lengths[r] ** 2.0)) for r in placed
  ]
  places = balance_micro_batches(costs, fit.micro_batch_rows, fit.devices)
  most = (capacity or len(sequences)) // together
  micro_batches = -(-most // fit.micro_batch_rows)
  rows = _blank((micro_batches * fit.micro_batch_rows, fit.row_tokens), extra)
  for place, row in enumerate(places):
    start = 0
    for segment, i in enumerate(placed[row] if row >= 0 else (), 1):
      where = (place, slice(start, start + lengths[i]))
      _lay(rows, where, segment, *sequences[i])
      start += lengths[i]
  stacked = (micro_batches, fit.micro_batch_rows, fit.row_tokens)
  in_use = len(places) // fit.micro_batch_rows
  return jax.tree.map(lambda x: x.reshape(stacked), rows), in_use


def _blank(shape, extra):
  """Rows of padding."""
  whole = ('tokens', 'targets', 'positions', 'segments')
  real = ('mask', 'adv', 'old_logp')
  return types.PackedBatch(
    **{name: np.zeros(shape, np.int32) for name in whole},
    **{name: np.zeros(shape, np.float32) for name in real},
    extra={name: np.zeros(shape, np.float32) for name in extra},
  )


def _lay(rows, place, segment, sample, weight, advantage):
  """Writes one sequence into its place in the rows."""
  ids = np.concatenate([sample.prompt_ids, sample.response_ids])
  # The logits that predict a response token are at the position before it.
  predicts = slice(sample.prompt_ids.size - 1, ids.size - 1)
  rows.tokens[place] = ids
  rows.targets[place][:-1] = ids[1:]
  rows.positions[place] = np.arange(ids.size)
  rows.segments[place] = segment
  rows.mask[place][predicts] = (
    weight if sample.forced is None else weight * ~sample.forced
  )
  rows.adv[place] = advantage
  if sample.old_logp is not None:
    rows.old_logp[place][predicts] = sample.old_logp
  if 'sampler_logp' in rows.extra:
    logp = sample.sampler_logp
    rows.extra['sampler_logp'][place][predicts] = (
      np.nan if logp is None else logp
    )
