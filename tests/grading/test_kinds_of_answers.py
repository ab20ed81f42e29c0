"""Answers of every kind: equal ones, and different ones that look similar."""

import answer_kinds
import pytest

from siri_jax.grading import compare, kinds, latex, rules, structure, units


def cases(table):
  return [
    pytest.param(gold, answer, id=f'{kind}: {gold} | {answer}')
    for kind, rows in table.items()
    for gold, *answers in rows
    for answer in answers
  ]


@pytest.mark.parametrize(('gold', 'answer'), cases(answer_kinds.SAME))
def test_equal_answers_are_right(gold, answer):
  verdict = rules.deepscaler(gold, answer, kind='answer', verify_kw={})
  assert verdict.correct, verdict


@pytest.mark.parametrize('rule', [rules.deepscaler, rules.math_verify])
@pytest.mark.parametrize(('gold', 'answer'), cases(answer_kinds.APART))
def test_different_answers_are_wrong(rule, gold, answer):
  verdict = rule(gold, answer, kind='answer', verify_kw={})
  assert not verdict.correct, verdict


def test_both_tables_have_every_kind():
  assert list(answer_kinds.SAME) == list(answer_kinds.APART)


@pytest.mark.parametrize(
  ('answer', 'time'),
  [
    ('7:55 p.m.', (7, 55, 0, 'p')),
    ('17:30', (17, 30, 0, '')),
    ('noon', (12, 0, 0, 'p')),
    ('2:3', None),
    ('12', None),
  ],
)
def test_a_time_of_day_is_read(answer, time):
  assert kinds.time(answer) == time


@pytest.mark.parametrize(
  ('answer', 'parts'),
  [
    ('5 \\text{ cm}^2', ('5', 'cm^2')),
    ('5 miles per hour', ('5', 'mph')),
    ('\\$5.50', ('5.50', 'dollar')),
    ('x = 5 m', ('x = 5', 'm')),
    ('10 apples', ('10', '')),
    ('10 or more', ('10 or more', '')),
    ('2x m', ('2x m', '')),
    ('5 - m', ('5 - m', '')),
  ],
)
def test_a_unit_is_removed_from_a_value(answer, parts):
  assert units.split(answer) == parts


@pytest.mark.parametrize(
  ('answer', 'items'),
  [
    ('1, 2 or 3', ('1', '2', '3')),
    ('1,234', ('1234',)),
    ('(1,2)(3,4)', ('(1,2)', '(3,4)')),
    ('(x+1)(x+2)', ('(x+1)(x+2)',)),
    ('x=\\pm 2', ('x=+2', 'x=-2')),
    ('(x, y) = (1, 2)', ('x = 1', 'y = 2')),
    ('x=1,y=2 or x=2,y=1', ('x=1,y=2', 'x=2,y=1')),
  ],
)
def test_a_list_is_split_into_items(answer, items):
  assert structure.items(answer) == items


def test_unreadable_answers_are_compared_as_text():
  for answer in ('\\star 5', '5 \\heartsuit', '\\clubsuit'):
    spelt = latex.spell(answer)
    assert compare.same(spelt, latex.spell(f'{answer} '), {})
    assert not compare.same('5', spelt, {})
    assert not compare.same(spelt, '5', {})
