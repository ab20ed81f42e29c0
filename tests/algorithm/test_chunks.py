"""Responses in chunks: by hand, and against Delethink's code as loops."""

import builders
import numpy as np
import pytest

from siri_jax import types
from siri_jax.algorithm import aggregations, chunks, losses, packing
from siri_jax.runtime import distributed

EACH = types.Chunks(context=6, carried=4, head=1)
CLIP = dict(low=0.2, high=0.26, cap=2.0)


def test_a_response_of_eleven_tokens_in_chunks_by_hand():
  sample = builders.make_sample((1, 2), range(10, 21), chunks=EACH)
  found = [
    (row.prompt_ids.tolist(), row.response_ids.tolist())
    for row in chunks.rows(sample)
  ]
  assert found == [
    ([1, 2], [10, 11, 12, 13, 14, 15]),
    ([1, 2, 10, 13, 14, 15], [16, 17]),
    ([1, 2, 10, 15, 16, 17], [18, 19]),
    ([1, 2, 10, 17, 18, 19], [20]),
  ]


@pytest.mark.parametrize(
  ('size', 'starts'), [(5, [0]), (6, [0]), (7, [0, 6]), (9, [0, 6, 8])]
)
def test_a_chunk_begins_only_after_a_full_one(size, starts):
  assert chunks.starts(size, EACH) == starts


def test_a_response_without_chunks_is_one_row():
  sample = builders.make_sample()
  assert chunks.rows(sample) == [sample]


def delethink(prompt, trace, each):
  """(prompt, response) of each turn, as Delethink's agent loop makes them.

  Its trimmer keeps the first and the last tokens of the answer in the context:
  verl/experimental/agent_loop/delethink_agent_loop.py and
  delethink_trimmers.py, with the sampler replaced by the given trace.
  """
  turns, current, cut, at = [], prompt, np.int32([]), 0
  while True:
    most = each.context - each.carried if turns else each.context
    response = trace[at : at + most]
    turns.append((current, response))
    at += len(response)
    if at == len(trace):
      return turns
    answer = np.concatenate([cut, response])
    head, tail = answer[: each.head], answer[-(each.carried - each.head) :]
    cut = np.concatenate([head, tail])
    current = np.concatenate([prompt, cut])


def random_traces(count, *, seed):
  """Samples in chunks, with random tokens and log-probabilities."""
  rng = np.random.default_rng(seed)
  context = rng.integers(3, 12)
  carried = rng.integers(2, context)
  each = types.Chunks(*map(int, (context, carried, rng.integers(0, carried))))
  sizes = rng.integers(1, 40, count)
  return [
    builders.make_sample(
      rng.integers(0, 90, 3),
      rng.integers(0, 90, size),
      sampler_logp=np.float32(-rng.random(size) - 0.5),
      chunks=each,
    )
    for size in sizes
  ]


@pytest.mark.parametrize('seed', range(5))
def test_rows_are_the_turns_of_the_papers_code(seed):
  for sample in random_traces(6, seed=seed):
    turns = delethink(sample.prompt_ids, sample.response_ids, sample.chunks)
    found = chunks.rows(sample)
    assert len(found) == len(turns)
    for row, (prompt, response) in zip(found, turns, strict=True):
      assert row.prompt_ids.tolist() == prompt.tolist()
      assert row.response_ids.tolist() == response.tolist()
    told = np.concatenate([row.sampler_logp for row in found])
    np.testing.assert_array_equal(told, sample.sampler_logp)


def policy(token, position, shift):
  """A made-up log-probability of a token at a position of its row."""
  return -1 - np.sin(token + 2.0 * position + shift)


def papers_loss(samples, advantages, clip):
  """Delethink's loss of one optimiser step over all rows, as loops.

  compute_policy_loss_with_trace_lengths of verl/trainer/ppo/core_algos.py,
  without the dual clip; trace lengths as in delethink_ppo/ray_trainer.py.
  """
  rows = []
  for sample, adv in zip(samples, advantages, strict=True):
    size, at = len(sample.response_ids), 0
    turns = delethink(sample.prompt_ids, sample.response_ids, sample.chunks)
    for prompt, response in turns:
      rows.append((len(prompt), response, sample.sampler_logp[at:], adv, size))
      at += len(response)
  scale, per_row = len(samples) / len(rows), []
  for start, response, sampler, adv, size in rows:
    total = 0.0
    for i, token in enumerate(response):
      now, old = (policy(token, start + i, shift) for shift in (0.3, 0.0))
      ratio = np.exp(now - old)
      clipped = np.clip(ratio, 1 - clip['low'], 1 + clip['high'])
      weight = min(np.exp(old - sampler[i]), clip['cap'])
      total += max(-adv * ratio, -adv * clipped) * weight
    per_row.append(total / (size * scale))
  return np.mean(per_row)


def our_loss(samples, advantages):
  """The loss of one optimiser step, as the trainer computes it."""
  lengths = np.int32([sample.chosen for sample in samples])
  weights, denom = aggregations.sequence_mean(lengths)
  each = samples[0].chunks
  rows, _ = packing.pack(
    *(samples, np.asarray(weights), advantages),
    builders.fit(3 + each.context, 2),
    capacity=len(samples) * len(chunks.starts(40, each)),
    extra=('sampler_logp',),
  )
  now, old = (
    np.float32(policy(rows.targets, rows.positions + 1, shift))
    for shift in (0.3, 0.0)
  )
  told = rows.extra['sampler_logp']
  given = (now, old, rows.adv, rows.mask, denom)
  loss, _ = losses.truncated_importance(*given, sampler_logp=told, **CLIP)
  return float(loss)


@pytest.mark.parametrize('seed', range(5))
def test_the_mean_over_traces_is_the_papers_mean_over_chunks(seed):
  samples = random_traces(6, seed=seed)
  advantages = np.random.default_rng(seed).normal(size=6)
  assert sum(len(chunks.rows(s)) for s in samples) > 6
  theirs = papers_loss(samples, advantages, CLIP)
  assert our_loss(samples, np.float32(advantages)) == pytest.approx(
    theirs, rel=1e-4, abs=1e-6
  )


def test_every_token_of_a_response_weighs_the_same_in_whatever_chunk():
  sample = builders.make_sample((1, 2), range(10, 21), chunks=EACH)
  rows, _ = packing.pack(
    [sample], np.float32([1 / 11]), np.float32([1]), builders.fit(8, 1)
  )
  live = rows.mask > 0
  assert sorted(rows.targets[live]) == [*range(10, 21)]
  assert np.unique(rows.mask[live]).tolist() == [np.float32(1 / 11)]
  # The shape follows from the number of sequences: four chunks.
  assert rows.tokens.shape == (4, 1, 8)


def test_other_processes_make_the_same_rows():
  samples = [
    builders.make_sample((1, 2), range(10, 21), chunks=EACH),
    builders.make_sample(),
  ]
  sent = distributed.encode_batch(samples, np.float32([1, 2]))
  read, _ = distributed.decode_batch(sent)
  assert [sample.chunks for sample in read] == [EACH, None]
  assert [len(chunks.rows(sample)) for sample in read] == [4, 1]
