r"""Compares answers part by part: lists, tuples, sets, matrices, equations.

siri_jax/grading/by_kind.py defines the arguments of a comparison.
"""

import re

from siri_jax.grading import structure

MOST_ITEMS = 12  # Items of a list that are not the same text in both.
_GREEK = (
  'alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|rho'
  '|sigma|tau|phi|chi|psi|omega|ell'
)
_SYMBOL = (
  rf'(?:\\(?i:{_GREEK})\s?|\\vec\{{[a-z]\}}|[a-zA-Z])'
  r"(?:_\s*(?:\{[^{}]*\}|\w))?'*(?:\^\{?-1\}?)?"
)
_SYMBOLS = rf'\(\s*(?:{_SYMBOL}|\d+)(?:\s*,\s*(?:{_SYMBOL}|\d+|\\ldots))*\s*\)'
# Names that may have a value: x, a_n, f(x), AB, |AB|, \frac{AB}{CD}.
_NAME = re.compile(
  rf'\|?\s*(?:[A-Z]\s*)+\|?|\\(?:angle|triangle|overline)\s*\{{?[A-Z]+\}}?'
  rf'|(?:{_SYMBOL}\s*)?{_SYMBOLS}|[fghpqFGHPQ]\s*\([^()]*\)|{_SYMBOL}'
  r'|\\text\s*\{[^{}]*\}|[A-Za-z ]{3,}|\\frac\{[A-Z]{2}\}\{[A-Z]{2}\}'
  r'|[A-Z]+/[A-Z]+|[A-Za-z]+(?:_\{?\w*\}?)?(?:\s*:\s*[A-Za-z]+(?:_\{?\w*\}?)?)+'
)
_LETTER = re.compile(r'[a-zA-Z]')
_APPLIED = re.compile(rf'{_SYMBOL}\s*\(.*\)')
_RELATIONS = {'<', '>', '\\le', '\\ge', '\\ne', '\\in', '\\notin'}
_TURNED = {'>': '<', '\\ge': '\\le'}
_DOMAIN = re.compile(
  rf'\s*({_SYMBOL})(?:\s*,\s*{_SYMBOL})*\s*(?:\\ne(?![a-z]).*|\\in\s*\\mathbb.*'
  r'|(?:\\text\s*\{)?\s*(?:is|are)\s.*(?:integer|real|constant|arbitrary).*)',
  re.DOTALL,
)
_CONDITION = re.compile(
  r'(?P<main>.*\S)(?:\s*\((?P<inner>[^()]*)\)'
  r'|\s*,?\s(?:where|for|with|if|when)(?![a-z])(?P<said>.*)'
  r'|\s*,\s*(?P<listed>[^,]*))',
  re.DOTALL,
)


def all_alike(one, other, alike):
  """Whether two sequences have equal items in the same order."""
  return len(one) == len(other) and all(map(alike, one, other))


def matched(one, other, alike):
  """Whether two sequences have equal items in any order."""
  if len(one) != len(other):
    return False
  left, unlike = list(other), []
  for item in one:
    if item in left:
      left.remove(item)
    else:
      unlike.append(item)
  if len(unlike) > MOST_ITEMS:
    return False
  for item in unlike:
    found = next((each for each in left if alike(item, each)), None)
    if found is None:
      return False
    left.remove(found)
  return True


def _rows(gold, answer, alike, precision):
  """Compares matrices, cases and systems of equations."""
  one, other = structure.rows(gold), structure.rows(answer)

  def same_cells(cells, others):
    return all_alike(cells, others, alike)

  if one and other:
    if one.name != other.name:
      return False
    in_order = all_alike if one.name == 'matrix' else matched
    return in_order(one.rows, other.rows, same_cells)
  given, rest = (one, answer) if one else (other, gold)
  if not given or '\\begin' in rest or any(line[1:] for line in given.rows):
    return None
  # A system equals a list of equations; a column equals a point.
  items = ', '.join(line[0] for line in given.rows)
  listed = items if given.name == 'cases' else f'({items})'
  return alike(listed, rest) if one else alike(rest, listed)


def _sets_by_condition(gold, answer, alike, precision):
  r"""Compares sets with a condition: \{x | 2 < x < 3\} equals 2 < x < 3."""
  one, other = _by_condition(gold), _by_condition(answer)
  if one and other:
    return all_alike(one, other, alike)
  if not (one or other):
    return None
  what, condition = one or other
  if not re.fullmatch(_SYMBOL, what):
    return False
  pair = (condition, answer) if one else (gold, condition)
  return alike(*pair, allow_set_relation_comp=True)


def _by_condition(answer):
  """(element, condition) of a set with a condition, or None."""
  answer = re.sub(
    rf'^\s*{_SYMBOL}\s*(?:\\in(?![a-z])|=)\s*(?=\\\{{)', '', answer
  )
  if not (answer.startswith('\\{') and answer.endswith('\\}')):
    return None
  parts = structure.split(answer[2:-2], {'|', ':'})
  if len(parts) != 2:
    return None
  return re.sub(r'\\in\s*\\mathbb\{R\}', '', parts[0]).strip(), parts[1].strip()


def _conditions(gold, answer, alike, precision):
  r"""Compares answers that end with a condition, such as (y \ne 0)."""
  (one, its), (other, others) = _condition(gold), _condition(answer)
  if its and others:
    return (alike(one, other) and alike(its, others)) or None
  if (its and _is_understood(one, its)) or (
    others and _is_understood(other, others)
  ):
    return alike(one, other)
  return None


