"""Audits of responses to the built-in task, by hand."""

import math

import numpy as np
import pytest

from siri_jax.data.arithmetic_audit import (
  CHECK,
  Audit,
  Step,
  audit,
  roles,
  shares,
)
from siri_jax.data.arithmetic_words import ID

PROMPT = '4 #1 2 0 #2 3 7 #3 2 4 #4 2 5 #5 3 6 #6 0 7 nil nil nil <think>'
CAREFUL = (
  '#1 2 0 6 #2 3 7 0 wait 9 0 9 #3 2 4 1 wait 1 0 1 #4 2 5 4 wait 3 1 4 '
  '#5 3 6 7 wait 7 0 7 #6 0 7 7 wait 7 1 8 </think> 8 <eos>'
)
FULL_PROMPT = '1 #1 2 5 #2 1 7 #3 2 6 #4 1 2 #5 0 4 #6 0 4 #7 0 4 <think>'
NEEDLESS = (
  '#1 2 5 4 #2 1 7 5 #3 2 6 7 wait 7 0 7 wait 7 0 7 #4 1 2 8 '
  '#5 0 4 8 wait 8 0 8 wait 8 0 8 #6 0 4 9 wait 8 0 8 #7 0 4 8 '
  '</think> 8 <eos>'
)


def ids_of(text):
  return np.array([ID[word] for word in text.split()])


def read(prompt, response):
  return audit(ids_of(prompt), ids_of(response))


def step(hard, first_right, checks=0, checks_right=None, copied=True):
  right = checks if checks_right is None else checks_right
  return Step(copied, hard, first_right, checks, right)


def test_checks_of_hard_steps_put_two_of_five_guesses_right():
  assert read(PROMPT, CAREFUL) == Audit(
    well_formed=True,
    steps=(
      step(hard=False, first_right=True),
      step(hard=True, first_right=False, checks=1),
      step(hard=True, first_right=True, checks=1),
      step(hard=True, first_right=True, checks=1),
      step(hard=True, first_right=True, checks=1),
      step(hard=True, first_right=False, checks=1),
    ),
  )


def test_an_unnoticed_error_carries_over_to_later_steps():
  assert read(FULL_PROMPT, NEEDLESS) == Audit(
    well_formed=True,
    steps=(
      step(hard=True, first_right=True),
      step(hard=True, first_right=False),
      step(hard=True, first_right=True, checks=2),
      step(hard=False, first_right=True),
      step(hard=True, first_right=True, checks=2),
      step(hard=True, first_right=False, checks=1),
      step(hard=True, first_right=True),
    ),
  )


def test_operands_that_differ_from_the_prompt_are_not_copied():
  # 4 + 3 = 7 with y = 0 follows from the response's own operands.
  (first, *_) = read(PROMPT, CAREFUL.replace('#1 2 0 6', '#1 3 0 7')).steps
  assert first == step(hard=False, first_right=True, copied=False)


def test_a_check_with_one_wrong_digit_is_wrong():
  wrong = read(PROMPT, CAREFUL.replace('wait 9 0 9', 'wait 8 0 9'))
  assert wrong.steps[1].checks_right == 0
  assert wrong.steps[2:] == read(PROMPT, CAREFUL).steps[2:]


@pytest.mark.parametrize(
  ('before', 'after', 'steps'),
  [
    ('</think> 8 <eos>', '', 6),
    ('</think> 8 <eos>', '</think> 8', 6),
    ('</think> 8 <eos>', '</think> 7 <eos>', 6),
    ('</think> 8 <eos>', '</think> 8 <eos> 8', 6),
    ('#6 0 7 7 wait 7 1 8 ', '', 5),
    ('#6 0 7', '#5 0 7', 5),
    ('#2 3 7', '#2 4 7', 1),
    ('#2 3 7', '#2 3 8', 1),
    ('#2 3 7', '#2 3 wait', 1),
    ('#1 2 0 6', '', 0),
  ],
  ids=[
    'cut before the end',
    'cut before <eos>',
    'another state than the last',
    'words after <eos>',
    'a step left out at the end',
    'a step counted twice',
    'no x of 4',
    'no y of 8',
    'a word for an operand',
    'the first step left out',
  ],
)
def test_a_wrong_token_ends_the_audit(before, after, steps):
  seen = read(PROMPT, CAREFUL.replace(before, after))
  assert not seen.well_formed
  assert seen.steps == read(PROMPT, CAREFUL).steps[:steps]


def test_a_check_that_is_cut_short_is_not_counted():
  whole = read(PROMPT, CAREFUL).steps
  cut = read(PROMPT, CAREFUL.replace('wait 1 0 1 #4', 'wait 1 0 #4'))
  assert cut.steps == (*whole[:2], step(hard=True, first_right=True))


def test_a_problem_of_ten_steps_is_read_to_its_end():
  prompt = '0 ' + ' '.join(f'#{i} 1 0' for i in range(1, 11)) + ' <think>'
  steps = ' '.join(f'#{i} 1 0 {i % 10}' for i in range(1, 11))
  seen = read(prompt, f'{steps} </think> 0 <eos>')
  assert seen == Audit(True, (step(hard=False, first_right=True),) * 10)
  assert roles(ids_of('#10 1 0 0')).tolist() == [0, 10, 10, 0]


def test_an_eighth_step_is_out_of_place():
  more = NEEDLESS.replace('</think>', '#7 0 4 8 </think>')
  seen = read(FULL_PROMPT, more)
  assert not seen.well_formed
  assert len(seen.steps) == 7


def test_shares_by_hand():
  seen = shares([read(PROMPT, CAREFUL), read(FULL_PROMPT, NEEDLESS[:-6])])
  assert seen['well_formed'] == 1 / 2
  assert seen['copied_1'] == seen['copied_7'] == 1.0
  assert seen['first_right_hard'] == 7 / 11
  assert seen['first_right_easy'] == 1.0
  assert seen['checks_hard'] == 10 / 11
  assert seen['checks_easy'] == 0.0
  assert seen['checks_right'] == 1.0


def test_shares_without_data_are_nan():
  seen = shares([read(PROMPT, '#1 2 0 6')])
  assert seen['copied_1'] == 1.0
  assert 'copied_2' not in seen
  for name in ('first_right_hard', 'checks_hard', 'checks_right'):
    assert math.isnan(seen[name]), name


def test_roles_name_operands_and_the_digits_of_first_checks():
  text = '#3 2 4 1 wait 1 0 1 wait 1 0 1 #4 2 5 4 wait 3 1 4 </think> 4 <eos>'
  first = [0, 3, 3, 0, 0, CHECK, CHECK, CHECK, 0, 0, 0, 0]
  second = [0, 4, 4, 0, 0, CHECK, CHECK, CHECK, 0, 0, 0]
  assert roles(ids_of(text)).tolist() == first + second


def test_roles_of_rows_are_those_of_each_row():
  rows = np.stack([ids_of('#1 2 0 6 wait 6'), ids_of('0 6 #2 3 7 0')])
  assert roles(rows).tolist() == [roles(row).tolist() for row in rows]
