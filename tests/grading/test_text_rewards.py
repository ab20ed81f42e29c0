"""The text rewards by hand."""

import types as std

import pytest

from siri_jax.grading import text_rewards


def says(*texts):
  """The part of a types.TextBatch that these rewards read."""
  return std.SimpleNamespace(completions=texts)


def test_a_thought_that_is_closed_once_before_an_answer_has_the_format():
  batch = says(
    'so 2</think> \\boxed{2}',
    'so \\boxed{2}',  # Never closed.
    'so 2</think> 2',  # No box.
    '\\boxed{2}</think> 2',  # The box is in the thought.
    'so</think> no</think> \\boxed{2}',  # Closed twice.
    'so 2</think> ',  # Cut after the thought.
  )
  found = text_rewards.think_format(batch, close='</think>', answer='\\boxed{')
  assert found == [1, 0, 0, 0, 0, 0]


def test_without_a_mark_any_text_is_an_answer():
  batch = says('6 2 </think> 1', '6 2 </think>', '6 2')
  found = text_rewards.think_format(batch, close='</think>', answer='')
  assert found == [1, 0, 0]


def test_a_format_without_an_end_of_thought_is_refused():
  with pytest.raises(ValueError, match="write '</think>'"):
    text_rewards.think_format(says('a'), close='', answer='')


def test_a_repetition_costs_the_share_of_ngrams_that_came_before():
  # 'a b', 'b a', 'a b' again: two of three are new.
  batch = says('a b a b', 'A a a a a', 'a b c', 'a', '')
  found = text_rewards.repetition_penalty(batch, size=2)
  assert found == pytest.approx([2 / 3 - 1, 1 / 4 - 1, 0, 0, 0])


def test_an_ngram_has_a_word_or_more():
  with pytest.raises(ValueError, match='size=0 is below 1 word'):
    text_rewards.repetition_penalty(says('a'), size=0)


def test_the_repetition_penalty_is_that_of_open_r1():
  def reference(text, size, max_penalty=-1.0):
    if text == '' or len(text.split()) < size:
      return 0.0
    seen, total = set(), 0
    words = text.lower().split()
    for i in range(len(words) - size + 1):
      seen.add(tuple(words[i : i + size]))
      total += 1
    return (1 - len(seen) / total) * max_penalty

  texts = ['wait ' * 30, 'the sum of the sum of the sum', 'once only here now']
  found = text_rewards.repetition_penalty(says(*texts), size=3)
  assert found == pytest.approx([reference(text, 3) for text in texts])
