"""Collection of a step's groups, from a list of rounds."""

import pytest

from siri_jax import types
from siri_jax.grading.verdict import Verdict
from siri_jax.rollout import collect


def group(name, *verdicts):
  problem = types.Problem(name, 'text', '1', 'made')
  return types.Group(problem, [], [Verdict(v, '', '') for v in verdicts], [])


def rounds(*given):
  """A gather that returns these rounds, and the list of its calls."""
  asked = []

  def gather(number):
    asked.append(number)
    return given[number]

  return gather, asked


def names(groups):
  return [g.problem.id for g in groups]


def test_once_takes_the_steps_own_problems():
  own = [group('a', 1, 1), group('b', 0, 0)]
  gather, asked = rounds(own)
  assert collect.once(gather) == own
  assert asked == [0]


def test_dynamic_samples_on_until_every_group_is_mixed():
  gather, asked = rounds(
    [group('a', 1, 1), group('b', 1, 0)],
    [group('c', 0, 0), group('d', 0, 1)],
    [group('e', 1, 0), group('f', 1, 0)],
  )
  assert names(collect.dynamic(gather, max_rounds=9)) == ['b', 'd']
  assert asked == [0, 1]


def test_dynamic_keeps_the_size_of_a_step_where_too_many_are_mixed():
  gather, _ = rounds(
    [group('a', 1, 1), group('b', 1, 0)],
    [group('c', 1, 0), group('d', 1, 0)],
  )
  assert names(collect.dynamic(gather, max_rounds=9)) == ['b', 'c']


def test_dynamic_fills_up_with_uniform_groups_after_its_last_round():
  gather, asked = rounds(
    [group('a', 1, 1), group('b', 0, 0)],
    [group('c', 0, 0), group('d', 0, 1)],
  )
  assert names(collect.dynamic(gather, max_rounds=2)) == ['d', 'a']
  assert asked == [0, 1]


def test_dynamic_ends_when_the_problems_run_out():
  gather, _ = rounds([group('a', 1, 1), group('b', 0, 1)], [], [])
  assert names(collect.dynamic(gather, max_rounds=3)) == ['b', 'a']


def test_no_rounds_are_refused():
  gather, asked = rounds()
  with pytest.raises(ValueError, match='max_rounds=0'):
    collect.dynamic(gather, max_rounds=0)
  assert asked == []