def _condition(answer):
  """Splits an answer into (answer, condition); '' if it has none."""
  found = _CONDITION.fullmatch(answer)
  if not found or '\\begin' in answer:
    return answer, ''
  condition = found['inner'] or found['said'] or found['listed'] or ''
  if not (found['said'] or is_inequality(condition)):
    return answer, ''
  if found['listed'] and not _DOMAIN.fullmatch(condition):
    return answer, ''
  return found['main'].strip(' ,'), condition.strip()


def _is_understood(main, condition):
  """Whether a condition only states the domain of a letter in an answer."""
  found = _DOMAIN.fullmatch(condition)
  if not found or is_inequality(main):
    return False
  letter = rf'(?<![a-zA-Z]){re.escape(found[1].strip())}(?![a-zA-Z])'
  return bool(re.search(letter, structure.sides(main)[-1]))


def is_inequality(text):
  """Whether a text has a relation sign other than =."""
  return len(structure.split(text, _RELATIONS)) > 1


def _unions(gold, answer, alike, precision):
  """Compares unions and intersections in any order."""
  for sign in ('\\cup', '\\cap'):
    pair = [structure.split(each, {sign}) for each in (gold, answer)]
    if min(map(len, pair)) > 1:
      return matched(*pair, alike) or None
  return None


def _chains(gold, answer, alike, precision):
  """Compares chains of inequalities, read in either direction."""
  one, other = _chain(gold), _chain(answer)
  if one and other and one[1] == other[1]:
    return all_alike(one[0], other[0], alike) or None
  return None


def _chain(text):
  """(terms, signs) of an inequality with three or more terms, or None."""
  signs = re.findall(r'<|>|\\(?:le|ge)(?![a-z])', text)
  parts = structure.split(text, {'<', '>', '\\le', '\\ge'})
  if len(parts) < 3 or len(signs) != len(parts) - 1:
    return None
  if set(signs) <= {'>', '\\ge'}:
    parts, signs = parts[::-1], [_TURNED[sign] for sign in signs[::-1]]
  return [part.strip() for part in parts], signs


def _lists(gold, answer, alike, precision):
  one, other = structure.items(gold), structure.items(answer)
  if len(one) < 2 and len(other) < 2:
    pair = ''.join(one), ''.join(other)
    return None if pair == (gold, answer) else alike(*pair)
  # Relations and letters may be statements: 'or' differs from 'and'.
  related = any(map(is_inequality, one + other))
  joined = related or all(map(_LETTER.fullmatch, one + other))
  if len(one) != len(other):
    brackets = any(map(structure.bracketed, (gold, answer)))
    return None if related or brackets else False
  if any('\\ldots' in each for each in one + other):
    return all_alike(one, other, alike)
  if joined and structure.is_alternative(gold) != structure.is_alternative(
    answer
  ):
    return False
  return matched(one, other, alike)


def _brackets(gold, answer, alike, precision):
  """Compares tuples, intervals and sets; a bare list may be a set or point."""
  one, other = structure.bracketed(gold), structure.bracketed(answer)
  if one and other:
    if one.brackets == other.brackets == '{}':
      return matched(one.items, other.items, alike)
    if '{}' in (one.brackets, other.brackets) or (
      len(one.items) > 1 or len(other.items) > 1
    ):
      return one.brackets == other.brackets and all_alike(
        one.items, other.items, alike
      )
  if not (one or other):
    return None
  brackets, items = one or other
  rest = answer if one else gold
  others = structure.items(rest)
  if len(items) == 1 and not _is_set(items[0]) and brackets in ('()', '{}'):
    return alike(items[0], rest) if one else alike(rest, items[0])
  if len(others) < 2 or brackets not in ('()', '{}') or is_inequality(rest):
    return None
  if brackets == '()' and structure.split(rest, {' or ', ' and '})[1:]:
    return False  # '0 or 1' is not a point.
  in_order = matched if brackets == '{}' else all_alike
  if any('\\ldots' in each for each in items):
    in_order = all_alike
  return (
    in_order(items, others, alike) if one else in_order(others, items, alike)
  )


def _is_set(text):
  return text.startswith(('\\{', '\\emptyset', '\\mathbb'))


def _equations(gold, answer, alike, precision):
  r"""Compares equations: x = 5 equals 5, and 3 \cdot 4 = 12 equals 12."""
  one, other = structure.sides(gold), structure.sides(answer)
  if is_inequality(gold) or is_inequality(answer):
    return None
  if len(one) > 1 and len(other) > 1:
    ends, others = (one[0], one[-1]), (other[0], other[-1])
    if all_alike(ends, others, alike) or all_alike(ends, others[::-1], alike):
      return True
    return False if len(one) > 2 or len(other) > 2 else None
  if len(other) > 1:
    return alike(gold, other[-1])
  if len(one) > 1:
    return _gives_value(one, alike) and alike(one[-1], answer)
  return None


def _gives_value(sides, alike):
  """Whether the last side of an equation is the value of the first."""
  name, *between, value = sides
  if _LETTER.search(name) and not _NAME.fullmatch(name):
    return False
  for form in (_LETTER, _APPLIED):  # a = b and f(-x) = f(x) have no value.
    if form.fullmatch(name) and form.fullmatch(value):
      return False
  return all(alike(each, value) for each in between)


COMPARISONS = (
  _rows,
  _sets_by_condition,
  _conditions,
  _lists,
  _unions,
  _chains,
  _brackets,
  _equations,
)
