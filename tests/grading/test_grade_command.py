"""siri_jax.commands.grade: prints one verdict per row, in order."""

import json

import pytest

from siri_jax.commands import grade


@pytest.fixture
def run(tmp_path, capsys):
  """Grades rows and returns (verdicts, text on stderr)."""

  def call(rows, *flags):
    path = tmp_path / 'in.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    assert grade.main([*flags, '--workers=1', str(path)]) == 0
    out, error = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], error

  return call


def test_each_kind_of_response_is_graded(run):
  rows = [
    {'gold': '7', 'pred': 'so \\boxed{7}'},
    {'gold': '7', 'pred': 'so 7', 'kind': 'response'},
    {'gold': '7', 'pred': '<think>so \\boxed{7}', 'kind': 'response'},
    {'gold': '7', 'pred': '7.0', 'kind': 'answer'},
    {'gold': 'it is $7$', 'pred': 'It must be 7.', 'kind': 'text'},
    {'gold': ['6', '7'], 'pred': '\\boxed{7}'},
    {'gold': 27.0, 'pred': '\\boxed{27}', 'kind': None, 'settings': None},
  ]
  verdicts, _ = run(rows, '--rule=deepscaler')
  assert verdicts == [
    {'correct': True, 'extracted': '7', 'why': 'equal'},
    {'correct': False, 'extracted': '', 'why': 'no box'},
    {'correct': False, 'extracted': '', 'why': 'unfinished thought'},
    {'correct': True, 'extracted': '7.0', 'why': 'equal'},
    {'correct': True, 'extracted': '7', 'why': 'equal'},
    {'correct': True, 'extracted': '7', 'why': 'equal'},
    {'correct': True, 'extracted': '27', 'why': 'equal'},
  ]


def test_verdicts_are_in_the_order_of_the_rows(run, monkeypatch):
  monkeypatch.setattr(grade, 'AT_ONCE', 4)
  rows = [{'gold': '1', 'pred': str(i), 'kind': 'answer'} for i in range(10)]
  verdicts, _ = run(rows, '--rule=exact')
  assert [verdict['extracted'] for verdict in verdicts] == list('0123456789')


def test_a_row_may_set_math_verifys_options(run):
  row = {'gold': '$1/3$', 'pred': '$0.33$', 'kind': 'text'}
  loose = {'precision': 2, 'policy': 'two decimals are enough'}
  verdicts, _ = run([row, row | {'settings': loose}], '--rule=math_verify')
  assert [verdict['correct'] for verdict in verdicts] == [False, True]


def test_the_number_of_expected_verdicts_is_printed(run):
  row = {'gold': '7', 'pred': '7', 'kind': 'answer'}
  rows = [row, row | {'expected': True}, row | {'expected': False}]
  assert run(rows)[1].endswith('as expected: 1 of 2\n')


@pytest.mark.faults
def test_an_answer_that_hangs_is_wrong_and_the_others_are_graded(run, tmp_path):
  good = {'gold': '7', 'pred': '7', 'kind': 'answer'}
  half = '(a+b+c+d)^2 + 2e(a+b+c+d) + e^2'
  slow = {'gold': '(a+b+c+d+e)^{20}', 'pred': f'({half})^{{10}}'}
  rows = [good, slow | {'kind': 'answer'}, good]
  verdicts, _ = run(rows, '--rule=math_verify', '--secs=0.3')
  assert [verdict['correct'] for verdict in verdicts] == [True, False, True]
  assert verdicts[1]['why'] == 'timeout'


def test_a_custom_rule_takes_its_own_settings(run, tmp_path, monkeypatch):
  (tmp_path / 'own_rule.py').write_text(
    'from siri_jax.grading.verdict import Verdict\n'
    'def ends(gold, response, *, mark):\n'
    '  return Verdict(response.endswith(gold + mark), response, mark)\n'
  )
  monkeypatch.syspath_prepend(tmp_path)
  rows = [{'gold': '7', 'pred': 'is 7!'}, {'gold': '7', 'pred': 'is 7'}]
  flags = '--rule=own_rule:ends', '--rule_kw={"mark": "!"}'
  verdicts, _ = run(rows, *flags)
  assert [verdict['correct'] for verdict in verdicts] == [True, False]


def refusal(capsys, *argv):
  with pytest.raises(SystemExit) as stop:
    grade.main(list(argv))
  assert stop.value.code == 2
  out, error = capsys.readouterr()
  assert out == ''
  return error


def test_bad_rows_are_named_by_line_all_at_once(tmp_path, capsys):
  path = tmp_path / 'in.jsonl'
  rows = [
    '{"gold": "1"}',
    '{"gold": "1", "pred": "1"}',
    '{"gold": {}, "pred": null, "kind": "box", "settings": 3}',
    '[1]',
    'not JSON',
  ]
  path.write_text('\n'.join(rows))
  error = refusal(capsys, str(path))
  assert f'{path}:1: "pred" is missing' in error
  assert f'{path}:2' not in error
  assert f'{path}:3: "gold" is {{}}; write a text or a list of texts' in error
  assert '"kind" is \'box\'; write one of response, answer, text' in error
  assert '"settings" is 3; write an object' in error
  assert f'{path}:4' in error
  assert f'{path}:5' in error


def test_help_lists_what_each_rule_refuses(capsys):
  with pytest.raises(SystemExit):
    grade.main(['--help'])
  told = ' '.join(capsys.readouterr().out.split())
  for rule in ('exact', 'deepscaler', 'math_verify', 'either'):
    assert f' {rule} ' in told
  assert 'it refuses on purpose: a reply without a box;' in told


def test_an_unknown_rule_is_refused_with_a_suggestion(tmp_path, capsys):
  path = tmp_path / 'in.jsonl'
  path.write_text('{"gold": "1", "pred": "1"}\n')
  error = refusal(capsys, '--rule=mathverify', str(path))
  assert "did you mean 'math_verify'?" in error


def test_a_missing_file_is_named(capsys):
  assert "'none.jsonl'" in refusal(capsys, 'none.jsonl')
