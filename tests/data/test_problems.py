"""Problem files: valid files, and the messages about bad lines."""

import dataclasses
import json
import logging

import pytest

from siri_jax import types
from siri_jax.data import problems

GOOD = {'id': 'a', 'problem': '1+1?', 'answer': '2', 'source': 'hand'}


def _write(path, rows):
  lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
  path.write_text('\n'.join(lines) + '\n')
  return path


def test_rows_become_problems_in_their_order(tmp_path):
  path = _write(tmp_path / 'p.jsonl', [GOOD, {**GOOD, 'id': 'b', 'more': 1}])
  first, second = problems.read(path)
  assert first == types.Problem(id='a', text='1+1?', answer='2', source='hand')
  assert second.id == 'b'


def test_the_format_of_a_file_changes_nothing(tmp_path):
  rows = [GOOD, {**GOOD, 'id': 'é'}]
  plain = problems.read(_write(tmp_path / 'plain.jsonl', rows))
  other = tmp_path / 'other.jsonl'
  lines = [json.dumps(row, ensure_ascii=False) for row in rows]
  other.write_bytes(('\ufeff' + '\r\n\r\n'.join(lines)).encode())
  assert problems.read(other) == plain
  assert problems.fingerprint(problems.read(other)) == problems.fingerprint(
    plain
  )


@pytest.mark.parametrize(
  ('line', 'told'),
  [
    ('{"id": "b", "problem": "1+', 'not JSON'),
    ('["b"]', 'a list; write one object'),
    ('[' * 100_000, 'nested too deeply'),
    ('{"answer": 1' + '0' * 5000 + '}', 'a number of too many digits'),
    ('{"id": {"n": [-1' + '0' * 5000 + ']}}', 'a number of too many digits'),
    ({'id': 'b', 'problem': 'x', 'source': ''}, '"answer" is missing'),
    ({**GOOD, 'id': 'b', 'answer': ' '}, '"answer" is empty'),
    ({**GOOD, 'id': 'b', 'answer': 27.0}, '"answer" is 27.0; write it as a s'),
    ({**GOOD, 'id': 'b', 'problem': ''}, '"problem" is empty'),
    ({**GOOD, 'id': 'b', 'problem': '\ud800'}, 'surrogate'),
    (GOOD, '"id" \'a\' is already in line 1'),
  ],
)
def test_a_bad_line_is_named_with_its_fault(tmp_path, line, told):
  path = _write(tmp_path / 'p.jsonl', [GOOD, line])
  with pytest.raises(ValueError, match=r'p.jsonl: bad lines \(1\)') as error:
    problems.read(path)
  assert 'p.jsonl:2: ' in str(error.value)
  assert told in str(error.value)


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
  path = tmp_path / 'p.jsonl'
  path.write_bytes(json.dumps(GOOD).encode() + b'\n{"id": "\xff"}\n')
  with pytest.raises(ValueError, match=r'p.jsonl:2: byte 9 is not UTF-8'):
    problems.read(path)


def test_an_incomplete_last_line_is_reported(tmp_path):
  path = tmp_path / 'p.jsonl'
  path.write_text(json.dumps(GOOD) + '\n' + json.dumps(GOOD)[:20])
  with pytest.raises(ValueError, match=r'p.jsonl:2: .*is it cut\?'):
    problems.read(path)


def test_all_faults_come_at_once_and_a_long_list_is_cut(tmp_path):
  path = _write(tmp_path / 'p.jsonl', [{**GOOD, 'answer': ''}] * 25)
  with pytest.raises(ValueError, match=r'bad lines \(25\)') as error:
    problems.read(path)
  assert str(error.value).count('is empty') == problems.SHOWN
  assert str(error.value).endswith('... and 5 more')


def test_skip_bad_leaves_bad_lines_out_and_counts_them(tmp_path, caplog):
  path = _write(tmp_path / 'p.jsonl', [GOOD, '{', GOOD])
  with caplog.at_level(logging.WARNING):
    assert [p.id for p in problems.read(path, skip_bad=True)] == ['a']
  assert 'lines skipped (2)' in caplog.text


@pytest.mark.parametrize('skip_bad', [False, True])
def test_a_file_without_problems_is_refused(tmp_path, skip_bad):
  path = _write(tmp_path / 'p.jsonl', [''])
  with pytest.raises(ValueError, match='has no problems'):
    problems.read(path, skip_bad=skip_bad)


def test_a_folder_or_nothing_is_not_a_file(tmp_path):
  for path in (tmp_path, tmp_path / 'absent.jsonl'):
    with pytest.raises(ValueError, match='is not a file'):
      problems.read(path)


