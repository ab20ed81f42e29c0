"""Rewards of methods with modes, by hand and against their code as loops."""

import json
import math
import statistics

import builders
import numpy as np
import pytest

from siri_jax import types
from siri_jax.algorithm import advantages
from siri_jax.config import command_line, plan
from siri_jax.grading import text_rewards
from siri_jax.rollout import rewarded


def recipe(name):
  """The plan of a recipe at the paper's size."""
  return plan.make(command_line.load(f'recipes/{name}'))


def made_of(groups):
  """types.Groups of groups of (text, right, length)."""
  return [
    builders.make_group(
      builders.make_problem(number),
      [text for text, *_ in group],
      correct=[right for _, right, _ in group],
      lengths=[length for *_, length in group],
    )
    for number, group in enumerate(groups)
  ]


def of_recipe(made, groups):
  """The rewards of a recipe's plan: [N, G]."""
  groups = made_of(groups)
  batch = rewarded.make_batch(groups, made.highest)
  return rewarded.rewards(made, groups, batch, 0, {})[0]


def texts_of(groups):
  """A types.TextBatch of such groups."""
  made = made_of(groups)
  return rewarded.make_text_batch(made, rewarded.make_batch(made, 100), step=0)


def drawn(seed, *, starts, size, groups=4, longest=24_576):
  """Random groups whose responses begin with one of some texts."""
  rng = np.random.default_rng(seed)
  return [
    [
      (
        f'{starts[rng.integers(len(starts))]} so 7',
        bool(rng.random() < share),
        int(rng.integers(1, longest + 1)),
      )
      for _ in range(size)
    ]
    for share in rng.random(groups)
  ]


def test_thinkless_pays_most_for_a_right_answer_without_a_thought():
  group = [
    ('<short> 7', True, 9),
    ('<think> so </think> 7', True, 9),
    ('<short> 7', False, 9),
    ('<think> so </think> 7', False, 9),
    ('so </think> 7', True, 9),  # Neither word, so the answer does not count.
    ('<think> so </think> <short> 7', True, 9),  # The words of both.
    ('', False, 9),
    ('<think> so', False, 9),
  ]
  found = of_recipe(recipe('thinkless'), [group])
  assert found.tolist() == [[1, 0.5, -1, -1, -1, 1, -1, -1]]


def thinkless_in_loops(text, right):
  """The scores of RewardMathFn in Thinkless's math_reward.py."""
  if '<think>' not in text and '<short>' not in text:
    return -1.0  # format_error_reward
  if '<short>' in text:
    return 1.0 if right else -1.0
  return 0.5 if right else -1.0


@pytest.mark.parametrize('seed', range(3))
def test_thinkless_is_its_code_on_random_batches(seed):
  starts = ('<short>', '<think> a </think>', '', 'a <short>')
  groups = drawn(seed, starts=starts, size=8)
  found = of_recipe(recipe('thinkless'), groups)
  assert found.tolist() == [
    [thinkless_in_loops(text, right) for text, right, _ in group]
    for group in groups
  ]


def test_a_mode_without_a_word_is_refused():
  kw = dict(right=(1, 1), wrong=(0, 0), neither=0)
  with pytest.raises(ValueError, match="short='' and thought='b' are words"):
    text_rewards.score_by_mode(None, short='', thought='b', **kw)


def test_adactrl_by_hand():
  """Three of four are right, more than 0.625: the problem is easy.

  The longest response has 4,000 tokens; at 2,000 a half is left of the cosine,
  at 1,000 cos(pi / 4) of it: (1 + 0.7071) / 2 = 0.8536.
  """
  group = [
    ('[Easy] 7', True, 2000),  # 1 + 0.5 * 1 + 0.5 * 0.5.
    ('[Hard] 7', True, 1000),  # The other label: 1.
    ('[easy] 7', True, 1000),  # 1 + 0.5 + 0.5 * 0.8536.
    ('7', False, 4000),  # -1 and no label: -1 - 0.5.
  ] * 4
  found = 2 * of_recipe(recipe('adactrl'), [group]) - 1
  expected = [1.75, 1, 1.92678, -1.5] * 4
  np.testing.assert_allclose(found, [expected], atol=1e-5)


def test_adactrl_calls_a_problem_hard_up_to_its_threshold():
  # Ten of sixteen are 0.625: hard. Brief are still those that say easy.
  rights = [True] * 10 + [False] * 6
  group = [('[Hard] 7', right, 100) for right in rights]
  found = 2 * of_recipe(recipe('adactrl'), [group]) - 1
  assert found.tolist() == [[1.5] * 10 + [-0.5] * 6]


