"""Finds the answer in a reply: after the thought, in the last box."""

import re

KINDS = ('continuation', 'response', 'answer', 'text')

_ESCAPED_OR_BRACE = re.compile(r'\\.|[{}]', re.DOTALL)
_OPEN_BOX = re.compile(r'\\(?:boxed|fbox)\s*\{')
_INNER = r'[^{}]*'
for _ in range(4):  # Braces within braces.
  _INNER = rf'[^{{}}]*(?:\{{{_INNER}\}}[^{{}}]*)*'
_BOX = re.compile(rf'\\(?:boxed|fbox)\s*\{{({_INNER})\}}')
_JOINT = re.compile(
  r'(?:[\s$,;]|\\[()\[\], ]|\\q?quad|\\text\s*\{|\}|\b(?:and|or)\b)*'
)
_BARE_BOX = re.compile(r'\\boxed ([^$\n]*)')


def after_thought(reply, kind):
  """The text of a reply after its thought.

  Args:
    reply: the text to grade.
    kind: 'continuation' continues a thought that the prompt opened;
      'response' is a whole reply, with or without a thought; 'answer' and
      'text' have no thought.
  Returns:
    The text after the first </think>. The whole reply if it has no thought.
    None if the thought is unfinished.
  """
  if kind in ('answer', 'text'):
    return reply
  _, closed, rest = reply.partition('</think>')
  if closed:
    return rest
  opened = kind == 'continuation' or '<think>' in reply
  return None if opened else reply


def last_box(text):
  r"""The content of the last \boxed{}; None if it is missing or not closed.

  Escaped braces do not count, so \boxed{\left\{ x \right.} is closed. As in
  DeepScaleR, \fbox is read if there is no \boxed, and \boxed 7 extends to the
  end of the formula or line. The time is linear in the length of the text.
  """
  start = max(text.rfind('\\boxed'), 0) or max(text.rfind('\\fbox'), 0)
  found = _OPEN_BOX.match(text, start)
  if not found:
    bare = _BARE_BOX.match(text, start)
    return bare[1].strip() if bare else None
  close = closing_brace(text, found.end())
  return None if close is None else text[found.end() : close].strip()


def closing_brace(text, start):
  """Index of the brace that closes the one before `start`, or None."""
  depth = 1
  for token in _ESCAPED_OR_BRACE.finditer(text, start):
    depth += {'{': 1, '}': -1}.get(token[0], 0)
    if not depth:
      return token.start()
  return None


def bare(answer):
  r"""A bare answer without \boxed{}: the content of the last box, if any.

  If only 'and', 'or' or commas join several boxes, or if text follows the
  last box, returns the whole text without the boxes.
  """
  boxed = last_box(answer)
  if boxed is None:
    return answer.strip()
  first, *others = _BOX.split(answer)
  joined = all(_JOINT.fullmatch(each) for each in others[1:-1:2])
  ended = not re.search(r'\w', others[-1]) if others else True
  if not ended or (len(others) > 2 and joined and not first.strip(' $')):
    return _BOX.sub(r'\1', answer).strip()
  return boxed


def answer(said, kind):
  """The answer in a text without a thought; None if its box is missing."""
  if kind == 'text':
    return said.strip()
  return bare(said) if kind == 'answer' else last_box(said)
