"""The text rewards by hand."""

import math
import statistics
import types as std

import builders
import numpy as np
import pytest

from siri_jax.grading import text_rewards
from siri_jax.rollout import rewarded


def says(*texts):
  """The part of a types.TextBatch that these rewards read."""
  return std.SimpleNamespace(completions=texts)


def test_a_thought_that_is_closed_once_before_an_answer_has_the_format():
  batch = says(
    'so 2</think> \\boxed{2}',
    'so \\boxed{2}',  # Never closed.
    'so 2</think> 2',  # No box.
    '\\boxed{2}</think> 2',  # The box is in the thought.
    'so</think> no</think> \\boxed{2}',  # Closed twice.
    'so 2</think> ',  # Cut after the thought.
  )
  found = text_rewards.think_format(batch, close='</think>', answer='\\boxed{')
  assert found == [1, 0, 0, 0, 0, 0]


def test_without_a_mark_any_text_is_an_answer():
  batch = says('6 2 </think> 1', '6 2 </think>', '6 2')
  found = text_rewards.think_format(batch, close='</think>', answer='')
  assert found == [1, 0, 0]


def test_a_format_without_an_end_of_thought_is_refused():
  with pytest.raises(ValueError, match="write '</think>'"):
    text_rewards.think_format(says('a'), close='', answer='')


def test_a_repetition_costs_the_share_of_ngrams_that_came_before():
  # 'a b', 'b a', 'a b' again: two of three are new.
  batch = says('a b a b', 'A a a a a', 'a b c', 'a', '')
  found = text_rewards.repetition_penalty(batch, size=2)
  assert found == pytest.approx([2 / 3 - 1, 1 / 4 - 1, 0, 0, 0])


def test_an_ngram_has_a_word_or_more():
  with pytest.raises(ValueError, match='size=0 is below 1 word'):
    text_rewards.repetition_penalty(says('a'), size=0)


def test_the_repetition_penalty_is_that_of_open_r1():
  def reference(text, size, max_penalty=-1.0):
    if text == '' or len(text.split()) < size:
      return 0.0
    seen, total = set(), 0
    words = text.lower().split()
    for i in range(len(words) - size + 1):
      seen.add(tuple(words[i : i + size]))
      total += 1
    return (1 - len(seen) / total) * max_penalty

  texts = ['wait ' * 30, 'the sum of the sum of the sum', 'once only here now']
  found = text_rewards.repetition_penalty(says(*texts), size=3)
  assert found == pytest.approx([reference(text, 3) for text in texts])


def hapo(lengths, correct, memory):
  group = builders.make_group(
    builders.make_problem(),
    [''] * len(lengths),
    correct=correct,
    lengths=lengths,
  )
  arrays = rewarded.make_batch([group], cap=100)
  batch = rewarded.make_text_batch([group], arrays, step=0)
  return text_rewards.against_shortest(batch, memory, floor=-0.7)


def test_hapo_rewards_a_right_answer_that_is_shorter_than_all_before():
  """cos(pi / 2 * 1 / 2) = 0.7071, at h 0, beyond 2 h -1 but right -0.7."""
  lengths, correct = [4, 8, 16, 4, 12], [True, True, True, False, False]
  found, memory = hapo(lengths, correct, {'p0': 8})
  expected = [2**-0.5, 0, -0.7, 0, -(2**-0.5)]
  assert found == pytest.approx(expected, abs=1e-6)
  assert memory == {'p0': 4}


def test_hapo_has_no_length_reward_before_the_first_right_answer():
  found, memory = hapo([4, 8], [False, False], {})
  assert (found, memory) == ([0, 0], {})
  # The step's own right answers count from the next step on.
  found, memory = hapo([9, 7], [True, True], {})
  assert (found, memory) == ([0, 0], {'p0': 7})
  assert hapo([30], [True], memory)[1] == {'p0': 7}


def laser_batch(groups):
  """A types.TextBatch of groups of (length, right)."""
  made = [
    builders.make_group(
      builders.make_problem(number),
      ['1'] * len(group),
      correct=[right for _, right in group],
      lengths=[length for length, _ in group],
    )
    for number, group in enumerate(groups)
  ]
  arrays = rewarded.make_batch(made, cap=100)
  return rewarded.make_text_batch(made, arrays, step=0)


LASER = dict(lowest=4, highest=16, interval=4, bonus=0.5)
EASY = [(4, True), (4, True), (9, True)]
EVEN = [(7, True), (20, True), (20, False)]
HARD = [(3, False), (15, False), (9, True)]


def test_laser_d_sets_a_target_for_each_level_by_a_monitor_pass():
  """With groups of 3, a high level has 2 expected right, the others 1.

  High: 2 of 3 are within 4 tokens, 2 * 2 / 3 >= 1. Medium: all must be within
  the target, but two have 20 tokens. Low: all are within 16.
  """
  monitored = laser_batch([EASY, EVEN, HARD])
  batch = laser_batch([EVEN, EVEN])
  _, memory = text_rewards.laser_d(batch, {}, monitored, **LASER)
  assert memory == {'': {'high': 4, 'medium': None, 'low': 16}}


def test_laser_d_pays_right_answers_within_the_target_of_their_group():
  targets = {'': {'high': 4, 'medium': None, 'low': 8}}
  all_right = [(4, True), (5, True), (4, True)]
  # Two thirds are high in a batch; without a target the longest counts.
  third = [(19, True), (4, False), (4, False)]
  none = [(4, False), (4, False), (4, False)]
  batch = laser_batch([all_right, third, none])
  found, memory = text_rewards.laser_d(batch, targets, None, **LASER)
  assert found == [0.5, 0, 0.5, 0.5, 0, 0, 0, 0, 0]
  assert memory == targets


