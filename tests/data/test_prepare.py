"""Conversion of problem sets to a problem file: by hand, and a real set."""

import hashlib
import json

import builders
import pytest
import tiny_tokenizer

from siri_jax.commands import prepare as prepare_data
from siri_jax.data import problems
from siri_jax.data.prepare import card, clean, columns

SUFFIX = " Let's think step by step and output the final answer within"
SUFFIX += ' \\boxed{}.'
DAPO = (
  'Solve the following math problem step by step. The last line of your '
  'response should be of the form Answer: $Answer (without quotes) where '
  '$Answer is the answer to the problem.\n\n1+1=?\n\n'
  'Remember to put your answer on its own line after "Answer:".'
)


def _jsonl(path, *rows):
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return path


def _row(text='1+1=?', answer='2', **more):
  return {'problem': text, 'answer': answer, **more}


def _read(path):
  rows, faults = zip(*columns.read(path), strict=True)
  assert not any(faults)
  return rows


def _run(*arguments):
  return prepare_data.main([str(argument) for argument in arguments])


def _outcome(out):
  """(problems, card) that a run wrote."""
  return (
    problems.read(out),
    json.loads(out.with_suffix('.card.json').read_text()),
  )


@pytest.mark.parametrize(
  'row',
  [
    {'problem': '1+1=?', 'answer': '2', 'solution': 'One more.'},
    {'problem': '1+1=?', 'solution': r'So \boxed{1}, no: $\boxed{2}$.'},
    {'question': '1+1=?', 'answer': 'One and one.\n#### 2'},
    {'question': '1+1=?', 'final_answer': ['$2$'], 'answer': None},
    {'Problem': '1+1=?', 'Answer': 2},
    {'problem': '1+1=?', 'expected_answer': 2.0},
    {'prompt': '1+1=?' + SUFFIX, 'answer': '2'},
    {
      'data_source': 'hand',
      'prompt': [
        {'role': 'system', 'content': 'Be good.'},
        {'role': 'user', 'content': '1+1=?' + SUFFIX},
      ],
      'reward_model': {'style': 'rule', 'ground_truth': '["2"]'},
      'extra_info': {'index': 7},
    },
    {
      'prompt': [{'role': 'user', 'content': DAPO}],
      'reward_model': {'ground_truth': '2'},
      'answer': 'ignored',
    },
  ],
)
def test_every_usual_schema_gives_the_same_problem(tmp_path, row):
  (found,) = _read(_jsonl(tmp_path / 'set.jsonl', row))
  assert (found.problem.text, found.problem.answer) == ('1+1=?', '2')
  assert found.problem.id == ('set-7' if 'extra_info' in row else 'set-1')
  assert found.problem.source == row.get('data_source', 'set')
  assert found.instructed == ('prompt' in row)


def test_an_array_is_read_as_lines_are(tmp_path):
  rows = [_row(id='x', source='s'), _row('2+2=?', 4, id=9)]
  lines = _jsonl(tmp_path / 'set.jsonl', *rows)
  for indent in (None, 2):
    array = tmp_path / 'set.json'
    array.write_text('\ufeff' + json.dumps(rows, indent=indent))
    assert _read(array) == _read(lines)
  array.write_text(lines.read_text())  # Many a .json holds lines.
  assert _read(array) == _read(lines)
  assert [r.problem.id for r in _read(lines)] == ['x', 'set-9']


def test_parquet_is_read_as_lines_are(tmp_path):
  pyarrow = pytest.importorskip('pyarrow', reason='Parquet needs pyarrow')
  parquet = pytest.importorskip('pyarrow.parquet')
  chat = [{'role': 'user', 'content': '1+1=?' + SUFFIX}]
  rows = [
    {
      'prompt': chat,
      'reward_model': {'ground_truth': str(n)},
      'extra_info': {'index': n},
      'data_source': 'hand',
    }
    for n in range(3)
  ]
  path = tmp_path / 'set.parquet'
  parquet.write_table(pyarrow.Table.from_pylist(rows), path)
  assert _read(path) == _read(_jsonl(tmp_path / 'set.jsonl', *rows))


