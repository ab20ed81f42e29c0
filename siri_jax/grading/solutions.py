r"""Finds the solutions in a thought: where each ends, and its answer.

A reasoning model often solves a problem, and then solves it again. A rule finds
these solutions by their words, without another model:

- `in_prose`, for texts with \boxed{} and "the answer is". A paragraph that
  states an answer ends a solution. Further statements are of the same solution
  until a paragraph begins with a word of doubt or of another way (MARKS).
- `in_steps`, for the built-in task. The guess of the last step that the
  response begins is the first solution; each check of that step is another.

What a rule does not see: a solution without a stated answer; a new way that no
mark announces; in a thought that the cap cut, whether the step in progress is
the problem's last one.
"""

import re
from typing import NamedTuple

from siri_jax.grading import extract

CLOSE = '</think>'
MARKS = (
  'wait',
  'but wait',
  'hold on',
  'hmm',
  'alternatively',
  'another way',
  'another approach',
  'let me check',
  'let me double',
  'let me verify',
  'let me confirm',
  'let me try',
  'let me think again',
  'to verify',
  'to double-check',
  'to confirm',
)
_PARAGRAPH = re.compile(r'.+?(?:\n\s*\n|\Z)', re.DOTALL)
_STATED = re.compile(
  r'\banswer\b[^.\n]{0,40}?(?:\bis\b|\bshould be\b|\bwould be\b|:|=)\s*'
  r'(?P<said>[^\n]+?)(?:\.(?:\s|$)|,\s|\n|$)',
  re.IGNORECASE,
)
_LAST_STEP = re.compile(r'#\d+ \d \d (\d)(?!.*#)')
_CHECK = re.compile(r'wait \d \d (\d)')


class Solution(NamedTuple):
  """A solution in a text.

  Attributes:
    end: characters up to its end.
    reply: a reply with its answer, which a grading rule can read.
  """

  end: int
  reply: str


def in_prose(text):
  """The solutions in a thought of prose.

  Args:
    text: a response.
  Returns:
    list of Solution, in order, none beyond the end of the thought.
  """
  thought, found, stated = text.partition(CLOSE)[0], [], False
  for paragraph in _PARAGRAPH.finditer(thought):
    words = paragraph[0].strip().lower()
    stated = stated and not words.startswith(MARKS)
    answer = _answer(paragraph[0])
    if answer and not stated:
      found.append(Solution(paragraph.end(), f'{CLOSE}\n\\boxed{{{answer}}}'))
      stated = True
  return found


def in_steps(text):
  """The solutions in a thought of the built-in task.

  Args:
    text: a response, in words.
  Returns:
    list of Solution, in order, none beyond the end of the thought.
  """
  thought = text.partition(CLOSE)[0]
  last = _LAST_STEP.search(thought)
  if not last:
    return []
  stated = [last, *_CHECK.finditer(thought, last.end())]
  return [Solution(each.end(), f'{CLOSE} {each[1]}') for each in stated]


def _answer(paragraph):
  """The answer that a paragraph states; '' if it states none."""
  boxed = extract.last_box(paragraph)
  if boxed:
    return boxed
  stated = _STATED.search(paragraph)
  return stated['said'].strip(' *$`') if stated else ''
