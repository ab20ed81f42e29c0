"""The report: one page without external files, with escaped text."""

import html.parser
import json
import re

import pytest
from made_runs import make, sample
from test_figures import keep

from siri_jax.analysis import runs
from siri_jax.analysis.figures import catalog
from siri_jax.commands import report

NASTY = (
  '<script>alert(1)</script> wait </style><style>body{display:none}</style>'
  ' </pre><img src=x onerror="alert(2)"> wait & so "quoted" '
  '{{ 7 * 7 }} \ud800\u202e\x00'
)


class Reader(html.parser.HTMLParser):
  """Collects a page's tags, attributes that load or run, and marked words."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.fetched, self.marked, self._in_mark = [], [], [], False
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self._in_mark = tag == 'mark'
    for name, value in attrs:
      if name in ('src', 'href', 'srcset', 'data') or name.startswith('on'):
        self.fetched.append((name, value))

  def handle_data(self, data):
    if self._in_mark:
      self.marked.append(data)
    self._in_mark = False


@pytest.fixture
def few(monkeypatch):
  """Two figures instead of all, which take seconds."""
  some = {k: catalog.every()[k] for k in ('entropy', 'words')}
  monkeypatch.setattr(catalog, 'every', lambda chosen: some)


def nasty_run(path, **changes):
  make(path, **changes)
  for step, waits in ((4, 1), (8, 2)):
    rows = [
      sample(problem_id='p0', problem=NASTY, response=NASTY + ' wait' * waits),
      sample(problem_id='p1', response='Wait,\nawait', correct=step == 8),
    ]
    keep(path, step, rows)
  return path


def test_the_page_fetches_nothing_and_runs_nothing(tmp_path, few):
  run = nasty_run(tmp_path / 'run <b>&')
  report.write(tmp_path / 'page.html', report.page([runs.read(run)]))
  page = (tmp_path / 'page.html').read_text()
  found = Reader(page)
  assert {'script', 'b', 'link', 'iframe', 'object'} & {*found.tags} == {'b'}
  assert found.tags.count('style') == 1
  assert found.tags.count('img') == 1  # The entropy's.
  kept = {
    value.partition(',')[0].partition('#')[0] for _, value in found.fetched
  }
  assert kept == {'data:image/png;base64', ''}
  assert not [name for name, _ in found.fetched if name.startswith('on')]
  assert "default-src 'none'" in page


def test_model_text_is_escaped(tmp_path, few):
  page = report.page([runs.read(nasty_run(tmp_path))])
  assert '&lt;script&gt;alert(1)&lt;/script&gt;' in page
  assert '{{ 7 * 7 }} ?&lt;202E&gt;&lt;0000&gt;' in page
  assert 'http-equiv="refresh"' not in page


def test_words_of_interest_are_marked_and_counted(tmp_path, few):
  page = report.page([runs.read(nasty_run(tmp_path))])
  # Problem p0 with equal verdicts is first; 'await' is not 'wait'.
  assert Reader(page).marked == ['wait'] * (3 + 4) + ['Wait'] * 2
  assert '4 marked' in page
  assert 'compressed, 4 updates' in page
  assert 'expanded, 8 updates' in page


def test_settings_that_differ_are_columns_and_the_rest_is_shared(tmp_path, few):
  made = [make(tmp_path / f's{seed}', seed=seed) for seed in (0, 1)]
  page = report.page(runs.read_all(made))
  assert '<th>seed</th>' in page
  assert '<th>schedule</th>' not in page
  assert re.search(r'<td>schedule</td><td>&#39;cosine&#39;</td>', page)
  assert 'No run has samples yet' in page
  assert 'words is not drawn: no run kept samples' in page


def test_an_unfinished_run_has_a_page_that_reloads(tmp_path, few):
  going = runs.read(make(tmp_path, steps=5))
  assert '<meta http-equiv="refresh" content="9">' in report.page(
    [going], None, 9
  )
  done = runs.read(make(tmp_path / 'done', evals=[]))
  assert 'http-equiv="refresh"' not in report.page([done], None, 9)


def test_following_ends_with_the_run_and_a_page_without_reload(
  tmp_path, few, monkeypatch
):
  path, page = (
    make(tmp_path / 'run', steps=15, evals=[]),
    tmp_path / 'page.html',
  )
  seen = []

  def sleep(_):
    seen.append(page.read_text())
    with open(path / 'metrics.jsonl', 'a') as file:
      file.write(json.dumps({'step': 15, 'cap': 92}) + '\n')

  monkeypatch.setattr(report.time, 'sleep', sleep)
  assert report.main([str(path), f'--out={page}', '--follow', '--every=7']) == 0
  assert len(seen) == 1
  assert 'content="7"' in seen[0]
  assert 'http-equiv="refresh"' not in page.read_text()


def test_ctrl_c_ends_following_and_leaves_the_page(
  tmp_path, few, monkeypatch, capsys
):
  run, page = make(tmp_path / 'run', steps=2, evals=[]), tmp_path / 'page.html'

  def interrupt(_):
    raise KeyboardInterrupt

  monkeypatch.setattr(report.time, 'sleep', interrupt)
  assert report.main([str(run), f'--out={page}', '--follow']) == 130
  assert 'is not updated any more' in capsys.readouterr().err
  assert page.exists()


def test_a_folder_without_a_run_is_refused_by_name(tmp_path, capsys):
  assert report.main([f'{tmp_path}/none', f'--out={tmp_path}/page.html']) == 2
  assert f'{tmp_path}/none' in capsys.readouterr().err
  assert not (tmp_path / 'page.html').exists()
