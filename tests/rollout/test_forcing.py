"""Responses in parts by hand: with forced tokens, and in chunks."""

import dataclasses

import builders
import numpy as np
import pytest

from siri_jax import types
from siri_jax.algorithm import packing
from siri_jax.rollout import engines, forcing
from siri_jax.runtime import distributed

CLOSE, EOS = 8, 0
ASKED = types.Budget(cap=8, thinking=4, solution=3, close='</think>')


def thought(*ids, ended=False):
  """A sample of the first part, with log-probabilities."""
  reason = 'stop' if ended else 'length'
  return builders.make_sample(response=ids, finish_reason=reason)


@pytest.mark.parametrize(
  ('ids', 'ended', 'after', 'room'),
  [
    # Cut in the thought: its end is forced, and the solution has its budget.
    ((5, 5, 5, 5), False, (5, 5, 5, 5, CLOSE), 3),
    # Closed with two tokens of the solution: one is left.
    ((5, CLOSE, 6, 6), False, (5, CLOSE, 6, 6), 1),
    # Closed at once: the three tokens after it are all that a solution has.
    ((CLOSE, 6, 6, 6), False, (CLOSE, 6, 6, 6), 0),
    # Closed by the last token.
    ((5, 5, 5, CLOSE), False, (5, 5, 5, CLOSE), 3),
    # Ended by the policy, with and without a solution.
    ((5, CLOSE, 6, EOS), True, (5, CLOSE, 6, EOS), 0),
    ((5, EOS), True, (5, EOS), 0),
  ],
)
def test_a_response_at_the_end_of_its_thinking_budget(ids, ended, after, room):
  found, left = forcing.settle(thought(*ids, ended=ended), ASKED, CLOSE)
  assert (tuple(found.response_ids), left) == (after, room)
  assert found.chosen == len(ids)


def test_a_solution_that_is_too_long_is_cut():
  asked = dataclasses.replace(ASKED, solution=1)
  found, left = forcing.settle(
    thought(5, CLOSE, 6, EOS, ended=True), asked, CLOSE
  )
  assert (found.response_ids.tolist(), left) == ([5, CLOSE, 6], 0)
  assert found.finish_reason == 'length'
  assert found.spans == ((0, 0, 3),)
  assert found.sampler_logp.size == 3


def test_a_forced_token_is_marked_and_has_no_log_probability():
  begun, _ = forcing.settle(thought(5, 5, 5, 5), ASKED, CLOSE)
  whole = forcing.join(begun, thought(6, EOS, ended=True))
  assert whole.response_ids.tolist() == [5, 5, 5, 5, CLOSE, 6, EOS]
  assert whole.forced.tolist() == [False] * 4 + [True] + [False] * 2
  np.testing.assert_array_equal(
    whole.sampler_logp, [-1] * 4 + [np.nan] + [-1] * 2
  )
  assert (whole.finish_reason, whole.chosen) == ('stop', 6)
  assert whole.spans == ((0, 0, 7),)


def test_a_forced_first_token_is_in_the_response_and_is_trained_on():
  sampled = builders.make_sample((1, 2, CLOSE), (6, EOS))
  found = forcing.with_first(sampled)
  assert found.prompt_ids.tolist() == [1, 2]
  assert found.response_ids.tolist() == [CLOSE, 6, EOS]
  assert (found.chosen, found.spans) == (3, ((0, 0, 3),))
  np.testing.assert_array_equal(found.sampler_logp, [np.nan, -1, -1])
  rows, _ = packing.pack(
    [found], np.float32([0.5]), np.float32([1]), builders.fit(8, 1)
  )
  assert rows.mask[0, 0].tolist() == [0, 0.5, 0.5, 0.5, 0, 0, 0, 0]


def test_a_forced_first_token_may_begin_a_thought_with_a_budget():
  """The first token counts in the thought: three more, then its end."""
  engine = Engine()
  task = types.Task(
    *([], {}, None, None, (EOS,), 9, {}), ids_of=lambda words: [CLOSE]
  )
  asked = dataclasses.replace(ASKED, first='so')
  prompt = types.Prompt('p0', np.int32([1, 2, 7]), samples=1, cap=3)
  given = engines.SamplingParams(1, 8, 1.0, 1.0, 0, (4, 0, 7))
  ((found,),) = forcing.sample(
    engine, task, [prompt], {'p0': [asked]}, given, print
  )
  assert found.prompt_ids.tolist() == [1, 2]
  assert found.response_ids.tolist() == [7, 5, 5, 5, CLOSE, 6, EOS]
  assert np.flatnonzero(found.forced).tolist() == [4]


class Engine:
  """Thinks for ever, then solves in two tokens; notes what it is asked."""

  def __init__(self):
    self.asked = []

  def sample(self, prompts, sampling, progress):
    self.asked.append((prompts, sampling.seeds))
    for prompt in prompts:
      solves = CLOSE in prompt.ids
      ids = [6, EOS] if solves else [5] * prompt.cap
      yield [
        builders.make_sample(
          prompt.ids,
          ids,
          problem_id=prompt.problem_id,
          index=prompt.first + i,
          finish_reason='stop' if solves else 'length',
        )
        for i in range(prompt.samples)
      ]


