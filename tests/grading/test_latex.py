"""The spelling of LaTeX, and answers that math-verify alone misreads."""

import pytest

from siri_jax.grading import latex, rules


@pytest.mark.parametrize(
  ('answer', 'spelt'),
  [
    # Numbers.
    ('7 3/4', '7\\frac{3}{4}'),
    ('-2 1/4', '-2\\frac{1}{4}'),
    ('1.5e8', '1.5\\times 10^{8}'),
    ('100 000', '100000'),
    ('1\\,234\\,567', '1234567'),
    ('\\frac{1}{10,500}', '\\frac{1}{10500}'),
    ('\\num{1234}', '1234'),
    ('2 million', '2\\cdot 10^{6}'),
    ('.5', '0.5'),
    ('0.3...', '0.3\\ldots'),
    # Missing braces of fractions, roots and powers.
    ('\\dfrac12', '\\frac{1}{2}'),
    ('2007 + \\frac\\pi 2', '2007 + \\frac{\\pi}{2}'),
    ('\\dfrac {n^2} 4', '\\frac {n^2}{4}'),
    ('\\frac ab', '\\frac{a}{b}'),
    ('\\frac{\\sqrt2}3', '\\frac{\\sqrt{2}}{3}'),
    ('{1 \\over 2}', '\\frac{1 }{2}'),
    ('\\nicefrac{3}{4}', '\\frac{3}{4}'),
    ('\\binom52', '\\binom{5}{2}'),
    ('{5 \\choose 2}', '\\binom{5 }{2}'),
    ('4\\sqrt(x+(1))', '4\\sqrt{x+(1)}'),
    ('2^(n(n+1))', '2^{n(n+1)}'),
    # Brackets, functions and fonts.
    ('\\left\\langle 1, 2 \\right\\rangle', '(1, 2 )'),
    ('\\big(1, 2\\big)', '(1, 2)'),
    ('2sin x', '2\\sin x'),
    ('\\operatorname{arctg} 2', '\\arctan 2'),
    ('1 - \\frac{1}{\\mathrm{e}}', '1 - \\frac{1}{e}'),
    ('3\\mathbf{i}-\\hat{\\jmath}', '3i-j'),
    ('5 \\mathrm{m}', '5 \\mathrm{m}'),
    # Words.
    ('x \\equiv 1 \\text{ (mod } 3)', 'x \\equiv 1 \\pmod{3}'),
    ('n \\equiv 0,2(\\bmod 6)', 'n \\equiv 0,2\\pmod{6}'),
    ('\\text{The answer is } 5', '5'),
    ('1, \\text{ and } 2', '1 and 2'),
    ('1, 8, or 49', '1, 8 or 49'),
    ('42\\', '42'),
    ('\\text{no solution}', 'no solution'),
  ],
)
def test_an_answer_has_one_spelling(answer, spelt):
  assert latex.spell(answer) == spelt
  assert latex.spell(spelt) == spelt


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
def test_misreadings_of_math_verify_are_avoided(rule, gold, answer, correct):
  verdict = rule(gold, answer, kind='answer', verify_kw={})
  assert verdict.correct is correct, verdict
  assert verdict.extracted == answer


def test_deepscaler_accepts_an_inequality_for_its_interval():
  given = dict(kind='answer', verify_kw={})
  assert rules.deepscaler('(5, \\infty)', 'x > 5', **given).correct
  assert rules.deepscaler('[0,1]', '0 \\le x \\le 1', **given).correct
  assert not rules.deepscaler('(5, \\infty)', 'x \\ge 5', **given).correct
  # math-verify does so only with its option.
  assert not rules.math_verify('(5, \\infty)', 'x > 5', **given).correct


def test_spelling_takes_linear_time():
  for text in (
    'a ' * 700,
    '1 000 ' * 250,
    '\\text{' * 250,
    '\\frac1' * 250,
    '9' * 1500,
    '~' * 1500,
    '}' * 1500,
    '\u2212' * 1500,
  ):
    latex.spell(text)
