"""Answers of every kind: what says the same, and what nearly does."""

import pytest

from siri_jax.grading import compare, kinds, latex, rules, structure, units

# By kind: a gold, answers that say the same, and answers that do not.
SAME = {
  'ellipses': [
    ('1, 2, \\ldots, 10', '1,2,...,10', '1, 2, …, 10', '1,2,\\cdots,10'),
    ('\\{1, 2, \\ldots, n\\}', '\\{1,2,\\dots,n\\}'),
    ('1+2+\\cdots+n', '1 + 2 + \\ldots + n'),
    ('(1, 1, \\ldots, 1)', '(1,1,\\dots,1)'),
    ('a_1 = a_2 = \\cdots = a_n', 'a_1=a_2=\\dots=a_n'),
  ],
  'quantifiers': [
    ('\\forall x>0, f(x)=0', '∀x>0, f(x) = 0', 'for all x>0, f(x)=0'),
    ('\\exists x: x^2 = 2', '\\exists x : x^{2}=2'),
    ('3 \\mid n', '3 | n'),
  ],
  'cases': [
    (
      '\\begin{cases} x & x>0\\\\0 & x\\le 0\\end{cases}',
      '\\begin{cases} x, & \\text{if } x>0,\\\\0, & \\text{if } x\\leq 0.'
      '\\end{cases}',
      '\\begin{cases} 0 & x\\le 0\\\\x & 0 < x\\end{cases}',
      '\\left\\{\\begin{array}{ll} x & x>0\\\\0 & x\\le 0\\end{array}\\right.',
    ),
    (
      'f(x) = \\begin{cases} 2(x+1) & x>0\\\\0 & x\\le 0\\end{cases}',
      '\\begin{cases} 2x+2 & x>0\\\\0 & x\\le 0\\end{cases}',
      'f(x)=\\begin{cases} 2x+2 & x>0\\\\0 & x\\le 0\\end{cases}',
    ),
    ('\\begin{cases} x=1\\\\y=2\\end{cases}', 'x=1, y=2', 'y = 2, x = 1'),
  ],
  'congruences': [
    (
      'x \\equiv 1 \\pmod 3',
      *('x ≡ 1 (mod 3)', 'x \\equiv 1 \\mod 3', 'x \\equiv 1 \\bmod{3}'),
      *('x \\equiv 1 \\text{ (mod 3)}', 'x \\equiv 1\\ (\\mathrm{mod}\\ 3)'),
      *('1 \\pmod{3}', 'x \\equiv 4 \\pmod 3', 'x \\equiv -2 \\pmod 3'),
    ),
    (
      'n \\equiv 0, 2 \\pmod 6',
      *('n \\equiv 2, 0 \\pmod{6}', 'n \\equiv 0 \\text{ or } 2 \\pmod 6'),
      'n \\equiv 0 \\pmod 6 \\text{ or } n \\equiv 2 \\pmod 6',
    ),
    ('x \\equiv 2 \\pmod{2^3}', 'x \\equiv 2 \\pmod 8'),
  ],
  'sets': [
    ('\\{1,2,3\\}', '\\{3, 2, 1\\}', '3,1,2', '\\lbrace 1, 2, 3 \\rbrace'),
    (
      '\\{x \\mid 2<x<3\\}',
      *('(2,3)', '\\{x : 2<x<3\\}', '\\{x | 2<x<3\\}', '2<x<3'),
      '\\{x \\in \\mathbb{R} \\mid 2<x<3\\}',
    ),
    ('\\emptyset', '\\varnothing', '\\{\\}', '∅'),
    ('\\mathbb{R}', '(-\\infty,\\infty)', 'ℝ'),
    ('[0,1]\\cup[2,3]', '[2,3] ∪ [0,1]'),
    ('A \\cup B', 'B \\cup A'),
    ('\\{(1,2),(3,4)\\}', '(3,4),(1,2)', '(1,2)(3,4)'),
    ('x<1 \\text{ or } x>3', 'x>3 or x<1', '(-\\infty,1)\\cup(3,\\infty)'),
    ('x>1 \\text{ and } x<3', '(1,3)'),
    ('2 < x < 3', '3 > x > 2'),
  ],
  'vectors and matrices': [
    (
      '\\begin{pmatrix}1\\\\2\\end{pmatrix}',
      *('\\begin{bmatrix}1\\\\2\\end{bmatrix}', '\\langle 1, 2\\rangle'),
    ),
    (
      '\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}',
      '\\left[\\begin{array}{cc}1&2\\\\3&4\\end{array}\\right]',
      '\\begin{pmatrix}1&\\frac42\\\\3&4.0\\end{pmatrix}',
    ),
    (
      '\\begin{pmatrix}2\\\\4\\end{pmatrix}',
      '2\\begin{pmatrix}1\\\\2\\end{pmatrix}',
    ),
    (
      '3\\mathbf{i}-\\mathbf{j}',
      *(
        '-\\mathbf{j}+3\\mathbf{i}',
        '3\\hat{i}-\\hat{\\jmath}',
        '3\\vec{i}-\\vec{j}',
      ),
    ),
    ('\\vec{a}+\\vec{b}', '\\overrightarrow{b}+\\vec a'),
  ],
  'bars and dots over digits': [
    (
      '0.\\overline{3}',
      *(
        '\\frac13',
        '0.\\bar{3}',
        '0.\\dot{3}',
        '0.(3)',
        '0.333...',
        '0.3\u0305',
      ),
    ),
    ('\\frac17', '0.\\dot{1}4285\\dot{7}', '0.\\overline{142857}'),
    ('0.1\\overline{6}', '\\frac16', '0.1\\overline{66}'),
    ('16.\\overline{6}\\%', '\\frac16', '\\frac{50}{3}\\%'),
  ],
  'tiny and huge numbers': [
    ('10^{-10}', '0.0000000001', '1e-10', '\\frac{1}{10^{10}}'),
    ('0.0000012', '1.2\\times 10^{-6}'),
    ('6.02 \\times 10^{23}', '602000000000000000000000'),
    ('\\frac13 \\times 10^{-8}', '3.33333333 \\times 10^{-9}'),
    ('2^{100}', '1267650600228229401496703205376'),
    ('\\pi', '3.141593'),
    ('\\frac{1}{12}', '0.0833333333333333', '0.083333'),
  ],
  'clock times': [
    (
      '7:55 \\text{ p.m.}',
      *('7{:}55 \\text{ PM}', '7\\text{:}55\\,\\mathrm{pm}', '19:55', '7:55'),
      '\\text{7:55 in the evening}',
    ),
    ('5 \\text{ p.m.}', '5:00 p.m.', '17:00'),
    ('12:15 a.m.', '0:15'),
    ('\\text{noon}', '12:00 p.m.'),
    ('7:23 \\text{ and } 7:53', '7:53, 7:23'),
    ('1:2:3', '2:4:6'),
  ],
  'signs': [
    ('-5', '−5', '–5', '－５'),
    ('(1,2)', '（1，2）'),
    ('\\frac34', '¾', '3⁄4'),
    ('1\\frac12', '1½'),
    ('2\\sqrt{3}', '2√3', '2√(3)'),
    ('\\sqrt[3]{2}', '∛2', '³√2'),
    ('x^{10}', 'x¹⁰'),
    ('10^{-3}', '10⁻³'),
    ('a_1', 'a₁'),
    ('\\alpha+\\beta', 'α + β'),
    ('x \\ne 2', 'x≠2'),
    ('\\pm 2', '±2', '2, −2'),
    ('2 \\cdot 3^n', '2·3ⁿ'),
    ('\\text{no solution}', '无解', 'No solutions'),
    ('2 \\text{ or } 3', '2或3'),
  ],
  'the answer is': [
    (
      '5',
      *('The answer is 5', '\\text{Answer: } 5', '答案是5。', '答案：5'),
      *('La respuesta es 5', 'La réponse est 5', 'Die Antwort ist 5'),
      *('A resposta é 5', 'La risposta è 5', 'Ответ: 5', '答えは5', '정답은 5'),
    ),
  ],
  'money and units': [
    ('5', '5 dollars', '$5', '\\$5', '€5', '5 €', '5 USD', '5元', 'Rs. 5'),
    ('\\$5.50', '5.5', '5 dollars and 50 cents', '5.50 USD'),
    ('1000', '\\$1{,}000', '$1,000.00'),
    ('5 \\text{ cm}^2', '5', '5 square centimeters', '5 sq. cm', '5平方厘米'),
    ('5 \\text{ km/h}', '5 kilometers per hour'),
    ('25', '25 mph', '25 people', '25\\text{ students}', '25^\\circ\\text{C}'),
    ('5\\text{ m}, 6\\text{ m}', '5, 6', '6\\,\\mathrm{m}, 5\\,\\mathrm{m}'),
    ('50\\%', '50', '0.5', '\\frac12', '50 percent'),
    ('33\\frac13\\%', '\\frac13', '\\frac{100}{3}\\%'),
    ('\\mbox{four}', '4', 'Four'),
    ('25', 'twenty-five'),
  ],
  'the box': [
    (
      '5',
      *('\\textbf{5}', '\\color{red}{5}', '{\\color{blue}5}', '**5**', '5,'),
      *('5 \\\\', '\\textcolor[rgb]{1,0,0}{5}', '\\bm{5}', '\\Large 5', '$5$.'),
      *('\\(5\\)', '\\[5\\]', '\\phantom{0}5', '\\underline{\\underline{5}}'),
      '\\begin{align*}5\\end{align*}',
    ),
    ('x=5', '\\mathbf{x = 5}', '5', '\\boxed{5}'),
  ],
  'fractions': [
    ('\\frac{3}{4}', '\\sfrac34', '\\nicefrac{3}{4}', '{3 \\over 4}', '3/4'),
    ('2007 + \\frac\\pi 2', '2007+\\frac{\\pi}{2}'),
    ('\\dfrac {n^2} 4 + \\dfrac n 2', '\\frac{n^2+2n}{4}'),
    ('1234', '\\num{1234}'),
  ],
  'equations': [
    ('x=5', '5', '5 = x', '2x = 10'),
    ('y=2x+1', '2x-y+1=0', '2x+1'),
    ('(x,y)=(1,2)', '(1,2)', 'x=1, y=2', 'y = 2, x = 1'),
    (
      '(m, n) = (0, 0) \\text{ and } (m, n) = (-2, 2)',
      *('(-2,2), (0,0)', '(m,n)=(-2,2),(m,n)=(0,0)'),
    ),
    ('\\angle ABC = 90^\\circ', '90', '90°'),
    ('1+2i', '2i+1', '1 + 2\\mathrm{i}'),
  ],
  'conditions': [
    (
      '\\frac{x}{y}',
      *(
        '\\frac{x}{y} \\quad (y \\ne 0)',
        '\\frac{x}{y} \\text{ where } y\\ne 0',
      ),
    ),
    (
      '2k\\pi, k \\in \\mathbb{Z}',
      '2k\\pi',
      '2k\\pi \\quad (k \\in \\mathbb{Z})',
    ),
  ],
}
APART = {
  'ellipses': [
    ('1, 2, \\ldots, 10', '10', '1', '1, 2, 10', '1, 2, \\ldots, 11'),
    ('1, 2, \\ldots, 10', '1, 3, \\ldots, 10', '2, 1, \\ldots, 10', '\\ldots'),
    ('1+2+\\cdots+n', 'n', '1+2+\\cdots+2n'),
    ('(1, 1, \\ldots, 1)', '1', '(1, 1, 1)'),
    ('614.519...', '519', '614.5'),
    ('7', '7...', '\\ldots, 7'),
  ],
  'quantifiers': [
    ('\\forall x>0, f(x)=0', 'f(x)=0', '\\exists x>0, f(x)=0', '0'),
    ('f(x)=0', '\\forall x>0, f(x)=0'),
    ('\\exists x: x^2 = 2', '2', '\\forall x: x^2 = 2'),
    ('3 \\mid n', 'n', '5 \\mid n'),
    ('5', '\\neg 5', 'not 5', '\\approx 5', '\\sim 5', 'x \\approx 5'),
  ],
  'cases': [
    (
      '\\begin{cases} x & x>0\\\\0 & x\\le 0\\end{cases}',
      *('0', 'x', 'x, 0', '\\begin{cases} x & x>0\\end{cases}'),
      '\\begin{cases} x^2 & x>0\\\\0 & x\\le 0\\end{cases}',
      '\\begin{cases} x & x\\ge 0\\\\0 & x<0\\end{cases}',
      '\\begin{cases} 0 & x>0\\\\x & x\\le 0\\end{cases}',
    ),
    ('\\begin{cases} x=1\\\\y=2\\end{cases}', 'x=2, y=1', '2', 'y = 2'),
  ],
  'congruences': [
    (
      'x \\equiv 1 \\pmod 3',
      *('1', '3', 'x = 1', 'x \\equiv 1 \\pmod 4', 'x \\equiv 2 \\pmod 3'),
      *('y \\equiv 1 \\pmod 3', 'x \\equiv 1 \\pmod 6', 'x \\equiv 1'),
    ),
    ('n \\equiv 0, 2 \\pmod 6', '6', '0, 2', 'n \\equiv 0 \\pmod 6'),
    ('n \\equiv a \\pmod{p^2}', 'n \\equiv a \\pmod p'),
    ('5', '5 \\pmod 7', '5 \\mod 7'),
  ],
  'sets': [
    ('\\{1,2,3\\}', '3', '1,2', '(1,2,3)', '\\{1,2,4\\}'),
    ('\\{x \\mid 2<x<3\\}', '3', '[2,3]', '\\{x \\mid 2<x<4\\}'),
    ('\\{n^2 \\mid n \\in \\mathbb{N}\\}', '\\mathbb{N}', 'n^2'),
    ('\\emptyset', '0', '\\{0\\}', '\\{\\emptyset\\}'),
    ('\\mathbb{R} \\setminus \\{0\\}', '0', '\\mathbb{R}'),
    ('[0,1]\\cup[2,3]', '[2,3]', '[0,1]\\cap[2,3]', '[0,1]\\cup[2,3)'),
    ('(3,4]', '[3,4)', '3,4'),
    ('x<1 \\text{ or } x>3', 'x<1', 'x<1 \\text{ and } x>3', '(1,3)'),
  ],
  'vectors and matrices': [
    (
      '\\begin{pmatrix}1\\\\2\\end{pmatrix}',
      *('2', '(2,1)', '\\begin{pmatrix}1&2\\end{pmatrix}'),
    ),
    (
      '\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}',
      *('4', '\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}'),
      '\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}',
    ),
    (
      '\\begin{pmatrix}10^{-9}\\\\0\\end{pmatrix}',
      '\\begin{pmatrix}10^{-8}\\\\0\\end{pmatrix}',
    ),
    (
      '3\\mathbf{i}-\\mathbf{j}',
      '3',
      '3\\mathbf{i}+\\mathbf{j}',
      '3\\mathbf{i}',
    ),
    ('\\overrightarrow{AB}', '\\overrightarrow{BA}'),
  ],
  'bars and dots over digits': [
    ('0.\\overline{3}', '0.3', '0.333333', '0.\\overline{33}4', '3'),
    ('0.\\overline{12}', '0.1\\overline{2}', '0.12', '12'),
    ('0.\\overline{142857}', '0.142857', '0.\\overline{142875}'),
    ('\\bar{x}', 'x'),
    ('\\overline{abc}', '\\overline{acb}', 'abc'),
  ],
  'tiny and huge numbers': [
    ('10^{-10}', '0', '10^{-11}', '2 \\times 10^{-10}'),
    ('0.0000012', '0.0000013', '1.2'),
    ('\\frac{1}{100!}', '0', '\\frac{1}{101!}'),
    ('10^{100}', '10^{100}+1', '10^{99}'),
    ('10^{100}+\\sqrt2', '10^{100}+\\sqrt3'),
    ('2^{100}', '1267650600228229401496703205377'),
    ('6.02 \\times 10^{23}', '6.03 \\times 10^{23}', '6.02 \\times 10^{22}'),
    ('x \\cdot 10^{-20}', 'x \\cdot 10^{-21}', '0'),
    ('[0, 10^{-9}]', '[0, 10^{-8}]'),
    ('x < 10^{-9}', 'x < 10^{-8}'),
    ('1', '0.999999', '0.9999999999'),
    ('\\pi', '3.14', '3.1416', '\\frac{22}{7}'),
  ],
  'clock times': [
    ('7:55 \\text{ p.m.}', '7:55 \\text{ a.m.}', '7:54 p.m.', '7.55', '55'),
    ('12:15 a.m.', '12:15 p.m.'),
    ('5 \\text{ p.m.}', '5', '5 a.m.'),
    ('7:23 \\text{ and } 7:53', '7:23', '7:53'),
    ('1:2:3', '1:2:4', '3'),
    ('3:1', '3', '1:3'),
  ],
  'signs': [
    ('5', '−5', '√5', '5²', '½5'),
    ('\\sqrt{3}', '√2', '∛3'),
    ('x \\ge 2', 'x > 2', 'x ≤ 2'),
    ('2 \\text{ or } 3', '2', '2或4'),
  ],
  'the answer is': [('5', 'The answer is not 5', '答案是6', 'Ответ: 6')],
  'money and units': [
    ('\\$5', '5 euros', '5 cents', '\\$6', '-\\$5'),
    ('5 \\text{ km}', '5 m', '5 \\text{ km}^2', '5 \\text{ hours}'),
    (
      '10',
      '10 or more',
      'at least 10',
      '10 times',
      '10以上',
      '10 \\text{ million}',
    ),
    ('5', '5 - m', '5 squared', '5 x', '5, 6 cm'),
    ('5\\text{ m}, 6\\text{ m}', '5\\text{ cm}, 6\\text{ cm}', '6'),
    ('25^\\circ\\text{C}', '25^\\circ\\text{F}'),
    ('50\\%', '0.05', '5'),
    ('\\mbox{four}', '5', 'five'),
  ],
  'the box': [
    ('5', '\\textcolor{red}{6}', '\\textbf{50}', '3 & 5', '1 | 5', '5!')
  ],
  'fractions': [
    ('\\frac{\\sqrt2}{2}', '\\frac{\\sqrt2}{3}', '\\frac2{\\sqrt3}')
  ],
  'equations': [
    ('x=5', 'y=5', 'x=6', 'x > 5'),
    ('x+y=5', '5', 'x+y=6'),
    ('x^2+1=0', 'x^2+2=0'),
    ('f(-x)=f(x)', 'f(x)'),
    ('\\gcd(m, n) = 1', '1'),
    ('(x,y)=(1,2)', 'x=2, y=1', '(y,x)=(1,2)', '2'),
    (
      '(m,n)=(0,0) \\text{ and } (m,n)=(-2,2)',
      *('2', '(0,0)', '(m,n)=(0,2),(m,n)=(-2,0)'),
    ),
    ('\\pm 2021', '2021'),
    ('AB', 'BA'),
    ('R-r', 'r-R', '0'),
    ("f'(x)", 'f(x)'),
  ],
  'conditions': [
    ('0', '\\frac{x}{y} \\quad (y \\ne 0)'),
    ('x^2, x>0', 'x^2', '0'),
    ('a=1, b \\ne 2', 'a=1'),
    ('x \\ne 1, x \\ne 2', 'x \\ne 1'),
  ],
}


