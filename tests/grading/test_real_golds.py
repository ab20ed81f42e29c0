"""Real golds accept themselves and respellings, and refuse their parts."""

import json
import re

import pytest

from siri_jax.grading import rules

SETS = ('aime24', 'aime25', 'amc22_23', 'amc23', 'math500')
TRAINING = 'deepscaler_train'
# Golds that equal one of their parts: sums, and fractions with a 1 or 0.
VALUE_OF_A_PART = {
  '\\frac{1}{2}+\\frac{1}{3}+\\frac{1}{7}+\\frac{1}{42}',
  *('2-1', '2/1', '\\frac{130}{1}', '0\\frac{1}{16}'),
}
# Text that does not belong to the value: names, units and brackets.
AROUND = [
  (re.compile(pattern), kept)
  for pattern, kept in (
    (
      r'\\(?:text|mbox|mathrm|textnormal)\s*\{[^{}]*\}(?:\s*\^\s*\{?\d\}?)?',
      '',
    ),
    (r'\\(?:boxed|mathbf)\s*\{(.*)\}', r'\1'),
    (r'\\[\[\]()!,$%]|\$|\\(?:left|right)(?![a-z])|\s|,$|%', ''),
    (r'\\equiv0$', '=0'),
    (r'^[^=,;]*=(?!.*[=,;])|\^\{?\\circ\}?|_\{?\(?-?[\dn]+\)?\}?\.?$', ''),
    (r'/?(?:[a-zA-Z.]+)$', ''),
    (r'^[\\({\[+]+|[\\)}\].,]+$', ''),
  )
]


def right(gold, answer):
  return rules.deepscaler(gold, answer, kind='answer', verify_kw={}).correct


def golds_of(shared_data, name):
  text = (shared_data / f'problems/{name}.jsonl').read_text()
  rows = map(json.loads, text.splitlines())
  return list(dict.fromkeys(str(row['answer']) for row in rows))


def respelt(gold):
  """Yields other spellings of a gold."""
  larger = re.sub(r'\\[dt]?frac', r'\\dfrac', gold)
  wide = re.sub(r'(?<!\\)\s*([=+<>])\s*', r' \1 ', gold)
  narrow = re.sub(r'(?<=[^a-zA-Z\d\\])\s+|\s+(?=[^a-zA-Z\d\\])', '', gold)
  minus = re.sub(r'(?<![a-zA-Z\\^_{,])-', '\u2212', gold)
  yield from (wide, minus, f'\\displaystyle {larger} \\,')
  if '\\ ' not in gold:
    yield narrow
  if gold.count('{') == gold.count('}') and not re.search(r'\$|\\[\[(]', gold):
    yield f'\\textbf{{{larger}}}'
    yield f'\\text{{The answer is }} \\color{{blue}}{{{gold}}} \\\\'


def parts_of(gold):
  """The last and first number in a gold, and the last item of a list."""
  numbers = re.findall(r'\d+(?:\.\d+)?', gold)
  items = re.split(
    r',|;|\\text\{ (?:and|or) \}| and | or |&|\\\\(?![a-z])|\\cup',
    re.sub(r'^[\s(\[{\\$]+|[\s)\]}\\$]+$', '', gold),
  )
  found = [*numbers[-1:], *numbers[:1], *(items[-1:] if items[1:] else [])]
  return [part.strip() for part in dict.fromkeys(found) if part.strip() != gold]


def value_of(text):
  for pattern, kept in AROUND:
    text = pattern.sub(kept, text)
  return text.lstrip('-')


def faults(golds):
  """Yields golds that refuse a spelling of themselves or accept a part."""
  for gold in golds:
    for spelling in (gold, *respelt(gold)):
      if not right(gold, spelling):
        yield f'{gold!r} refuses {spelling!r}'
    if gold in VALUE_OF_A_PART or re.fullmatch(r'-?\d+(?:\.\d+)?', gold):
      continue
    for part in parts_of(gold):
      if value_of(part) != value_of(gold) and right(gold, part):
        yield f'{gold!r} accepts {part!r}'


@pytest.mark.slow
@pytest.mark.parametrize('name', SETS)
def test_held_out_golds_accept_themselves_and_no_part(shared_data, name):
  assert list(faults(golds_of(shared_data, name))) == []


@pytest.mark.slow
def test_training_golds_accept_themselves_and_no_part(shared_data):
  golds = golds_of(shared_data, TRAINING)
  assert len(golds) > 11_000  # Of 40,308 rows.
  assert list(faults(golds)) == []
