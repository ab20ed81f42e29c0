r"""Unwrapping of the answers in problem sets.

Sets wrap answers in dollars, boxes, floats and lists; the grader compares the
content. Only the wrapping is removed: 1/2 and \frac12 stay as they are.
"""

import itertools
import json
import math
import re

from siri_jax.grading import extract

_DELIMITED = re.compile(
  r'\$\$([^$]+)\$\$|\$([^$]+)\$'
  r'|\\\(((?:(?!\\\)).)+)\\\)|\\\[((?:(?!\\\]).)+)\\\]',
  re.DOTALL,
)
_BOX = re.compile(r'\\(?:boxed|fbox)\s*\{')
# What may stand between the boxes of one answer.
_JOINS = re.compile(
  r'(?:\s|[$,;&.]|\\[()\[\],; ]|\\q?quad|\\(?:text|mathrm)\s*\{[^{}]*\}'
  r'|(?<![a-z])(?:or|and)(?![a-z]))*',
  re.IGNORECASE,
)


def written(value):
  """An answer of any JSON type as text, not unwrapped.

  Args:
    value: text, a number, or a list of them, any of which is the answer.
  Returns:
    The text; of several the JSON list, which problems.read takes for one.
  Raises:
    ValueError: anything else.
  """
  if isinstance(value, str):
    return value
  if isinstance(value, list) and value:
    if any(isinstance(each, list) for each in value):
      raise ValueError(f'{value!r} is not an answer; write a list of texts')
    each, *more = dict.fromkeys(unwrap(written(each)) for each in value)
    return json.dumps([each, *more], ensure_ascii=False) if more else each
  number = isinstance(value, int | float) and not isinstance(value, bool)
  if not number or not math.isfinite(value):
    raise ValueError(f'{value!r} is not an answer; write text or a number')
  if isinstance(value, float) and value.is_integer():
    return f'{value:.1f}'
  return str(value)


def unwrap(text):
  r"""The answer of a problem set without its wrapping.

  Args:
    text: such as '$\\frac{1}{2}$', '\\[\\boxed{7}\\]', '27.0', '["x+1"]',
      '#### 72', '049' or '(2).'.
  Returns:
    The answer without dollars, \( \), \[ \], outer white space, a list around
    one text, GSM8K's working before ####, the full stop after a formula,
    decimals that are all zero, and zeros before one or two digits. The content
    of its box, or of its boxes with the words that join them.
  Raises:
    ValueError: it has several boxes in a text that does more than join them.
  """
  peeled = _peel(text)
  while peeled != text:
    text, peeled = peeled, _peel(peeled)
  return text


def _boxes(text):
  r"""(start, start of its content, end of that) of each closed \boxed{}."""
  for match in _BOX.finditer(text):
    close = extract.closing_brace(text, match.end())
    if close is not None:
      yield match.start(), match.end(), close


def _without_boxes(text):
  """A text of several boxes with what is in them in their place."""
  found, between, end = [], [], 0
  for start, first, last in _boxes(text):
    if start >= end:  # Else it is in the one before.
      between.append(text[end:start])
      found.append(text[first:last])
      end = last + 1
  between.append(text[end:])
  if len({each.strip() for each in found}) == 1:
    return found[0]
  if not _JOINS.fullmatch(''.join(between)):
    boxes = ', '.join(f'\\boxed{{{each}}}' for each in found)
    raise ValueError(f'{boxes} are several answers: give one, or a list')
  pairs = zip(between, [*found, ''], strict=True)
  return ''.join(itertools.chain.from_iterable(pairs))


def _peel(text):
  """Removes one layer of wrapping."""
  text = text.strip()
  if '####' in text:
    return text.rpartition('####')[2]
  if text.startswith('[') and '"' in text:
    return _alternatives(text)
  box = extract.last_box(text)
  if box is not None:
    return _without_boxes(text) if any(_boxes(text)) else box
  delimited = _DELIMITED.fullmatch(text)
  if delimited:
    return delimited[delimited.lastindex]
  if re.fullmatch(r'-?\d+\.0+', text):
    return text.partition('.')[0]
  # More digits with a leading zero may be a decimal's period or a code.
  if re.fullmatch(r'0\d{1,2}', text):
    return str(int(text))
  return re.sub(r'(?<=[\d)}\]])\.$', '', text)


def _alternatives(text):
  """A JSON list of texts, each unwrapped; any other text as it is."""
  try:
    return written(json.loads(text))
  except ValueError:
    return text