def test_laser_de_pays_long_wrong_answers_that_do_not_repeat_themselves():
  targets = {'': {'high': 4, 'medium': 8, 'low': 8}}
  batch = laser_batch([[(9, False), (12, False), (4, True)]])
  batch.response_ids[1][:] = [1, 2, 3] * 4
  found, _ = text_rewards.laser_de(batch, targets, None, **LASER)
  assert found == [0.5, 0, 0.5]
  # Without an answer there is nothing to pay for.
  batch.arrays.answered[0] = False
  found, _ = text_rewards.laser_de(batch, targets, None, **LASER)
  assert found == [0, 0, 0.5]


@pytest.mark.parametrize(
  ('ids', 'repeats'),
  [
    ([1, 2] * 4, False),  # Too short to tell.
    (range(40), False),
    ([1, 2, *range(10, 17), 1, 2], False),  # 9 apart, a third is 3.
    ([*range(10, 25), 1, 2, 3, 1, 2], True),  # Under 30: bigrams, 3 apart.
    ([7] * 9, True),  # Of one token: bigrams count.
    ([7] * 40, True),  # Only the longer n-gram, six sevens, comes again.
    ([*range(30), 7, 7, 7, 7], False),
    ([*range(60), *range(70, 75), 1, *range(70, 75)], True),
  ],
)
def test_laser_de_tells_repetition_by_near_n_grams(ids, repeats):
  batch = laser_batch([[(len(list(ids)), False), (1, True), (1, True)]])
  batch.response_ids[0][:] = list(ids)
  targets = {'': {'high': 1, 'medium': 1, 'low': 1}}
  found, _ = text_rewards.laser_de(batch, targets, None, **LASER)
  assert found[0] == (0 if repeats else 0.5)


STAGES = dict(
  starts=(0, 10, 20),
  balance=(0.5, 1.0, 1.0),
  alpha=(0.0, 0.0, 0.05),
  beta=(0.0, 0.0, 0.05),
)


def autothink(groups, *, step):
  """Its rewards; a sample is (right, without a thought, length)."""
  made = [
    builders.make_group(
      builders.make_problem(number),
      ['</think> 1' if empty else 'so </think> 1' for _, empty, _ in group],
      correct=[right for right, _, _ in group],
      lengths=[length for _, _, length in group],
    )
    for number, group in enumerate(groups)
  ]
  batch = rewarded.make_text_batch(made, rewarded.make_batch(made, 100), step)
  return text_rewards.thought_or_none(batch, close='</think>', **STAGES)


def test_autothink_pays_for_right_answers_without_a_thought():
  group = [
    (True, False, 9),
    (False, False, 9),
    (True, True, 9),
    (False, True, 9),
  ]
  for step in 0, 10, 19:
    assert autothink([group], step=step) == [1, 0, 2, -1]


def test_autothink_pulls_the_mode_of_most_responses_down_in_its_first_stage():
  # Three of four have a thought: k = 2 (3/4 - 1/2) = 1/2.
  most = [
    (True, False, 9),
    (True, False, 9),
    (False, False, 9),
    (True, True, 9),
  ]
  assert autothink([most], step=9) == [0.5, 0.5, -0.5, 2]
  assert autothink([most], step=10) == [1, 1, 0, 2]
  # All without: k = 1, so that only the targets are left.
  none = [(True, True, 9), (False, True, 9)]
  assert autothink([none], step=0) == [1, -2]


def test_autothink_weighs_lengths_in_its_last_stage():
  # Lengths of 10 and 20 are 1/sqrt(2) deviations off their mean.
  group = [(True, False, 10), (True, False, 20), (False, False, 10)]
  z = 0.5**0.5
  assert autothink([group], step=20) == pytest.approx(
    [math.exp(0.05 * z), math.exp(-0.05 * z), 0]
  )


def autothink_in_loops(groups, *, step):
  """The same, written from _reweight_rewards of AutoThink's main_ppo.py."""
  stage = sum(step >= start for start in STAGES['starts']) - 1
  total = [sample for group in groups for sample in group]
  rewards = []
  for group in groups:
    for right, empty, length in group:
      base = (2 if right else -1) if empty else (1 if right else 0)
      same = [n for r, _, n in group if r == right]
      if len(same) > 1:
        z = (length - statistics.mean(same)) / max(statistics.stdev(same), 1e-6)
        weight = STAGES['alpha' if right else 'beta'][stage]
        bonus = math.exp(-weight * z) - 1
        base += bonus if right else -bonus
      share = sum(e == empty for _, e, _ in total) / len(total)
      k = min(1, max(0, 2 * (share - STAGES['balance'][stage])))
      target = (1 if right else -2) if empty else (0 if right else -1)
      rewards.append((1 - k) * base + k * target)
  return rewards


@pytest.mark.parametrize('step', [0, 12, 25])
def test_autothink_is_its_code_on_random_batches(step):
  rng = np.random.default_rng(step)
  groups = [
    [
      (
        bool(rng.random() < 0.5),
        bool(rng.random() < 0.3),
        int(rng.integers(1, 99)),
      )
      for _ in range(8)
    ]
    for _ in range(6)
  ]
  found = autothink(groups, step=step)
  assert found == pytest.approx(autothink_in_loops(groups, step=step))


def test_autothink_refuses_stages_that_do_not_fit():
  kw = dict(STAGES, starts=(5, 10, 20))
  with pytest.raises(ValueError, match='from 0 on'):
    text_rewards.thought_or_none(says('a'), close='</think>', **kw)
