"""Unwrapping of answers."""

import json

import pytest

from siri_jax.data.prepare import answers


@pytest.mark.parametrize(
  ('written', 'bare'),
  [
    (r'$\frac{2}{3}$', r'\frac{2}{3}'),
    ('$$7$$', '7'),
    (r'\( 8\pi \)', r'8\pi'),
    ('\\[\n\\boxed{(7, 11), (11, 7)}\n\\]', '(7, 11), (11, 7)'),
    (r'\boxed{\frac{(k^2 - 4)^2}{4k}}', r'\frac{(k^2 - 4)^2}{4k}'),
    (r'n=\boxed {1,3}', '1,3'),
    (r'\sqrt2\approx1+\frac12=\boxed{\frac{99}{70}}', r'\frac{99}{70}'),
    (r'$\boxed{ \frac{1}{667}} .$', r'\frac{1}{667}'),
    ('27.0', '27'),
    ('-134.00', '-134'),
    ('049', '49'),
    ('000', '0'),
    (' 17\n', '17'),
    ('["$x+1$"]', 'x+1'),
    ('["1", "2"]', '["1", "2"]'),
    ('["$1$", "one",2.0 ]', '["1", "one", "2"]'),
    ('[9, "nine"]', '["9", "nine"]'),
    ('["½", "0.5"]', '["½", "0.5"]'),
    ('["7", "$7$"]', '7'),
    (r'["\\frac{1}{2}", "\\boxed{0.5}"]', r'["\\frac{1}{2}", "0.5"]'),
    (r'\boxed{1} or \boxed{2}', '1 or 2'),
    (r'$\boxed{x=1}$ and $\boxed{x=-1}$.', '$x=1$ and $x=-1$.'),
    (r'\boxed{1}, \boxed{2}, \boxed{3}', '1, 2, 3'),
    (r'\boxed{1} \text{ or } \boxed{2}', r'1 \text{ or } 2'),
    (r'\boxed{5}, that is \boxed{5}', '5'),
    (r'\boxed{\boxed{4}}', '4'),
    ('Half of 48 is 24. 48+24 = 72.\n#### 72', '72'),
    ('(2).', '(2)'),
    (r'-\frac{5}{3}.', r'-\frac{5}{3}'),
  ],
)
def test_wrapping_is_removed(written, bare):
  assert answers.unwrap(written) == bare


@pytest.mark.parametrize(
  'answer',
  [
    '[12,28]',  # An interval, not a list.
    '[-3, -1]',
    '["x',
    r'\$1.05',  # Money, not mathematics in dollars.
    '$19',
    '$a$ and $b$',
    r'\(a\) or \(b\)',
    '020408163265306122448979591836734693877551',  # A period's digits.
    '086231',
    '0.5',
    '2.50',
    '614.519...',
    '4:40 a.m.',
    r'\boxed{1',
    r'\frac{2}{4}',
    '',
  ],
)
def test_other_text_is_kept(answer):
  assert answers.unwrap(answer) == answer


@pytest.mark.parametrize(
  ('value', 'text'),
  [
    (27.0, '27.0'),
    (27.5, '27.5'),
    (1e20, '100000000000000000000.0'),
    (336, '336'),
    ('x', 'x'),
    (['$1$', 2], '["1", "2"]'),
    (['9', 'nine'], '["9", "nine"]'),
    ([2, '2.0', '$2$'], '2'),
    ([2], '2'),
  ],
)
def test_an_answer_of_any_type_is_written_out(value, text):
  assert answers.written(value) == text


@pytest.mark.parametrize(
  'answer', [r'So \boxed{1}, no: $\boxed{2}$.', r'\boxed{1} of \boxed{2}']
)
def test_several_boxes_in_a_text_are_named_and_none_is_lost(answer):
  with pytest.raises(ValueError, match='are several answers') as refusal:
    answers.unwrap(answer)
  assert r'\boxed{1}, \boxed{2}' in str(refusal.value)


@pytest.mark.parametrize(
  'value', [None, True, {}, [], [None], [['1'], '2'], float('nan')]
)
def test_what_is_no_answer_is_refused(value):
  with pytest.raises(ValueError, match='is not an answer'):
    answers.written(value)


def test_unwrapping_twice_changes_nothing_of_the_real_answers(shared_data):
  text = (shared_data / 'problems/deepscaler_train.jsonl').read_text()
  for row in text.splitlines():
    bare = answers.unwrap(json.loads(row)['answer'])
    assert bare
    assert bare == answers.unwrap(bare)