def test_a_response_goes_on_from_the_forced_token_with_draws_of_its_own():
  engine = Engine()
  task = types.Task(
    *([], {}, None, None, (EOS,), 9, {}), ids_of=lambda words: [CLOSE]
  )
  prompt = types.Prompt('p0', np.int32([1, 2]), samples=3, cap=ASKED.thinking)
  asked = engines.SamplingParams(3, 8, 1.0, 1.0, 0, (4, 1, 7))
  plain = types.Budget(cap=4)
  parts = forcing.sample(
    engine, task, [prompt], {'p0': [ASKED, plain, ASKED]}, asked, print
  )
  found = {s.index: s for part in parts for s in part}
  assert found[1].response_ids.tolist() == [5] * 4
  assert found[1].forced is None
  for index in 0, 2:
    assert found[index].prompt_ids.tolist() == [1, 2]
    assert found[index].response_ids.tolist() == [5] * 4 + [CLOSE, 6, EOS]
    assert np.flatnonzero(found[index].forced).tolist() == [4]
  (_, first), (longer, second) = engine.asked
  assert [(p.first, p.samples, p.cap) for p in longer] == [(0, 1, 3), (2, 1, 3)]
  assert [p.ids.tolist() for p in longer] == [[1, 2, 5, 5, 5, 5, CLOSE]] * 2
  purposes = [int(purpose) for purpose in engines.SeedPurpose]
  assert first == (4, 1, 7)
  assert (second[0], second[2]) == (4, 7)
  assert second[1] not in purposes


class Counting:
  """Counts on from the newest token of a prompt; the token 18 ends it."""

  def __init__(self):
    self.asked = []

  def sample(self, prompts, sampling, progress):
    self.asked.append((prompts, sampling.seeds))
    for prompt in prompts:
      first = int(prompt.ids[-1]) + 1
      ids = [*range(first, min(first + prompt.cap, 19))]
      yield [
        builders.make_sample(
          *(prompt.ids, ids),
          index=prompt.first + i,
          finish_reason='stop' if ids[-1] == 18 else 'length',
          sampler_logp=-np.float32(ids),
        )
        for i in range(prompt.samples)
      ]


def in_chunks(cap, first):
  """A response of Counting in chunks, and what the engine was asked."""
  engine, each = Counting(), types.Chunks(context=6, carried=4, head=1)
  asked = types.Budget(cap=cap, chunks=each)
  prompt = types.Prompt('p0', np.int32([1, first]), samples=1, cap=asked.row)
  given = engines.SamplingParams(1, cap, 1.0, 1.0, 0, (4, 1, 7))
  ((whole,),) = forcing.sample(
    engine, None, [prompt], {'p0': [asked]}, given, print
  )
  return whole, engine.asked


def test_each_chunk_goes_on_from_the_start_and_the_newest_tokens():
  whole, asked = in_chunks(cap=11, first=2)
  assert whole.prompt_ids.tolist() == [1, 2]
  assert whole.response_ids.tolist() == [*range(3, 14)]
  assert whole.sampler_logp.tolist() == [-i for i in range(3, 14)]
  assert (whole.finish_reason, whole.spans) == ('length', ((0, 0, 11),))
  prompts = [prompt for (prompt,), _ in asked]
  # Chunks of 6, 2 and 2 tokens; the cap leaves 1 for the last one.
  assert [(p.ids.tolist(), p.cap) for p in prompts] == [
    ([1, 2], 6),
    ([1, 2, 3, 6, 7, 8], 2),
    ([1, 2, 3, 8, 9, 10], 2),
    ([1, 2, 3, 10, 11, 12], 1),
  ]
  assert len({seeds for _, seeds in asked}) == 4


def test_a_response_that_ends_or_meets_its_cap_has_no_further_chunk():
  ended, asked = in_chunks(cap=20, first=10)  # 11 to 16, then 17 and 18.
  assert ended.response_ids.tolist() == [*range(11, 19)]
  assert (ended.finish_reason, len(asked)) == ('stop', 2)
  for cap in 6, 4:
    cut, asked = in_chunks(cap=cap, first=2)
    assert (cut.response_ids.size, cut.forced, len(asked)) == (cap, None, 1)


def test_a_forced_token_is_neither_weighed_nor_counted():
  forced = np.array([False, True, False])
  sample = builders.make_sample((1, 2), (3, 4, 5), forced=forced)
  plain = builders.make_sample((1, 2), (3, 4, 5))
  assert (sample.chosen, plain.chosen) == (2, 3)
  rows, _ = packing.pack(
    [sample], np.float32([0.5]), np.float32([1]), builders.fit(8, 1)
  )
  assert rows.mask[0, 0].tolist() == [0, 0.5, 0, 0.5, 0, 0, 0, 0]
  assert rows.tokens[0, 0].tolist() == [1, 2, 3, 4, 5, 0, 0, 0]


def test_other_processes_get_the_forced_tokens():
  forced = np.array([False, True, False])
  samples = [builders.make_sample(forced=forced), builders.make_sample()]
  sent = distributed.encode_batch(samples, np.float32([1, 2]))
  read, _ = distributed.decode_batch(sent)
  assert [s.forced.tolist() for s in read] == [forced.tolist(), [False] * 3]
