"""Rewards and advantages of published methods: by hand, and against loops.

The loops are written from the papers and the methods' code, sample by sample.
"""

import functools
import math

import builders
import numpy as np
import pytest

from siri_jax.algorithm import advantages, rewards

GROUPS, SIZE = 6, 5
SCORE = dict(right=1.0, wrong=-0.5, unanswered=-1.0)


def random_batch(seed):
  rng = np.random.default_rng(seed)
  length = rng.integers(1, 40, GROUPS * SIZE)
  length[:SIZE] = 7  # A group of equal lengths.
  correct = rng.random(GROUPS * SIZE) < 0.5
  correct[SIZE : 2 * SIZE] = False
  correct[2 * SIZE : 3 * SIZE] = np.arange(SIZE) == 1
  return builders.make_batch(
    length,
    correct,
    cap=32,
    group=np.repeat(np.arange(GROUPS, dtype=np.int32), SIZE),
    answered=correct | (rng.random(GROUPS * SIZE) < 0.5),
  )


def by_group(batch, reward):
  """A reward of (lengths, correct, answered, truncated) of each group."""
  found = []
  for group in range(GROUPS):
    own = batch.group == group
    found += reward(
      batch.length[own].tolist(),
      batch.correct[own].tolist(),
      batch.answered[own].tolist(),
      batch.truncated[own].tolist(),
    )
  return found


def kimi(lengths, correct, answered, truncated):
  least, most = min(lengths), max(lengths)
  found = []
  for length, right in zip(lengths, correct, strict=True):
    x = 0.5 - (length - least) / (most - least) if most > least else 0
    found.append(1 + 0.4 * x if right else 0.4 * min(0, x))
  return found


def arora(lengths, correct, answered, truncated):
  right = [c and not t for c, t in zip(correct, truncated, strict=True)]
  own = [n for n, r in zip(lengths, right, strict=True) if r]
  found = []
  for length, r in zip(lengths, right, strict=True):
    if not r:
      found.append(0.0)
      continue
    z = (length - np.mean(own)) / (np.std(own) + 1e-7)
    found.append(1 - 0.1 / (1 + math.exp(-z)))
  return found


def lead(lengths, correct, answered, truncated):
  own = [n for n, c in zip(lengths, correct, strict=True) if c]
  found = []
  deviation = np.std(own, ddof=1) if len(own) > 1 else 1.0
  for length, c, a in zip(lengths, correct, answered, strict=True):
    if not c:
      found.append(-1.0 if a else 0.0)
    elif sum(sorted(lengths)[:3]) / 3 <= 9:
      found.append(1.0)
    else:
      z = (length - np.mean(own)) / (deviation + 1e-6)
      found.append(math.exp(-0.05 * z))
  return found


def laser(lengths, correct, answered, truncated):
  found = []
  for length, c, a in zip(lengths, correct, answered, strict=True):
    score = 1.0 if c else -0.5 if a else -1.0
    found.append(score + 0.5 * (c and length <= 20))
  return found


def open_rs(lengths, correct, answered, truncated):
  found = []
  for length, c in zip(lengths, correct, strict=True):
    low, high = (0.5, 1.0) if c else (-0.5, -1.0)
    cosine = math.cos(math.pi * min(length, 32) / 32)
    found.append(low + 0.5 * (high - low) * (1 + cosine))
  return found


def dler(lengths, correct, answered, truncated):
  return [
    c * (0.25 if t else 1.0) for c, t in zip(correct, truncated, strict=True)
  ]


TWINS = {
  kimi: functools.partial(rewards.range_in_group, weight=0.4),
  arora: functools.partial(rewards.sigmoid_in_group, alpha=0.1),
  lead: functools.partial(
    rewards.decay_in_group,
    **dict(alpha=0.05, least=9.0, right=1.0, wrong=-1.0, unanswered=0.0),
  ),
  laser: functools.partial(rewards.length_bonus, target=20, bonus=0.5, **SCORE),
  open_rs: functools.partial(
    rewards.cosine_length, right=(1.0, 0.5), wrong=(-1.0, -0.5)
  ),
  dler: functools.partial(rewards.truncation_scaled, scale=0.25),
}


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('loop', TWINS, ids=lambda loop: loop.__name__)
def test_a_reward_is_the_loop_over_its_groups(loop, seed):
  batch = random_batch(seed)
  found = TWINS[loop](batch)
  np.testing.assert_allclose(found, by_group(batch, loop), rtol=1e-5, atol=1e-6)


# One group of lengths 4, 8, 12 under a cap of 16; the last is wrong.
BY_HAND = [
  (kimi, [1 + 0.4 * 0.5, 1.0, -0.4 * 0.5]),
  # Mean 6, deviation 2: z = -1 and 1.
  (arora, [1 - 0.1 * 0.268941, 1 - 0.1 * 0.731059, 0]),
  (laser, [1.5, 1.5, -0.5]),
  # cos(pi / 4) = 0.7071, cos(pi / 2) = 0, cos(3 pi / 4) = -0.7071.
  (open_rs, [0.926777, 0.75, -0.573223]),
  (dler, [1, 1, 0]),
]


