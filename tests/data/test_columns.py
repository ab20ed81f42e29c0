"""Rows of other people's sets that cannot be used as they stand."""

import json

import pytest

from siri_jax.data.prepare import columns

ROW = {'problem': '1+1=?', 'answer': '2'}
LONG = '1' + '0' * 5000


@pytest.mark.parametrize('form', ['{}\n{}\n{}\n', '[{},\n{},\n{}]'])
def test_a_number_of_too_many_digits_costs_its_row_alone(tmp_path, form):
  good = [json.dumps({**ROW, 'id': name}) for name in 'ac']
  long = f'{{"problem": "?", "id": "b", "answer": {LONG}}}'
  path = tmp_path / 'set.json'
  path.write_text(form.format(good[0], long, good[1]))
  rows, faults = zip(*columns.read(path), strict=True)
  assert [row and row.problem.id for row in rows] == ['a', None, 'c']
  assert faults[1].startswith('set.json:2: a number of too many digits')


def test_an_array_that_is_nested_too_deeply_is_named(tmp_path):
  path = tmp_path / 'set.json'
  path.write_text('[\n' + '[' * 100_000)
  ((_, fault),) = columns.read(path)
  assert fault.startswith('set.json:2: nested too deeply')


def test_a_row_of_several_boxes_is_kept_whole_or_named(tmp_path):
  said = [
    {**ROW, 'answer': r'\boxed{1} or \boxed{2}'},
    {**ROW, 'answer': r'Not \boxed{1} but \boxed{2}'},
    {'problem': '?', 'solution': r'Not \boxed{1} but \boxed{2}.'},
  ]
  path = tmp_path / 'set.jsonl'
  path.write_text('\n'.join(map(json.dumps, said)))
  (one, _), (none, fault), (last, _) = columns.read(path)
  assert one.problem.answer == '1 or 2'
  assert none is None
  assert fault.startswith('set.jsonl:2: \\boxed{1}, \\boxed{2} are several')
  assert last.problem.answer == '2'
