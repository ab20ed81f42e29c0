r"""What a problem set calls the answer, unwrapped to the bare answer.

Sets wrap answers in dollars, boxes, floats and lists; the grader compares
what stands inside. Only the wrapping goes: 1/2 stays, and so does \frac12.
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
  """An answer of any JSON type as text, before any unwrapping.

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
    raise ValueError(f'{value!r} is no answer: give text or a number')
  if isinstance(value, float) and value.is_integer():
    return f'{value:.1f}'
  return str(value)


def unwrap(text):
  r"""The bare answer in an answer as a problem set writes it.

  Args:
    text: such as '$\\frac{1}{2}$', '\\[\\boxed{7}\\]', '27.0', '["x+1"]',
      '#### 72', '049' or '(2).'.
  Returns:
    The answer without dollars, \( \), \[ \], outer white space, the list
    around texts, GSM8K's working before ####, the full stop after a formula,
    decimals that are all zero and the zeros before one or two digits. Of
    boxes, what is in the last.
  """
  peeled = _peel(text)
  while peeled != text:
    text, peeled = peeled, _peel(peeled)
  return text


def last_box(text):
  r"""What the last \boxed{} with balanced braces holds, or None."""
  for match in reversed(list(_BOX.finditer(text))):
    depth = 1
    for place in range(match.end(), len(text)):
      depth += {'{': 1, '}': -1}.get(text[place], 0)
      if not depth:
        return text[match.end() : place]
  return None


def _peel(text):
  """One layer less."""
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
  # Longer digits with a leading zero may be a decimal's period or a code.
  if re.fullmatch(r'0\d{1,2}', text):
    return str(int(text))
  return re.sub(r'(?<=[\d)}\]])\.$', '', text)


def _parts(text):
  """The texts of a JSON list, or the text itself where it is none."""
  try:
    return written(json.loads(text))
  except ValueError:
    return text