@pytest.mark.parametrize(
  ('loop', 'expected'), BY_HAND, ids=[loop.__name__ for loop, _ in BY_HAND]
)
def test_a_reward_by_hand(loop, expected):
  answered = np.array([True, True, True])
  batch = builders.make_batch(
    [4, 8, 12], [True, True, False], cap=16, answered=answered
  )
  np.testing.assert_allclose(TWINS[loop](batch), expected, atol=1e-5)


def test_lead_decays_only_groups_of_long_responses():
  """Lengths 4, 8, 12 have a mean of 8; z of 4 and 8 is -0.707 and 0.707."""
  batch = builders.make_batch([4, 8, 12], [True, True, False], cap=16)
  reward = functools.partial(TWINS[lead].func, alpha=0.05, **SCORE)
  decayed = math.exp(0.05 * math.sqrt(0.5)), math.exp(-0.05 * math.sqrt(0.5))
  np.testing.assert_allclose(reward(batch, least=7.0)[:2], decayed, rtol=1e-5)
  assert reward(batch, least=8.0).tolist() == [1, 1, -1]


def test_a_reward_of_a_pair_needs_two_numbers():
  batch = builders.make_batch([3], [True], cap=10)
  with pytest.raises(ValueError, match=r'right=.* is not'):
    rewards.cosine_length(batch, right=(1.0,), wrong=(0.0, 0.0))
  for scale in (-0.1, 1.1):
    with pytest.raises(ValueError, match='is not from 0 to 1'):
      rewards.truncation_scaled(batch, scale=scale)
    with pytest.raises(ValueError, match='is not from 0 to 1'):
      rewards.sigmoid_in_group(batch, alpha=scale)


def scores(batch):
  return np.float32(batch.correct).reshape(GROUPS, SIZE)


@pytest.mark.parametrize('seed', range(4))
def test_mgpo_weighs_a_group_by_its_distance_from_even_odds(seed):
  batch = random_batch(seed)
  found = advantages.maxent_guided(scores(batch), batch, eps=1e-6, strength=2.0)
  plain = advantages.mean_std(scores(batch), eps=1e-6)
  for own, ours, theirs in zip(scores(batch), found, plain, strict=True):
    p = own.mean()
    distance = sum(x * math.log(x / 0.5) for x in (p, 1 - p) if x > 0)
    np.testing.assert_allclose(
      ours, theirs * math.exp(-2 * distance), rtol=1e-5
    )


def test_mgpo_by_hand():
  """D = 0 at p = 1/2; at 3/4 it is 3/4 log 1.5 + 1/4 log 0.5 = 0.130812."""
  for right, weight in (2, 1.0), (3, math.exp(-0.130812)):
    given = np.float32([np.arange(4) < right])
    batch = builders.make_batch([3] * 4, given[0] > 0, cap=10)
    found = advantages.maxent_guided(given, batch, eps=0.0, strength=1.0)
    plain = advantages.mean_std(given, eps=0.0)
    np.testing.assert_allclose(found, plain * weight, rtol=1e-5)


@pytest.mark.parametrize('seed', range(4))
def test_lead_weighs_right_answers_to_hard_problems(seed):
  batch = random_batch(seed)
  kw = dict(low=0.4, high=1.5, middle=0.75, steepness=10.0)
  found = advantages.difficulty_weighted(scores(batch), batch, eps=1e-6, **kw)
  plain = np.asarray(advantages.mean_std(scores(batch), eps=1e-6))
  for i, j in np.ndindex(plain.shape):
    p = scores(batch)[i].mean()
    x = p if plain[i, j] > 0 else 1 - p
    weight = 0.4 + 1.1 / (1 + math.exp(10 * (x - 0.75)))
    assert found[i, j] == pytest.approx(plain[i, j] * weight, rel=1e-5)


def test_oreal_averages_right_and_wrong_tokens_apart():
  """Its loss is policy gradient over each sign's own tokens, by two weights."""
  batch = random_batch(0)
  loo = np.asarray(advantages.leave_one_out(scores(batch))).ravel()
  found = np.asarray(
    advantages.sign_balanced(scores(batch), batch, right=1.0, wrong=0.5)
  ).ravel()
  length, right = batch.length, batch.correct
  slopes = np.random.default_rng(1).normal(size=length.size)  # Of a token.
  ours = np.sum(found * length * slopes) / length.sum()
  theirs = sum(
    weight * np.sum((loo * length * slopes)[own]) / length[own].sum()
    for weight, own in ((1.0, right), (0.5, ~right))
  )
  assert ours == pytest.approx(theirs, rel=1e-5)


def test_oreal_by_hand():
  """Two right tokens and six wrong ones: weights 8 / 2 and 0.5 * 8 / 6."""
  given = np.float32([[1, 0, 0]])
  batch = builders.make_batch([2, 1, 5], given[0] > 0, cap=10)
  found = advantages.sign_balanced(given, batch, right=1.0, wrong=0.5)
  np.testing.assert_allclose(found, [[4, -1 / 3, -1 / 3]], rtol=1e-6)