def adactrl_in_loops(group):
  """AdaCtrl's score, overlong penalty, length term and label, in its order."""
  mean = statistics.mean(right for _, right, _ in group)
  label = 'easy' if mean > 0.625 else 'hard'
  longest, found = max(length for *_, length in group), []
  for text, right, length in group:
    reward = 1.0 if right else -1.0
    reward += min(-(length - (24_576 - 4096)) / 4096 * 1.0, 0)
    start = text[:6]
    labelled = start[-1] == ']' and start[1:-1].lower() in ['easy', 'hard']
    if labelled and start[1:-1].lower() == 'easy' and right:
      reward += 0.5 * (1 - (1 - math.cos(length * math.pi / longest)) / 2)
    if not labelled:
      reward += 0.5 * -1.0
    elif start[1:-1].lower() == label:
      reward += 0.5 * 1.0
    found.append(reward)
  return found


@pytest.mark.parametrize('seed', range(3))
def test_adactrl_is_its_code_on_random_batches(seed):
  starts = ('[Easy]', '[Hard]', 'so [Easy]')
  groups = drawn(seed, starts=starts, size=16)
  found = 2 * of_recipe(recipe('adactrl'), groups) - 1
  expected = [adactrl_in_loops(group) for group in groups]
  np.testing.assert_allclose(found, expected, atol=2e-6)


THINK = dict(close='</think>', bonus=0.05)
HALF = [
  ('</think> 7', True, 5),
  ('</think> 6', False, 5),
  ('so </think> 7', True, 50),
  ('so </think> 6', False, 50),
]


def test_adaptthink_by_hand(tmp_path):
  """A reference accuracy of 3/4: right is 1/4 more, wrong 3/4 less."""
  table = tmp_path / 'reference.jsonl'
  table.write_text('{"problem_id": "p0", "accuracy": 0.75, "samples": 16}\n')
  batch = texts_of([HALF])
  found = text_rewards.against_table(batch, table=str(table), **THINK)
  assert found == pytest.approx([0.3, -0.7, 0.25, -0.75])


def test_adaptthinks_advantage_is_its_reward():
  rewards = np.float32([[0.3, -0.7, 0.25], [0.05, 0.05, 0.05]])
  np.testing.assert_array_equal(advantages.unchanged(rewards), rewards)


@pytest.mark.parametrize('seed', range(3))
def test_adaptthink_is_its_code_on_random_batches(seed, tmp_path):
  groups = drawn(seed, starts=('</think>', 'Alright'), size=16)
  reference = np.random.default_rng(seed).random(len(groups)).tolist()
  table = tmp_path / 'reference.jsonl'
  rows = [
    {'problem_id': f'p{number}', 'accuracy': accuracy}
    for number, accuracy in enumerate(reference)
  ]
  table.write_text('\n'.join(map(json.dumps, rows)))
  found = text_rewards.against_table(
    texts_of(groups), table=str(table), **THINK
  )
  expected = []  # As in AdaptThinkRewardManager.__call__.
  for group, ref_mean_acc_thinking in zip(groups, reference, strict=True):
    for text, acc, _ in group:
      if text.startswith('</think>'):
        expected.append(acc - ref_mean_acc_thinking + 0.05)
      else:
        expected.append(acc - ref_mean_acc_thinking)
  assert found == pytest.approx(expected)


def test_the_first_monitor_pass_is_the_reference_for_the_whole_run():
  first = texts_of([HALF, [('7', True, 5)] * 4])
  batch = texts_of([HALF])
  found, memory = text_rewards.against_start(batch, {}, first, **THINK)
  assert found == pytest.approx([0.55, -0.45, 0.5, -0.5])
  assert memory == {'p0': 0.5, 'p1': 1.0, '': True}
  # A later pass measures another policy.
  later = texts_of([[('7', True, 5)] * 4])
  for monitored in later, None:
    again, more = text_rewards.against_start(batch, memory, monitored, **THINK)
    assert (again, more) == (found, {})


def test_a_problem_without_a_reference_is_named_with_what_gives_it(tmp_path):
  batch = texts_of([HALF, HALF])
  for table in tmp_path / 'none', tmp_path / 'bad':
    with pytest.raises(ValueError, match='`siri-jax presample` with this run'):
      text_rewards.against_table(batch, table=str(table), **THINK)
    (tmp_path / 'bad').write_text('7')
  one = texts_of([HALF])
  with pytest.raises(ValueError, match="'p1' is not in the first monitor pass"):
    text_rewards.against_start(batch, {}, one, **THINK)


def test_a_label_is_not_empty():
  batch = builders.make_batch([3], [True], cap=9)
  texts = types.TextBatch(
    step=0, problems=[], completions=['7'], response_ids=[], arrays=batch
  )
  with pytest.raises(ValueError, match='is no label'):
    text_rewards.brief_if_easy(texts, easy='')
