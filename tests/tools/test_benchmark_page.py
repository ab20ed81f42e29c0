"""The tables of BENCHMARKS.md, and the check of their counts."""

import importlib.util
import pathlib

import jax
import numpy as np
import pytest

from tools.benchmarks import __main__ as page
from tools.benchmarks import counters, laptop, marked


@pytest.fixture
def document(tmp_path):
  path = tmp_path / 'page.md'
  path.write_text(
    'before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n'
    '<!-- b: begin -->\nother\n<!-- b: end -->\n'
  )
  return path


def test_text_is_put_between_its_marks(document):
  marked.replace(document, 'a', 'new')
  assert marked.read(document, 'a') == 'new'
  assert document.read_text() == (
    'before\n<!-- a: begin -->\nnew\n<!-- a: end -->\nafter\n'
    '<!-- b: begin -->\nother\n<!-- b: end -->\n'
  )


@pytest.mark.parametrize(
  'text',
  [
    'no marks',
    '<!-- a: begin --> no end',
    '<!-- a: end --><!-- a: begin -->',
    '<!-- a: begin --><!-- a: end --><!-- a: begin --><!-- a: end -->',
  ],
)
def test_a_document_without_the_marks_is_refused_and_kept(text, tmp_path):
  path = tmp_path / 'page.md'
  path.write_text(text)
  with pytest.raises(ValueError, match='a: begin'):
    marked.replace(path, 'a', 'new')
  assert path.read_text() == text


def test_a_benchmark_rewrites_its_part_with_its_conditions(
  document, monkeypatch
):
  monkeypatch.setitem(page.BENCHMARKS, 'a', 'python -c "print(6 * 7)"')
  assert page.rewritten(document, 'a')
  first, *rest = marked.read(document, 'a').splitlines()
  assert first == '`python -c "print(6 * 7)"`'
  assert 'commit' in rest[0]
  assert rest[-1] == '42'


def test_a_benchmark_that_fails_leaves_its_part(document, monkeypatch):
  before = document.read_text()
  monkeypatch.setitem(
    page.BENCHMARKS, 'a', 'python -c "print(1); raise SystemExit(3)"'
  )
  assert not page.rewritten(document, 'a')
  assert document.read_text() == before


def test_every_benchmark_has_a_part_of_the_page():
  for name in page.BENCHMARKS:
    assert marked.read(page.DOCUMENT, name)


def test_every_command_of_the_page_is_a_module_of_the_checkout():
  # `python tools/x.py` would not find siri_jax.
  for command in page.BENCHMARKS.values():
    assert command.startswith('python -m tools.benchmarks.')
    assert importlib.util.find_spec(command.split()[2])


def test_peers_are_compared_by_the_medians_of_their_runs():
  rates = {'siri_jax': (9.0, 2.0, 4.0), 'trl': (2.0, 1.0, 5.0)}
  rows = [
    dict.fromkeys(laptop.COLUMNS, rate)
    | dict(size='4.2M', system=system, others_cores=0.5)
    for system, own in rates.items()
    for rate in own
  ]
  rows.append(dict(size='4.2M', system='tunix', failed='no memory'))
  _, _, ours, trl, tunix = laptop.table(rows).partition('\n\n')[0].splitlines()
  assert '| 4 [2, 9] ' in ours
  assert 'times' not in ours
  assert '| 2 [1, 5] (2.00 times) ' in trl
  assert 'failed: no memory' in tunix


def test_an_unknown_benchmark_is_refused_with_the_known_ones(capsys):
  assert page.main(['typo']) == 2
  assert 'typo' in (told := capsys.readouterr().err)
  assert all(name in told for name in page.BENCHMARKS)


FOUND = {
  'programs compiled': 6.0,
  'filled part of a row, %': 97.5,
  'update: MFLOP': 8123.4,
}


def test_a_table_of_counts_is_read_back_as_it_was_written():
  version, found = counters.written(counters.table(FOUND))
  assert version == jax.__version__
  assert found.keys() == FOUND.keys()
  np.testing.assert_allclose([*found.values()], [*FOUND.values()], rtol=1e-3)


@pytest.mark.parametrize(
  ('name', 'now', 'is_worse'),
  [
    ('programs compiled', 7.0, True),
    ('programs compiled', 5.0, False),
    ('filled part of a row, %', 85.0, True),
    ('filled part of a row, %', 99.0, False),
    ('update: MFLOP', 8900.0, False),  # Within 10 %.
    ('update: MFLOP', 9000.0, True),
    ('a new count', 1.0, True),
  ],
)
def test_a_count_is_worse_by_its_sign_beyond_the_slack(name, now, is_worse):
  before = counters.written(counters.table(FOUND))
  found = counters.worse({**FOUND, name: now}, before)
  assert [line.partition(':')[0] for line in found] == (
    [name.partition(':')[0]] if is_worse else []
  )


def test_flops_and_bytes_are_compared_under_one_version_of_jax_alone():
  other = 'JAX 0.0.1', {**FOUND, 'programs compiled': 1.0}
  found = counters.worse({**FOUND, 'update: MFLOP': 1e9}, other)
  assert [line.partition(':')[0] for line in found] == ['programs compiled']


def test_the_counts_of_the_page_are_of_the_versions_that_ci_installs():
  text = marked.read(counters.DOCUMENT, 'counters')
  version, found = counters.written(text)
  pinned = pathlib.Path(counters.DOCUMENT.parents[2], 'requirements-cpu.txt')
  assert version in pinned.read_text()
  assert found['programs compiled'] > 0
