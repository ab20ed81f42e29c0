r"""Splits an answer into parts: list items, sides of an equation, rows, cells.

Reads text in the spelling of siri_jax/grading/latex.py. Separators inside
brackets or environments do not count.
"""

import functools
import itertools
import re
from typing import NamedTuple

_TOKEN = re.compile(
  r'\\begin\s*\{[^{}]*\}(?:\{[^{}]*\})?|\\end\s*\{[^{}]*\}|\\\\|\\[{}|]|\\[a-zA-Z]+'
  r'|[()\[\]{}]| or | and |[,;=&]|(?<![<>!:])=|.',
  re.DOTALL,
)
_OPEN = {'(', '[', '{', '\\{', '\\lfloor', '\\lceil'}
_CLOSE = {')', ']', '}', '\\}', '\\rfloor', '\\rceil'}
# Separators between solutions in several unknowns.
_STRONG = {';', ' or ', ' and ', '\\\\'}
_THOUSANDS = re.compile(r'[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?')
_ENVIRONMENT = re.compile(
  r'\s*(?P<open>[(\[]|\\\{)?\s*\\begin\s*\{(?P<name>[a-zA-Z]+)\*?\}'
  r'(?:\s*\[[a-z]\])?(?:\s*\{[lcr|@{}\s.]*\})?(?P<body>.*)'
  r'\\end\s*\{(?P=name)\*?\}\s*(?:[)\]]|\\\})?\s*',
  re.DOTALL,
)
_MATRICES = {
  *('matrix', 'pmatrix', 'bmatrix', 'Bmatrix', 'smallmatrix', 'psmallmatrix'),
  *('array', 'tabular'),
}
_VALUES = re.compile(
  r'(?P<name>[a-zA-Z](?:_\{?\w+\}?)?)\s*(?:=|\\in)\s*(?P<set>\\\{[^|:]*\\\})'
)
_TUPLES = re.compile(r'\)\s*(?=\()')
_PLUS_MINUS = re.compile(r'\\(pm|mp)(?![a-z])\s*')


class Bracketed(NamedTuple):
  """An answer in brackets: the brackets, such as '[)', and the items."""

  brackets: str
  items: tuple[str, ...]


class Rows(NamedTuple):
  """A matrix or the cases of a function: rows of cells."""

  name: str  # 'matrix' or 'cases'.
  rows: tuple[tuple[str, ...], ...]


def split(text, separators):
  """Splits a text at the separators outside all brackets."""
  parts, depth, start = [], 0, 0
  for token in _TOKEN.finditer(text):
    word = token[0]
    if word in _OPEN or word.startswith('\\begin'):
      depth += 1
    elif word in _CLOSE or word.startswith('\\end'):
      depth -= 1
    elif not depth and word in separators:
      parts.append(text[start : token.start()])
      start = token.end()
  parts.append(text[start:])
  return parts


@functools.lru_cache(4096)
def items(text):
  r"""The items of a list, without outer white space; one item if not a list.

  'x = \pm 2', '(1, 2)(3, 4)' and '(x, y) = (1, 2)' have two items each.
  """
  if _THOUSANDS.fullmatch(text):
    return (text.replace(',', ''),)
  return _items(text)


def _items(text):
  solutions = split(text, _STRONG)
  found = [split(each, {','}) for each in solutions]
  if len(found) > 1 and all(_is_solution(each) for each in found):
    found = [[each] for each in solutions]
  found = [each.strip() for each in itertools.chain(*found)]
  found = [each for each in found if each not in ('', '\\')]
  if len(found) == 1:
    return tuple(_parts(found[0]))
  return tuple(part for each in found for part in _several(each))


def is_alternative(text):
  """Whether 'or' joins the items of a list."""
  return len(split(text, {' or '})) > 1


def sides(text):
  """The sides of an equation or of a chain of equations."""
  return tuple(each.strip() for each in split(text, {'='}))


def bracketed(text):
  """The brackets around a whole text and the items inside, or None."""
  opening = re.match(r'\(|\[|\\\{', text)
  closing = re.search(r'(?:\)|\]|\\\})$', text)
  if not (opening and closing) or closing.start() < opening.end():
    return None
  depth = 0
  for token in _TOKEN.finditer(text):
    depth += (token[0] in _OPEN) - (token[0] in _CLOSE)
    if depth <= 0 and token.end() < len(text):
      return None
  inner = text[opening.end() : closing.start()]
  brackets = (opening[0] + closing[0]).replace('\\', '')
  return Bracketed(brackets, _items(inner.strip()))


def rows(text):
  """The rows of a text that is a matrix or cases, or None."""
  found = _ENVIRONMENT.fullmatch(text)
  if not found or found['body'].count('\\begin'):
    return None
  name = found['name']
  cases = name in ('cases', 'dcases', 'rcases') or (
    name == 'array' and found['open'] == '\\{'
  )
  if not cases and name not in _MATRICES:
    return None
  lines = [line for line in split(found['body'], {'\\\\'}) if line.strip()]
  cells = [tuple(map(_cell, split(line, {'&'}))) for line in lines]
  if cases:
    cells = [tuple(filter(None, line)) for line in cells]
  return Rows('cases' if cases else 'matrix', tuple(cells))


def _cell(text):
  text = re.sub(r'\\hline', '', text)
  text = re.sub(
    r'^\s*(?:\\text\s*\{)?\s*(?:if|for|when|where)\s*(?:\}|(?=[^a-z]))|[,;.]\s*$',
    '',
    text.strip(),
  )
  return text.strip()


def _is_solution(parts):
  """Whether comma-separated parts give values to several unknowns."""
  return len(parts) > 1 and all(len(sides(part)) > 1 for part in parts)


def _several(item):
  """Splits an item that contains several items without a separator."""
  if _TUPLES.search(item):
    found = [one.strip() for one in _TUPLES.sub(')\0', item).split('\0')]
    if all(map(_is_item, found)):
      return found
  if len(_PLUS_MINUS.findall(item)) == 1 or '\\mp' in item:
    return [
      _PLUS_MINUS.sub(lambda m, s=signs: s[m[1]], item)
      for signs in ({'pm': '+', 'mp': '-'}, {'pm': '-', 'mp': '+'})
    ]
  return [item]


def _is_item(text):
  """Whether a text is a point or a statement's number: (1)(4) is not 4."""
  found = bracketed(text)
  return found and (len(found.items) > 1 or text.strip('()').isdigit())


def _parts(item):
  """The items of a lone item: (x, y) = (1, 2) gives x = 1 and y = 2."""
  if found := _VALUES.fullmatch(item):
    first, *others = bracketed(found['set']).items or ['']
    return [f'{found["name"]} = {first}', *others]
  both = sides(item)
  if len(both) == 2 and 'ldots' not in item:
    names, values = map(bracketed, both)
    if (
      names
      and values
      and len(names.items) == len(values.items) > 1
      and names.brackets == values.brackets == '()'
    ):
      pairs = zip(names.items, values.items, strict=True)
      return [f'{name} = {value}' for name, value in pairs]
  return _several(item)
