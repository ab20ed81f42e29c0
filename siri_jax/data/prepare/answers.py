r"""Unwrapping of the answers in problem sets.

Sets wrap answers in dollars, boxes, floats and lists; the grader compares the
content. Only the wrapping is removed: 1/2 and \frac12 stay as they are.
"""

import json
import math
import re

_DELIMITED = re.compile(
  r'\$\$([^$]+)\$\$|\$([^$]+)\$'
  r'|\\\(((?:(?!\\\)).)+)\\\)|\\\[((?:(?!\\\]).)+)\\\]',
  re.DOTALL,
)
_BOX = re.compile(r'\\(?:boxed|fbox)\s*\{')


def written(value):
  """An answer of any JSON type as text, not unwrapped.

  Args:
    value: text, a number, or a list of them: the parts of one answer.
  Raises:
    ValueError: anything else.
  """
  if isinstance(value, str):
    return value
  if isinstance(value, list) and value:
    return ', '.join(unwrap(written(part)) for part in value)
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
    texts, GSM8K's working before ####, the full stop after a formula, decimals
    that are all zero, and zeros before one or two digits. Of several boxes, the
    content of the last.
  """
  peeled = _peel(text)
  while peeled != text:
    text, peeled = peeled, _peel(peeled)
  return text


def last_box(text):
  r"""The content of the last \boxed{} with balanced braces, or None."""
  for match in reversed(list(_BOX.finditer(text))):
    depth = 1
    for place in range(match.end(), len(text)):
      depth += {'{': 1, '}': -1}.get(text[place], 0)
      if not depth:
        return text[match.end() : place]
  return None


def _peel(text):
  """Removes one layer of wrapping."""
  text = text.strip()
  if '####' in text:
    return text.rpartition('####')[2]
  box = last_box(text)
  if box is not None:
    return box
  delimited = _DELIMITED.fullmatch(text)
  if delimited:
    return delimited[delimited.lastindex]
  if text.startswith('["'):
    return _parts(text)
  if re.fullmatch(r'-?\d+\.0+', text):
    return text.partition('.')[0]
  # More digits with a leading zero may be a decimal's period or a code.
  if re.fullmatch(r'0\d{1,2}', text):
    return str(int(text))
  return re.sub(r'(?<=[\d)}\]])\.$', '', text)


def _parts(text):
  """The texts of a JSON list; other text as it is."""
  try:
    return written(json.loads(text))
  except ValueError:
    return text
