"""Which problems are one: what counts between two texts, and what does not."""

import pytest

from siri_jax.data import problems
from siri_jax.data.prepare import clean


def overlapping(text, held_out):
  problem = problems.types.Problem('t', held_out, '2', '')
  return clean.overlap([text], [problem]) == {text: 't'}


@pytest.mark.parametrize(
  ('text', 'held_out'),
  [
    ('find  x + 1', 'Find $x+1$.'),
    ('Held out!', 'held out'),
    ('Thus, let a-bc = 1. Find it?', 'thus let $a-bc=1$. Find it'),
    (r'Points $(1,2)$ and \( (3, 4) \)', 'points (1, 2) and $(3,4)$'),
    (r'Find $\dfrac{1}{2} x^{2}$.', r'find \frac 1 2 x^2'),
    (r'Let $a \leq b \cdot c$', 'let a ≤ b×c'),
    (r'A two-digit $\left( n \right)$', 'a two digit (n)'),
    ('Compute\n\\[x+1.5.\\]', 'compute $$x + 1.5$$'),
    (r'Is $n!$ \text{even}?', 'Is n! even'),
    (r'Find $\overline{r}_1$', r'find $\overline{r_1}$'),
    ('???', ' ? ??\n'),
    ('求 $x−1$。', '求x-1。'),
  ],
)
def test_overlap_is_found_through_spacing_layout_and_case(text, held_out):
  assert overlapping(text, held_out)
  assert overlapping(held_out, text)


@pytest.mark.parametrize(
  ('text', 'held_out'),
  [
    ('Find $x$ if $x-1=2$.', 'Find $x$ if $x+1=2$.'),
    ('Is $x<1$?', 'Is $x>1$?'),
    ('Is $x<1$?', r'Is $x\le 1$?'),
    ('Is $x=1$?', r'Is $x\neq 1$?'),
    ('Find $a*b$.', 'Find $ab$.'),
    ('Find $a/b$.', 'Find $a*b$.'),
    ('Find $5!$.', 'Find $5$.'),
    ('Find $-5$.', 'Find $5$.'),
    ('Find $|x|$.', 'Find $x$.'),
    ('Find $x^2$.', 'Find $x_2$.'),
    ('Find $2^{x+1}$.', 'Find $2^x+1$.'),
    (r'Find $\frac{12}{3}$.', r'Find $\frac{1}{23}$.'),
    (r'Find $\sqrt{x}+1$.', r'Find $\sqrt{x+1}$.'),
    ('Find $f(1,2)$.', 'Find $f(12)$.'),
    ("Find $f'(2)$.", 'Find $f(2)$.'),
    ('Find 1.5.', 'Find 15.'),
    ('Find 50%.', 'Find 50.'),
    ('Is it 3:2?', 'Is it 32?'),
    ('Is it (0,1]?', 'Is it [0,1]?'),
    ('Find $a∪b$.', 'Find $a∩b$.'),
    (r'\begin{matrix}1&2\\3&4', r'\begin{matrix}1&23&4'),
    ('???', '!!!'),
    ('!!!', '$$ ... $$'),
    ('+', '-'),
  ],
)
def test_problems_that_differ_in_a_sign_are_no_overlap(text, held_out):
  assert not overlapping(text, held_out)
  assert not overlapping(held_out, text)