def cases(table):
  return [
    pytest.param(gold, answer, id=f'{kind}: {gold} | {answer}')
    for kind, rows in table.items()
    for gold, *answers in rows
    for answer in answers
  ]


@pytest.mark.parametrize(('gold', 'answer'), cases(SAME))
def test_what_says_the_same_is_right(gold, answer):
  verdict = rules.deepscaler(gold, answer, kind='answer', verify_kw={})
  assert verdict.correct, verdict


@pytest.mark.parametrize('rule', [rules.deepscaler, rules.math_verify])
@pytest.mark.parametrize(('gold', 'answer'), cases(APART))
def test_what_says_something_else_is_wrong(rule, gold, answer):
  verdict = rule(gold, answer, kind='answer', verify_kw={})
  assert not verdict.correct, verdict


def test_both_tables_have_every_kind():
  assert list(SAME) == list(APART)


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
def test_a_unit_is_taken_off_a_value(answer, parts):
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
def test_a_list_has_its_items(answer, items):
  assert structure.items(answer) == items


def test_what_cannot_be_read_is_compared_as_text():
  for answer in ('\\star 5', '5 \\heartsuit', '\\clubsuit'):
    spelt = latex.spell(answer)
    assert compare.same(spelt, latex.spell(f'{answer} '), {})
    assert not compare.same('5', spelt, {})
    assert not compare.same(spelt, '5', {})
