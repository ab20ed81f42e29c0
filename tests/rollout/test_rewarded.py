"""The rewards of a step: arrays, text, memory, and faulty functions."""

import pathlib
import re
import types as std

import builders
import numpy as np
import pytest

from siri_jax.data import problems
from siri_jax.rollout import rewarded

ROOT = pathlib.Path(__file__).parents[2]


def reward_of(function, weight=1.0, remembers=False):
  return rewarded.TextReward(function.__name__, function, weight, remembers)


def two_groups():
  """Two problems, two responses each, with a column of their own."""
  easy = builders.make_problem(0, columns={'level': 1})
  hard = builders.make_problem(1, columns={'level': 5})
  return [
    builders.make_group(easy, ['0', 'zero'], correct=[1, 0], lengths=[3, 8]),
    builders.make_group(hard, ['1', ''], correct=[1, 0], lengths=[9, 2]),
  ]


def rewards(*text_rewards, groups=None, memory=None, step=4):
  """The rewards of `groups`, where an answer is worth 1."""
  groups = groups or two_groups()
  plan = std.SimpleNamespace(
    find={'reward': lambda batch: np.float32(batch.correct)},
    text_rewards=text_rewards,
    c=std.SimpleNamespace(reward='my_lab:right', group_size=2),
  )
  batch = rewarded.make_batch(groups, cap=8)
  return rewarded.rewards(plan, groups, batch, step, memory or {})


# The input of reward functions.


def test_a_batch_lists_all_samples_group_by_group():
  batch = rewarded.make_batch(two_groups(), cap=8)
  np.testing.assert_array_equal(batch.group, [0, 0, 1, 1])
  np.testing.assert_array_equal(batch.length, [3, 8, 9, 2])
  np.testing.assert_array_equal(batch.correct, [True, False, True, False])
  np.testing.assert_array_equal(batch.answered, [True, True, True, False])
  assert batch.cap == 8
  assert {x.dtype for x in (batch.group, batch.length)} == {np.dtype('int32')}


def test_a_sample_beyond_the_cap_counts_as_truncated_however_it_ended():
  batch = rewarded.make_batch(two_groups(), cap=8)
  np.testing.assert_array_equal(batch.truncated, [False, False, True, False])
  cut = builders.make_group(
    builders.make_problem(), ['a'], finish_reason='length'
  )
  assert rewarded.make_batch([cut], cap=8).truncated.tolist() == [True]


def test_a_text_reward_sees_text_tokens_problems_and_arrays():
  seen = []

  def look(batch):
    seen.append(batch)
    return [0.0] * 4

  rewards(reward_of(look))
  (batch,) = seen
  assert batch.step == 4
  assert batch.completions == ['0', 'zero', '1', '']
  assert [p.answer for p in batch.problems] == ['0', '0', '1', '1']
  assert [p.columns['level'] for p in batch.problems] == [1, 1, 5, 5]
  assert [ids.size for ids in batch.response_ids] == [3, 8, 9, 2]
  assert batch.arrays.group.tolist() == [0, 0, 1, 1]


def test_further_keys_of_a_problem_file_are_columns(tmp_path):
  path = tmp_path / 'train.jsonl'
  line = '{"id": "%s", "problem": "1+1?", "answer": "2", "source": ""%s}\n'
  path.write_text(line % ('a', '') + line % ('b', ', "level": 5'))
  plain, levelled = problems.read(path)
  assert (plain.columns, levelled.columns) == ({}, {'level': 5})
  # They are contents of the file, on which a reward may depend.
  path.write_text(line % ('a', '') + line % ('b', ', "level": 4'))
  assert problems.fingerprint([levelled]) != problems.fingerprint(
    problems.read(path)[1:]
  )


# The sum.


def test_without_text_rewards_the_rewards_are_those_of_the_arrays():
  total, parts, memory = rewards()
  assert total.tolist() == [[1, 0], [1, 0]]
  assert total.dtype == np.float32
  assert (parts, memory) == ({}, {})


def test_text_rewards_are_added_by_weight_and_reported_without_it():
  def short(batch):
    return [len(text) == 1 for text in batch.completions]

  def level(batch):
    return np.array([p.columns['level'] for p in batch.problems])

  total, parts, _ = rewards(reward_of(short, 0.5), reward_of(level, -0.25))
  assert total.tolist() == [[1.25, -0.25], [0.25, -1.25]]
  assert list(parts) == ['right', 'short', 'level']
  assert parts['right'].tolist() == [[1, 0], [1, 0]]
  assert parts['short'].tolist() == [[1, 0], [1, 0]]
  assert parts['level'].tolist() == [[1, 1], [5, 5]]


def test_a_weight_of_zero_reports_a_reward_and_changes_no_bit():
  def noise(batch):
    return [0.1, 0.7, -0.3, 9.9]

  total, parts, _ = rewards(reward_of(noise, weight=0.0))
  assert total.tobytes() == rewards()[0].tobytes()
  assert parts['noise'].mean() == pytest.approx(2.6)


def test_a_text_reward_can_compare_the_samples_of_a_group():
  def below_the_groups_mean(batch):
    group, length = batch.arrays.group, batch.arrays.length
    mean = np.bincount(group, length) / np.bincount(group)
    return length < mean[group]

  _, parts, _ = rewards(reward_of(below_the_groups_mean))
  assert parts['below_the_groups_mean'].tolist() == [[1, 0], [0, 1]]


# Memory.


def record(batch, memory):
  """1 for a response that is shorter than all right ones before."""
  best, found = {}, []
  for row, problem in enumerate(batch.problems):
    length, before = int(batch.arrays.length[row]), memory.get(problem.id)
    found.append(before is not None and length < before)
    if batch.arrays.correct[row]:
      known = best.get(problem.id, before)
      best[problem.id] = length if known is None else min(known, length)
  return found, best


