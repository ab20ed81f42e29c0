"""Answers respelt for math-verify: what it would read as something else."""

import pytest

from siri_jax.grading import latex, rules


@pytest.mark.parametrize(
  ('answer', 'respelt'),
  [
    # Last letters that it would take for units, and drop.
    ('x + c', 'x + {c}'),
    ('a^2 + ab', 'a^2 + {a}{b}'),
    ('2 \\pi r h', '2 \\pi r {h}'),
    ('p q r', 'p q {r}'),
    ('x^{2}t', 'x^{2}{t}'),
    ('\\log t', '\\log {t}'),
    ('x, t', 'x, {t}'),
    ('x = 2t', 'x = 2{t}'),
    # Units, which it is right to drop, and letters that it leaves.
    ('x = 5 m', 'x = 5 m'),
    ('10 cm', '10 cm'),
    ('2\\pi m', '2\\pi m'),
    ('-4-6i', '-4-6i'),
    ('a + b', 'a + b'),
    ('t', 't'),
    # Numbers.
    ('7 3/4', '7\\frac{3}{4}'),
    ('-2 1/4', '-2\\frac{1}{4}'),
    ('1.5e8', '1.5\\times 10^{8}'),
    ('100 000', '100000'),
    ('1\\,234\\,567', '1234567'),
    ('2 million', '2\\cdot 10^{6}'),
    ('0.\\overline{3}', '\\frac{1}{3}'),
    ('-446.\\overline{2}', '-\\frac{4016}{9}'),
    ('0.1\\bar{6}', '\\frac{1}{6}'),
    ('2:4:6', '(1, 2, 3)'),
    # Commands.
    ('\\left\\langle 1, 2 \\right\\rangle', '( 1, 2 )'),
    ('\\big(1, 2\\big)', '(1, 2)'),
    ('\\binom52', '\\binom{5}{2}'),
    ('25^\\circ\\text{C}', '25^\\circ'),
    ('\\text{The answer is } 5', ' 5'),
    ('1, \\text{ and } 2', '1, 2'),
    ('42\\', '42'),
    ('1 & 2 \\\\', '1 & 2 \\\\'),
    ('0.3...', '0.3...'),
  ],
)
def test_an_answer_is_respelt_as_it_is_meant(answer, respelt):
  assert latex.fix_latex(answer) == respelt
  assert latex.fix_latex(respelt) == respelt


@pytest.mark.parametrize('rule', [rules.deepscaler, rules.math_verify])
@pytest.mark.parametrize(
  ('gold', 'answer', 'correct'),
  [
    ('2\\pi r', '2 \\pi r h', False),
    ('2\\pi r h', '2 \\pi h r', True),
    ('a', 'a b c', False),
    ('x^2', 'x^{2}t', False),
    ('t x^2', 'x^2 t', True),
    ('x=2', 'x=2t', False),
    ('\\log t', '\\log s', False),
    ('\\frac{5}{2}', '7 3/4', False),
    ('\\frac{31}{4}', '7 3/4', True),
    ('1.2', '\\langle 1, 2 \\rangle', False),
    ('(1, 2, 3)', '\\langle 1,2,3 \\rangle', True),
    ('1:2:3', '1:3:2', False),
    ('\\frac{202}{3}', '67.\\overline{3}', True),
    ('1011_2', '1011_3', False),
    ('1011_2', '1011_{2}', True),
    ('1011_2', '1011', True),
    ('6:00', '5:00', False),
    ('14:24', '7:12', False),
    ('4:6', '2:3', True),
    ('12', '12 \\text{ million}', False),
    ('12000000', '12 \\text{ million}', True),
    ('12', '\\textbf{(B)}\\ 12', True),
    ('B', '\\textbf{(B)}\\ 12', True),
    ('13', '\\textbf{(B)}\\ 12', False),
    ('\\textbf{(A)}\\ 12', '\\textbf{(B)}\\ 12', False),
  ],
)
def test_what_was_misread_is_graded_right(rule, gold, answer, correct):
  verdict = rule(gold, answer, kind='answer', verify_kw={})
  assert verdict.correct is correct, verdict
  assert verdict.extracted == answer


def test_deepscaler_takes_an_inequality_for_its_interval():
  given = dict(kind='answer', verify_kw={})
  assert rules.deepscaler('(5, \\infty)', 'x > 5', **given).correct
  assert rules.deepscaler('[0,1]', '0 \\le x \\le 1', **given).correct
  assert not rules.deepscaler('(5, \\infty)', 'x \\ge 5', **given).correct
  # math-verify does so only where it is told to.
  assert not rules.math_verify('(5, \\infty)', 'x > 5', **given).correct


def test_respelling_takes_linear_time():
  for text in (
    'a ' * 700,
    '1 000 ' * 250,
    '\\text{' * 250,
    '9' * 1500,
    '~' * 1500,
  ):
    latex.fix_latex(text)
