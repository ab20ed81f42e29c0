"""The report: one page without external files, with escaped text."""

import base64
import hashlib
import html
import html.parser
import json
import re
import shutil
import subprocess
import sys

import pytest
from made_runs import make, sample
from test_figures import keep

from siri_jax.analysis import runs
from siri_jax.analysis import seeds as groups
from siri_jax.analysis.figures import catalog
from siri_jax.analysis.report import facts
from siri_jax.analysis.report.page import page as page_of
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
  report.write(tmp_path / 'page.html', page_of([runs.read(run)]))
  page = (tmp_path / 'page.html').read_text()
  found = Reader(page)
  assert {'link', 'iframe', 'object'} & {*found.tags} == set()
  assert found.tags.count('script') == 1  # Its own, the only one allowed.
  script = page.partition('<script>')[2].partition('</script>')[0]
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  assert f"script-src 'sha256-{digest}'" in html.unescape(page)
  assert found.tags.count('style') == 1
  assert found.tags.count('img') == 1  # The entropy's.
  kept = {
    value.partition(',')[0].partition('#')[0] for _, value in found.fetched
  }
  assert kept == {'data:image/png;base64', ''}
  assert not [name for name, _ in found.fetched if name.startswith('on')]
  assert "default-src 'none'" in page


def test_model_text_is_escaped(tmp_path, few):
  page = page_of([runs.read(nasty_run(tmp_path))])
  assert '&lt;script&gt;alert(1)&lt;/script&gt;' in page
  assert '{{ 7 * 7 }} &lt;D800&gt;&lt;202E&gt;&lt;0000&gt;' in page
  assert 'http-equiv="refresh"' not in page


def test_words_of_interest_are_marked_and_counted(tmp_path, few):
  page = page_of([runs.read(nasty_run(tmp_path))])
  # Problem p0 with equal verdicts is first; 'await' is not 'wait'.
  assert Reader(page).marked == ['wait'] * (3 + 4) + ['Wait'] * 2
  assert '4 marked' in page
  assert 'compressed, step 4' in page
  assert 'expanded, step 8' in page


def test_settings_that_differ_are_columns_and_the_rest_is_shared(tmp_path, few):
  made = [make(tmp_path / f's{seed}', seed=seed) for seed in (0, 1)]
  page = page_of(runs.read_all(made))
  assert re.search(r'<th scope="row">schedule_kw.low</th><td>46</td>', page)
  assert 'Settings that differ</caption>' not in page  # One setting, two seeds.
  assert 'No run has samples yet' in page
  assert 'words is not drawn: no run kept samples' in page


def test_arms_show_first_in_which_settings_they_differ(tmp_path, few):
  made = [
    make(tmp_path / 'a', learning_rate=9e-3 + 1e-18),
    make(tmp_path / 'b', learning_rate=1e-3),
  ]
  differing, _, _ = facts.settings(groups.of(runs.read_all(made)))
  assert differing.heads == ['arm', 'learning_rate', 'seeds']
  assert differing.rows[0][1:] == ['0.009', '0']
  assert [facts.shown(x) for x in ('a', True, [1])] == ['a', 'true', '[1]']


def test_alarms_are_on_the_page_before_other_events(tmp_path, few):
  path = make(tmp_path)
  events = [
    {'kind': 'resumed', 'time': '2026-01-01T00:00:00+00:00', 'step': 3},
    {'kind': 'alarm', 'name': 'cut', 'step': 5, 'told': 'raise <the> cap'},
  ]
  text = ''.join(json.dumps(event) + '\n' for event in events)
  (path / 'events.jsonl').write_text(text)
  found = facts.events(groups.of([runs.read(path)]))
  assert [row[0] for row in found.rows] == ['alarm cut', 'resumed']
  assert 'raise &lt;the&gt; cap' in page_of([runs.read(path)])


def test_a_run_has_its_speed_and_progress(tmp_path):
  (row,) = facts.runs(groups.of([runs.read(make(tmp_path))])).rows
  assert row[3:4] + row[5:6] == ['16 / 16', '0:00:48']  # 16 steps of 3 s.


def test_a_sample_has_the_expected_answer_and_the_verdict(tmp_path, few):
  page = page_of([runs.read(nasty_run(tmp_path))])
  assert 'Expected answer: <b>1</b>' in page
  assert '<span class="incorrect">incorrect</span>, answer 1, 10 tokens' in page


@pytest.mark.slow
def test_a_browser_sorts_a_table_by_a_click_on_its_head(tmp_path):
  browser = shutil.which('chromium') or shutil.which('google-chrome')
  if not browser:
    pytest.skip('no chromium')
  made = [str(make(tmp_path / name, steps=6, evals=[])) for name in 'bca']
  # As a process: in this one JAX has threads, which forbid the command's fork.
  command = [sys.executable, '-m', 'siri_jax.commands.report', *made]
  subprocess.run([*command, f'--out={tmp_path}/p.html'], check=True)
  page = (tmp_path / 'p.html').read_text()
  assert page.count('<img') > 2
  # Without its policy, which would refuse the click of the test.
  page = re.sub('<meta http-equiv="Content-Security-Policy".*?>', '', page)
  click = '<script>document.querySelector("th button").click()</script></body>'
  report.write(tmp_path / 'p.html', page.replace('</body>', click))
  flags = ['--headless', '--no-sandbox', '--disable-gpu', '--dump-dom']
  found = subprocess.run(
    [browser, *flags, (tmp_path / 'p.html').as_uri()],
    capture_output=True,
    text=True,
    check=True,
    timeout=120,
  ).stdout
  assert '<th scope="col" aria-sort="ascending"><button type="button">' in found
  assert re.findall('<th scope="row">([abc])</th>', found)[:3] == [*'abc']


def test_an_unfinished_run_has_a_page_that_reloads(tmp_path, few):
  going = runs.read(make(tmp_path, steps=5))
  assert '<meta http-equiv="refresh" content="9">' in page_of([going], None, 9)
  done = runs.read(make(tmp_path / 'done', evals=[]))
  assert 'http-equiv="refresh"' not in page_of([done], None, 9)


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