def test_the_fingerprint_depends_on_every_field_and_the_order():
  one = types.Problem(id='a', text='b', answer='c', source='d')
  two = dataclasses.replace(one, id='e')
  sets = [[one, two], [two, one], [one]]
  others = dict.fromkeys(('id', 'text', 'answer', 'source'), 'x')
  others['columns'] = {'x': 1}
  assert set(others) == set(vars(one))
  sets += [[dataclasses.replace(one, **{k: x})] for k, x in others.items()]
  assert len({problems.fingerprint(s) for s in sets}) == len(sets)


def _task(texts, held_out=(), **settings):
  def made(texts):
    return [types.Problem(t, t, 'x', '') for t in texts]

  return types.Task(
    train=made(texts),
    evals={'test': made(held_out)},
    encode=lambda problem: list(problem.text.encode()),
    decode=bytes,
    eos_ids=(0,),
    vocab=256,
    fingerprints={'data': 'f', 'tokenizer': 't'},
    **settings,
  )


def test_long_prompts_are_dropped_counted_and_fingerprinted():
  task, dropped = problems.drop_long(_task(['four', 'fives', 'ok']), 4)
  assert [p.text for p in task.train] == ['four', 'ok']
  assert dropped == 1
  other, _ = problems.drop_long(_task(['four', 'sixsix', 'ok']), 4)
  assert task.fingerprints == other.fingerprints
  assert task.fingerprints['data'] != 'f'
  assert task.fingerprints['tokenizer'] == 't'


def test_a_task_whose_prompts_all_fit_stays_as_it_is():
  task = _task(['four'])
  assert problems.drop_long(task, 4) == (task, 0)


def test_a_task_with_a_known_longest_prompt_is_not_encoded():
  task = _task(['four'], longest=4)
  searched = dataclasses.replace(task, train=None)
  assert problems.drop_long(searched, 4) == (searched, 0)


def test_only_prompts_that_could_be_long_are_encoded():
  seen = []
  task = _task(['short', 'this is long'], most_tokens=lambda p: 2 * len(p.text))
  counting = dataclasses.replace(
    task, encode=lambda p: seen.append(p.text) or task.encode(p)
  )
  assert problems.drop_long(counting, 12) == (counting, 0)
  assert seen == ['this is long']


def test_the_words_of_a_budget_count_as_a_part_of_the_prompt():
  task = _task(['four', 'six666'], encode_asked=lambda p, b: [*p.text, *b.note])
  asked = [types.Budget(cap=9, note='a'), types.Budget(cap=9, note='abc')]
  kept, dropped = problems.drop_long(task, 8, lambda problem: asked)
  assert ([p.text for p in kept.train], dropped) == (['four'], 1)
  assert problems.drop_long(task, 8) == (task, 0)
  longest = dataclasses.replace(task, longest=6)
  assert problems.drop_long(longest, 9, lambda problem: asked) == (longest, 0)
  with pytest.raises(ValueError, match='no training prompt fits in 6'):
    problems.drop_long(longest, 6, lambda problem: asked)


def test_a_limit_that_cuts_a_held_out_set_or_leaves_nothing_is_refused():
  with pytest.raises(ValueError, match='is too low') as error:
    problems.drop_long(_task(['four'], ['short', 'ok']), 3)
  assert 'no training prompt fits in 3 tokens' in str(error.value)
  assert "test: 1 of 2 prompts do not fit, such as 'short'" in str(error.value)


def test_the_public_sets_are_read_completely(shared_data):
  sizes = {'aime24': 30, 'aime25': 30, 'amc23': 40, 'amc22_23': 83}
  sizes |= {'math500': 500, 'deepscaler_train': 40308}
  for name, size in sizes.items():
    path = shared_data / 'problems' / f'{name}.jsonl'
    assert len(problems.read(path)) == size


@pytest.mark.parametrize('name', ['', '..', '.hidden', 'a/b', 'a b', 'é', '-x'])
def test_a_set_whose_name_is_not_a_file_name_is_refused(name):
  with pytest.raises(ValueError, match='bad names of held-out sets'):
    problems.check_names({'aime24': [], name: []})
  problems.check_names({'aime24': [], 'amc22_23': [], 'v1.5-b+': []})


@pytest.mark.parametrize(
  ('answer', 'read'),
  [
    ('["9", "nine"]', ('9', 'nine')),
    ('["9"]', ('9',)),
    ('["9", 9]', '["9", 9]'),
    ('["9", ""]', '["9", ""]'),
    ('["9"', '["9"'),
    ('[1, 2]', '[1, 2]'),
  ],
)
def test_a_list_of_texts_stands_for_any_of_them(tmp_path, answer, read):
  path = tmp_path / 'train.jsonl'
  path.write_text(json.dumps({**GOOD, 'answer': answer}))
  (problem,) = problems.read(path)
  assert problem.answer == read
  assert problems.fingerprint([problem])