def test_a_memory_begins_empty_and_is_updated_after_the_step():
  each = reward_of(record, remembers=True)
  _, parts, memory = rewards(each)
  assert parts['record'].tolist() == [[0, 0], [0, 0]]
  assert memory == {'record': {'p0': 3, 'p1': 9}}
  _, parts, later = rewards(each, memory={'record': {'p0': 9, 'p9': 1}})
  assert parts['record'].tolist() == [[1, 1], [0, 0]]
  # A problem that is not in the step keeps its value.
  assert later == {'record': {'p0': 3, 'p9': 1, 'p1': 9}}


def test_a_function_cannot_change_the_memory_that_it_is_given():
  def spoil(batch, memory):
    memory['p0'].append(1)
    return [0.0] * 4, {}

  before = {'spoil': {'p0': [7]}}
  _, _, after = rewards(reward_of(spoil, remembers=True), memory=before)
  assert before == after == {'spoil': {'p0': [7]}}


@pytest.mark.parametrize(
  ('memory', 'fault'),
  [
    ({'p7': 1}, "remembers 'p7', which is no problem of the step"),
    ({'p0': {1, 2}}, r"remembers \{1, 2\} of problem 'p0', not JSON"),
    ({'p1': 'x' * 999}, "remembers 1001 bytes of problem 'p1', over 1000"),
    ([1], r'returned \[1\] as its memory'),
  ],
)
def test_a_memory_is_small_json_of_the_steps_problems(memory, fault):
  def hoard(batch, before):
    return [0.0] * 4, memory

  with pytest.raises(rewarded.RewardError, match=f'hoard {fault}') as error:
    rewards(reward_of(hoard, remembers=True))
  assert 'a dict of JSON values by the ids of the problems' in str(error.value)


# Faulty functions.


@pytest.mark.parametrize(
  ('found', 'fault'),
  [
    ([1.0], r'returned rewards of shape \[1\]'),
    (1.0, r'returned rewards of shape \[\]'),
    ([[1.0]] * 4, r'returned rewards of shape \[4, 1\]'),
    (['a'] * 4, r"returned \['a', 'a', 'a', 'a'\]"),
    ([0, 0, float('nan'), 0], r"gave nan to sample 2 \(problem 'p1'\)"),
    ([0, -np.inf, 0, 0], r"gave -inf to sample 1 \(problem 'p0'\)"),
    ([0, 0, 0, None], r"gave nan to sample 3 \(problem 'p1'\)"),
  ],
)
def test_what_is_no_list_of_rewards_is_named(found, fault):
  def judge(batch):
    return found

  with pytest.raises(rewarded.RewardError, match=f'judge {fault}') as error:
    rewards(reward_of(judge))
  assert 'a list of 4 finite numbers, one for each sample' in str(error.value)


def test_an_exception_is_named_with_its_line_and_problem():
  def judge(batch):
    return [1 / (p.columns['level'] - 5) for p in batch.problems]

  with pytest.raises(rewarded.RewardError, match='ZeroDivisionError') as error:
    rewards(reward_of(judge))
  assert error.value.name == 'judge'
  assert re.search(
    r"test_rewarded\.py:\d+ .with problem 'p1'", str(error.value)
  )


def test_an_exception_that_no_group_raises_alone_says_so():
  def crowded(batch):
    if len(batch.problems) > 2:
      raise KeyError('crowd')
    return [0.0] * len(batch.problems)

  with pytest.raises(rewarded.RewardError, match='not with any problem alone'):
    rewards(reward_of(crowded))


def test_a_function_is_tried_out_with_two_problems_before_a_run():
  def needs_a_level(batch):
    return [p.columns['levle'] for p in batch.problems]

  task = std.SimpleNamespace(
    train=[builders.make_problem(n, columns={'level': n}) for n in range(9)],
    encode=lambda problem: [1, 2],
    eos_ids=(7, 8),
  )
  with pytest.raises(ValueError, match=r"'levle'.*with problem 'p0'"):
    rewarded.try_out((reward_of(needs_a_level),), task)
  seen = []

  def look(batch):
    seen.append((batch.completions, batch.arrays.truncated.tolist()))
    return [0.0] * 4

  rewarded.try_out((reward_of(look),), task)
  assert seen == [(['0', '', '1', ''], [False, True, False, True])]


# The examples of the documents.


def example(name):
  """A function of docs/plugins.md."""
  text = (ROOT / 'docs' / 'plugins.md').read_text()
  blocks = re.findall(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
  (code,) = [block for block in blocks if f'def {name}(' in block]
  space = {'compute_score': compute_score, 'brevity': brevity}
  exec(code, space)
  return space[name]


def compute_score(data_source, solution_str, ground_truth, extra_info):
  """A reward in verl's form."""
  assert data_source == 'made'
  return extra_info['level'] * (solution_str == ground_truth)


def brevity(completions, answer, **columns):
  """A reward in TRL's form."""
  assert columns['level'] == [1, 1, 5, 5]
  return [-len(c) for c in completions]


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('verl_score', [[1, 0], [5, 0]]),
    ('trl_reward', [[-1, -4], [-1, 0]]),
  ],
)
def test_a_reward_of_another_trainer_is_called_as_documented(name, expected):
  _, parts, _ = rewards(reward_of(example(name)))
  assert parts[name].tolist() == expected


def test_the_documented_memory_pays_the_first_solution_alone():
  each = reward_of(example('first_solved'), remembers=True)
  _, parts, memory = rewards(each, memory={'first_solved': {'p1': True}})
  assert parts['first_solved'].tolist() == [[1, 0], [0, 0]]
  assert memory == {'first_solved': {'p1': True, 'p0': True}}