def test_parquet_that_is_cut_or_has_bad_rows_is_named(tmp_path):
  pyarrow = pytest.importorskip('pyarrow', reason='Parquet needs pyarrow')
  parquet = pytest.importorskip('pyarrow.parquet')
  path = tmp_path / 'set.parquet'
  rows = [_row(), _row(answer='')]
  parquet.write_table(pyarrow.Table.from_pylist(rows), path)
  *_, (_, fault) = columns.read(path)
  assert fault.startswith("set.parquet:row 2: the answer is ''")
  path.write_bytes(path.read_bytes()[:-8])
  ((_, fault),) = columns.read(path)
  assert fault.startswith('set.parquet:row 1: not readable as Parquet')


@pytest.mark.parametrize(
  ('row', 'told'),
  [
    ('{"problem": ', 'not JSON'),
    ({'answer': '2'}, 'no problem; add one of the columns problem, question'),
    ({'problem': '1+1=?'}, 'no answer; add one of'),
    ({'problem': '1+1=?', 'solution': 'no box'}, r'no solution with a \boxed'),
    (_row(answer=''), "the answer is ''"),
    (_row(answer=r'$\boxed{}$'), 'cannot be compared'),
    (_row(answer='proof'), 'cannot be compared'),
    (_row(answer=True), 'True is not an answer'),
    (_row(text=' '), 'the problem is empty'),
    (_row(text=3), 'the problem is 3'),
    (_row(text='\udcff'), 'surrogate'),
  ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path, row, told):
  line = row if isinstance(row, str) else json.dumps(row)
  path = tmp_path / 'set.jsonl'
  path.write_text(json.dumps(_row()) + '\n' + line + '\n')
  (good, none), (bad, fault) = columns.read(path)
  assert good
  assert not none
  assert not bad
  assert fault.startswith('set.jsonl:2: ')
  assert told in fault


def test_bad_rows_of_an_array_are_named_by_their_line(tmp_path):
  path = tmp_path / 'set.json'
  rows = [_row(), _row(answer=''), 3]
  path.write_text(json.dumps(rows, indent=0)[:-2] + ', {"problem": "1')
  faults = [fault for _, fault in columns.read(path) if fault]
  assert faults[0].startswith("set.json:6: the answer is ''")
  assert faults[1] == 'set.json:10: not an object'
  assert faults[2].startswith('set.json:10: not JSON: ')


def test_any_answer_of_a_list_is_right_once_it_is_prepared(tmp_path):
  rows = (_row(answer=['9', 'nine']), _row('2?', '["$\\\\frac12$", "0.5"]'))
  out = tmp_path / 'out.jsonl'
  assert _run(_jsonl(tmp_path / 'raw.jsonl', *rows), f'--out={out}') == 0
  kept, _ = _outcome(out)
  assert [p.answer for p in kept] == [('9', 'nine'), (r'\frac12', '0.5')]
  golds = [p.answer for p in kept for _ in range(3)]
  texts = map(builders.boxed, ('9', 'nine', '99', '0.5', r'\frac12', '2'))
  with builders.math_graders(workers=1) as graders:
    found = [verdict.correct for verdict in graders.grade(golds, [*texts])]
  assert found == [True, True, False, True, True, False]


CONTESTED = ['1', '$2$', '2', '3']
TIED = ['1', '2', '2.0', '1']
AGREED = [r'\dfrac{1}{2}', r'$\frac{1}{2}$', r'\frac {1} {2}']


@pytest.mark.parametrize(
  ('policy', 'wanted'),
  [
    ('drop', [None, None, r'\dfrac{1}{2}']),
    ('first', ['1', '1', r'\dfrac{1}{2}']),
    ('majority', ['2', None, r'\dfrac{1}{2}']),
  ],
)
def test_conflicts_are_settled_by_the_named_policy(tmp_path, policy, wanted):
  stood = []
  for number, found in enumerate((CONTESTED, TIED, AGREED)):
    path = _jsonl(
      tmp_path / f'{number}.jsonl', *(_row(answer=a) for a in found)
    )
    (group,) = clean.grouped(_read(path)).values()
    row = clean.chosen(group, policy)
    stood.append(row and row.problem.answer)
  assert stood == wanted
  assert set(clean.CONFLICTS) == {'drop', 'first', 'majority'}


@pytest.mark.slow
def test_answers_of_one_value_are_no_conflict(tmp_path):
  raw = _jsonl(
    tmp_path / 'raw.jsonl',
    *(_row('half?', a) for a in (r'\frac{1}{2}', '0.5', r'\dfrac12')),
    *(_row('root?', a) for a in (r'2\sqrt{10}', r'\sqrt{40}', '7')),
    *(_row('third?', a) for a in (r'\frac{1}{3}', '0.33')),
  )
  kept = {}
  for policy in clean.CONFLICTS:
    out = tmp_path / f'{policy}.jsonl'
    assert _run(raw, f'--out={out}', f'--conflicts={policy}') == 0
    found, told = _outcome(out)
    assert told['conflicting_problems'] == 3
    assert told['conflicting_once_unwrapped'] == 2
    kept[policy] = {p.text: p.answer for p in found}
  half = {'half?': r'\frac{1}{2}'}
  assert kept == {
    'drop': half,
    'first': {**half, 'root?': r'2\sqrt{10}', 'third?': r'\frac{1}{3}'},
    'majority': {**half, 'root?': r'2\sqrt{10}'},
  }


def test_a_run_writes_clean_problems_and_says_what_it_did(tmp_path, capsys):
  raw = _jsonl(
    tmp_path / 'raw.jsonl',
    _row('one', '$1$', id='a', source='s|t'),
    _row('one', '1', id='b'),
    _row('two', '2', id='a'),
    _row('three', '3'),
    _row('three', '4'),
    _row('long ' * 50, '5'),
    _row('Held out!', '6'),
    _row('bad', ''),
  )
  test = _jsonl(tmp_path / 'test.jsonl', _row('held out', '6', id='t6'))
  out = tmp_path / 'new' / 'out.jsonl'
  folder = tiny_tokenizer.write(tmp_path / 'tokenizer')
  arguments = [raw, f'--out={out}', f'--evals={test}', '--remove_overlap']
  arguments += [
    f'--tokenizer={folder}',
    '--max_prompt_tokens=200',
    '--skip_bad',
  ]
  assert _run(*arguments) == 0
  kept, told = _outcome(out)
  assert [(p.id, p.text, p.answer, p.source) for p in kept] == [
    ('a', 'one', '1', 's|t'),
    ('a~2', 'two', '2', 'raw'),
  ]
  wanted = {
    'problems': 2,
    'rows': 7,
    'bad_rows': 1,
    'unique_problems': 5,
    'duplicate_rows': 2,
    'conflicting_problems': 2,
    'conflicting_once_unwrapped': 1,
    'answers_unwrapped': 1,
    'dropped': {'conflict': 1, 'too_long': 1, 'overlap': 1},
    'overlap': {'test': {'raw-7': 't6'}},
    'sources': {'s|t': 1, 'raw': 1},
  }
  assert {key: told[key] for key in wanted} == wanted
  assert told['prompts']['rows_over'] == {'200': 1, '512': 0, '1024': 0}
  assert told['bad_rows_named'][0].startswith("raw.jsonl:8: the answer is ''")
  digest = hashlib.sha256(raw.read_bytes()).hexdigest()
  assert told['inputs'][0]['sha256'] == digest
  assert told['sha256'] == hashlib.sha256(out.read_bytes()).hexdigest()
  assert told['fingerprint'] == problems.fingerprint(kept)
  story = out.with_suffix('.card.md').read_text()
  assert story == card.markdown(told)
  assert r's\|t' in story
  assert story in capsys.readouterr().out


def test_held_out_sets_that_are_named_apart_all_count(tmp_path):
  raw = _jsonl(tmp_path / 'raw.jsonl', _row('a'), _row('b'), _row('c'))
  sets = [_jsonl(tmp_path / f'{n}.jsonl', _row(n)) for n in 'ab']
  out = tmp_path / 'out.jsonl'
  words = [f'--evals={path}' for path in sets] + ['--remove_overlap']
  assert _run(raw, f'--out={out}', *words) == 0
  assert [p.text for p in _outcome(out)[0]] == ['c']


def test_overlap_stays_where_removal_is_not_asked_for(tmp_path):
  raw = _jsonl(tmp_path / 'raw.jsonl', _row())
  out = tmp_path / 'out.jsonl'
  assert _run(raw, f'--out={out}', f'--evals={raw}') == 0
  kept, told = _outcome(out)
  assert len(kept) == 1
  assert told['overlap'] == {'raw': {'raw-1': 'raw-1'}}
  assert told['prompts'] == {}


def test_the_same_input_gives_the_same_bytes_and_cleaning_twice_is_once(
  tmp_path,
):
  raw = _jsonl(tmp_path / 'raw.jsonl', _row(answer='$2$'), _row('3?', ['3']))
  outs = [tmp_path / 'first.jsonl', tmp_path / 'second.jsonl']
  assert _run(raw, f'--out={outs[0]}') == 0
  assert _run(outs[0], f'--out={outs[1]}') == 0
  assert outs[0].read_bytes() == outs[1].read_bytes()


def test_bad_rows_stop_a_strict_run_and_nothing_is_written(tmp_path, capsys):
  raw = _jsonl(tmp_path / 'raw.jsonl', *[_row(answer='')] * 30, _row())
  assert _run(raw, f'--out={tmp_path / "out.jsonl"}') == 1
  told = capsys.readouterr().err
  assert '30 bad rows' in told
  assert 'raw.jsonl:1: ' in told
  assert '... and 10 more' in told
  assert list(tmp_path.iterdir()) == [raw]


def test_without_a_remaining_problem_nothing_is_written(tmp_path, capsys):
  raw = _jsonl(tmp_path / 'raw.jsonl', _row(answer='1'), _row(answer='3'))
  assert _run(raw, f'--out={tmp_path / "out.jsonl"}') == 1
  assert 'no problem is left' in capsys.readouterr().err
  assert list(tmp_path.iterdir()) == [raw]


def test_all_bad_arguments_come_at_once(tmp_path, capsys):
  raw = _jsonl(tmp_path / 'raw.txt', _row())
  with pytest.raises(SystemExit) as ended:
    _run(raw, 'absent.json', '--out=x', '--remove_overlap', '--tokenizer=no')
  assert ended.value.code == 2
  told = capsys.readouterr().err
  assert 'raw.txt does not end in one of .jsonl, .json, .parquet' in told
  assert 'absent.json is not a file' in told
  assert '--out=x does not end in .jsonl' in told
  assert '--remove_overlap needs --evals' in told
  assert "--tokenizer: 'no' is not a tokenizer folder" in told


def test_inputs_are_not_overwritten_and_sets_have_unique_names(
  tmp_path, capsys
):
  raw = _jsonl(tmp_path / 'raw.jsonl', _row())
  other = tmp_path / 'other.jsonl'
  for arguments in ([raw, f'--out={raw}'], [raw, f'--out={other}']):
    other.touch()
    with pytest.raises(SystemExit):
      _run(*arguments, f'--evals={other},{other}')
    told = capsys.readouterr().err
    assert 'would overwrite an input' in told
    assert '--evals has 2 sets called other' in told


@pytest.mark.slow
def test_the_real_set_gives_its_known_counts(tmp_path, shared_data):
  sets = ('aime24', 'aime25', 'amc23', 'amc22_23', 'math500')
  evals = [str(shared_data / f'problems/{name}.jsonl') for name in sets]
  out = tmp_path / 'train.jsonl'
  folder = shared_data / 'tokenizer/deepseek-r1-distill-qwen'
  raw = shared_data / 'problems/deepscaler_train.jsonl'
  arguments = [raw, f'--out={out}', f'--tokenizer={folder}']
  arguments += ['--evals=' + ','.join(evals), '--remove_overlap']
  assert _run(*arguments) == 0
  kept, told = _outcome(out)
  wanted = {
    'rows': 40_308,
    'bad_rows': 0,
    'duplicate_rows': 928,
    'unique_problems': 39_380,
    'conflicting_problems': 171,
  }
  assert {key: told[key] for key in wanted} == wanted
  # 164 by their text; how many of them are of one value is the grader's word.
  conflict = told['conflicting_once_unwrapped']
  assert 140 < conflict < 160
  assert told['prompts']['rows_over'] == {'512': 124, '1024': 9}
  assert told['prompts']['median'] == 85
  assert told['prompts']['longest'] == 3317
  overlap = {name: len(twins) for name, twins in told['overlap'].items()}
  assert overlap == dict.fromkeys(sets, 0) | {'math500': 9}
  assert told['dropped'] == {'conflict': conflict, 'too_long': 9, 'overlap': 9}
  assert len(kept) == told['problems'] == 39_380 - conflict - 9 - 9
