"""The order of problems: a function of (seed, step)."""

import itertools

import launch
import pytest

from siri_jax import types
from siri_jax.data import shuffling


def _order(size=10, seed=3, prompts=4):
  made = [types.Problem(str(i), str(i), 'x', '') for i in range(size)]
  return shuffling.shuffled(made, seed=seed, prompts=prompts)


def _step(made, step):
  return [int(problem.id) for problem in shuffling.step_problems(made, step)]


def _extra(made, step, number):
  return [int(p.id) for p in shuffling.extra_problems(made, step, number)]


def test_a_step_does_not_depend_on_earlier_calls():
  in_turn = [_step(_order(), step) for step in range(7)]
  assert _step(_order(), 5) == in_turn[5]
  assert _step(_order(), 0) == in_turn[0]


def test_an_epoch_has_no_problem_twice_and_the_next_is_reshuffled():
  made = _order()
  epochs = [_step(made, 2 * e) + _step(made, 2 * e + 1) for e in range(20)]
  assert all(len(set(epoch)) == 8 for epoch in epochs)
  assert len({tuple(epoch) for epoch in epochs}) == 20
  assert set().union(*epochs) == set(range(10))


def test_another_seed_is_another_order():
  assert _step(_order(100, seed=3), 0) != _step(_order(100, seed=4), 0)


def test_the_order_does_not_change_between_versions():
  # A version of Grain with another shuffle would change every run's data.
  assert _step(_order(), 0) == [4, 6, 9, 7]
  assert _step(_order(), 1) == [5, 3, 1, 8]


@pytest.mark.slow
def test_another_process_has_the_same_problems():
  program = (
    'from siri_jax.data import shuffling as order;'
    'made = order.shuffled(range(50), seed=5, prompts=4);'
    'print(order.step_problems(made, 100), order.extra_problems(made, 7, 2))'
  )
  done = launch.python(program)
  made = _order(50, seed=5)
  assert done.stdout.strip() == f'{_step(made, 100)} {_extra(made, 7, 2)}'


def test_extra_problems_are_new_to_the_step_until_they_run_out():
  made = _order(10, prompts=4)
  had = [_step(made, 1), *(_extra(made, 1, number) for number in (1, 2, 3))]
  assert [len(part) for part in had] == [4, 4, 2, 0]
  assert sorted(itertools.chain(*had)) == list(range(10))


def test_extra_problems_are_a_function_of_step_and_seed():
  made, other = _order(100, seed=3), _order(100, seed=4)
  assert _extra(made, 1, 1) == _extra(made, 1, 1)
  assert _extra(made, 1, 1) != _extra(made, 2, 1)
  assert _extra(made, 1, 1) != _extra(other, 1, 1)


@pytest.mark.parametrize('prompts', [0, 11])
def test_more_prompts_a_step_than_problems_are_refused(prompts):
  with pytest.raises(ValueError, match=f'prompts_per_step={prompts}'):
    _order(10, prompts=prompts)
