"""The grading processes: what they survive, what they cost, what they leave."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from ml_collections import config_dict

from siri_jax.grading import pool, process
from siri_jax.grading.verdict import Verdict

HOSTILE = """
import json, os, signal, sys, time
from siri_jax.grading.verdict import Verdict

def rule(gold, response, *, mode):
  match response:
    case 'hang in Python':
      while True: pass
    case 'hang in C':
      9 ** 9 ** 9
    case 'wait':
      time.sleep(0.5)
    case 'stop':
      os.kill(os.getpid(), signal.SIGSTOP)
    case 'exit':
      os._exit(0)
    case 'leave':
      sys.exit()
    case 'crash':
      os.kill(os.getpid(), signal.SIGSEGV)
    case 'raise':
      raise KeyError(gold)
    case 'recurse':
      rule(gold, response, mode=mode)
      return None
    case 'nothing':
      return None
    case 'eat':
      bytearray(2 ** 40)
    case 'print':
      print('["noise"]', flush=True)
      os.write(1, b'more noise')
    case 'tell':
      seen = dict(jax='jax' in sys.modules, environ=sorted(os.environ))
      return Verdict(True, json.dumps(seen), 'told')
  return Verdict(gold == response, response, mode)
"""
DIED, TIMEOUT = process.DIED, process.TIMEOUT


@pytest.fixture(scope='module')
def hostile(tmp_path_factory):
  """The folder of a rule that does to its process what its response says."""
  folder = tmp_path_factory.mktemp('plugin')
  (folder / 'hostile_rule.py').write_text(HOSTILE)
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(folder)
    yield folder


def hostile_graders(**changes):
  settings = dict(workers=1, secs=1.0, memory_gb=1.0) | changes
  return pool.Graders('hostile_rule:rule', dict(mode='told'), **settings)


@pytest.fixture(scope='module')
def graders(hostile):
  with hostile_graders() as graders:
    yield graders


def math_graders(rule='deepscaler', **changes):
  settings = dict(workers=2, secs=2.0, memory_gb=2.0) | changes
  rule_kw = config_dict.create(kind='continuation', verify_kw={})
  return pool.Graders(rule, rule_kw, **settings)


def boxed(answer):
  return f'so</think> \\boxed{{{answer}}}'


def new_counts(graders, before):
  return {k: n - before[k] for k, n in graders.counts.items() if n - before[k]}


def test_verdicts_come_in_the_order_submitted(hostile):
  count = 5 * pool.CHUNK + 3
  golds = [str(i % 7) for i in range(count)]
  texts = [str(i) for i in range(count)]
  with hostile_graders(workers=2) as graders:
    verdicts = graders.grade(golds, texts)
  assert [v.extracted for v in verdicts] == texts
  assert [v.correct for v in verdicts] == [
    g == t for g, t in zip(golds, texts, strict=True)
  ]


@pytest.mark.faults
@pytest.mark.parametrize(
  ('deed', 'verdict', 'counted'),
  [
    ('hang in Python', TIMEOUT, 'timeouts'),
    ('hang in C', TIMEOUT, 'timeouts'),
    ('stop', TIMEOUT, 'timeouts'),
    ('exit', DIED, 'crashes'),
    ('leave', DIED, 'crashes'),
    ('crash', DIED, 'crashes'),
    ('raise', Verdict(False, '', 'failed: KeyError'), None),
    ('recurse', Verdict(False, '', 'failed: RecursionError'), None),
    ('nothing', Verdict(False, '', 'failed: AttributeError'), None),
    ('eat', Verdict(False, '', 'failed: MemoryError'), None),
    ('print', Verdict(False, 'print', 'told'), None),
  ],
)
def test_a_bad_answer_costs_itself_alone(graders, deed, verdict, counted):
  before = dict(graders.counts)
  good = Verdict(True, 'ok', 'told')
  golds = [f'ok {deed}', 'ok', deed + '?', f'after {deed}']
  texts = [f'ok {deed}', 'ok', deed, f'after {deed}']
  first, second, bad, last = graders.grade(golds, texts)
  assert bad == verdict
  assert second == good
  assert (first.correct, last.correct) == (True, True)
  counts = new_counts(graders, before)
  assert counts.pop('answers') == 4
  counts.pop('cached', None)
  assert counts == ({counted: 1} if counted else {})


@pytest.mark.faults
def test_an_overrun_is_cut_at_the_limit(graders):
  graders.grade(['1'], ['a warm worker'])
  start = time.monotonic()
  assert graders.grade(['1'], ['hang in C']) == [TIMEOUT]
  assert 1.0 <= time.monotonic() - start < 2.0


@pytest.mark.faults
def test_answers_that_all_hang_take_their_time_and_no_more(hostile):
  with hostile_graders(workers=2, secs=0.5) as graders:
    texts = [f'{i}' if i % 2 else 'hang in Python' for i in range(8)]
    golds = [f'{i}' for i in range(8)]
    verdicts = graders.grade(golds, texts)
    assert [v.correct for v in verdicts] == [bool(i % 2) for i in range(8)]
    assert graders.counts['timeouts'] == 4


def test_submit_returns_while_the_workers_work(graders):
  start = time.monotonic()
  ticket = graders.submit(['wait', 'x'], ['wait', 'x'])
  assert time.monotonic() - start < 0.4
  other = graders.submit(['y'], ['y'])
  assert [v.correct for v in graders.collect(other)] == [True]
  assert [v.correct for v in graders.collect(ticket)] == [True, True]


def test_an_answer_met_before_is_not_graded_again(graders):
  before = dict(graders.counts)
  first = graders.grade(['m', 'm', 'n'], ['m', 'm', 'm'])
  assert graders.grade(['m', 'n'], ['m', 'm']) == [first[0], first[2]]
  assert new_counts(graders, before) == {'answers': 5, 'cached': 3}


@pytest.mark.faults
def test_a_timeout_is_tried_again_the_next_time(graders):
  before = dict(graders.counts)
  graders.grade(['1', '1'], ['hang in Python', 'hang in Python'])
  graders.grade(['1'], ['hang in Python'])
  assert new_counts(graders, before) == {
    'answers': 3,
    'cached': 1,
    'timeouts': 2,
  }


def test_the_cache_is_bounded(graders, monkeypatch):
  monkeypatch.setattr(pool, 'CACHED', 4)
  graders.grade(['1'] * 6, [f'c{i}' for i in range(6)])
  before = dict(graders.counts)
  graders.grade(['1'] * 2, ['c0', 'c5'])
  assert new_counts(graders, before) == {'answers': 2, 'cached': 1}


@pytest.mark.faults
def test_a_worker_retires_before_its_caches_grow_large(hostile, monkeypatch):
  monkeypatch.setattr(pool, 'RETIRED_AFTER', 10)
  with hostile_graders() as graders:
    (first,) = graders._workers
    texts = [str(i) for i in range(3 * pool.CHUNK)]
    assert all(v.correct for v in graders.grade(texts, texts))
    assert not first.alive
    assert graders.counts['crashes'] == 0


def test_settings_may_differ_by_answer(graders):
  verdicts = graders.grade(['s', 's'], ['s', 's'], [None, {'mode': 'other'}])
  assert [v.why for v in verdicts] == ['told', 'other']


def test_a_worker_knows_no_secrets_and_no_jax(hostile, monkeypatch):
  monkeypatch.setenv('SOME_API_KEY', 'secret')
  with hostile_graders() as graders:
    (verdict,) = graders.grade([''], ['tell'])
  assert '"jax": false' in verdict.extracted
  assert 'SOME_API_KEY' not in verdict.extracted
  assert 'HOME' not in verdict.extracted


def test_gmpy2_is_left_alone_where_it_is_installed(tmp_path, monkeypatch):
  # With it, sympy's C calls run through every limit but the parent's.
  (tmp_path / 'gmpy2.py').write_text('import os; os._exit(1)')
  monkeypatch.syspath_prepend(tmp_path)
  with math_graders(workers=1) as graders:
    (verdict,) = graders.grade(['x + 1'], [boxed('1 + x')])
  assert verdict.correct


def test_what_the_two_rules_disagree_about_is_kept_with_its_text():
  with math_graders('either', workers=1) as graders:
    golds = ['1024', '1024', '49.5\\%']
    texts = [boxed('2^{10}'), boxed('1024'), boxed('49.5')]
    verdicts = graders.grade(golds, texts)
    assert [v.correct for v in verdicts] == [True, True, True]
    assert graders.counts['disagreements'] == 2
    assert list(graders.disagreements) == [
      dict(
        gold='1024',
        text=texts[0],
        correct=True,
        extracted='2^{10}',
        why='math_verify only',
      ),
      dict(
        gold='49.5\\%',
        text=texts[2],
        correct=True,
        extracted='49.5',
        why='deepscaler only',
      ),
    ]


def test_a_wrong_name_or_setting_is_refused_before_anything_starts():
  limits = dict(workers=1, secs=1.0, memory_gb=1.0)
  with pytest.raises(ValueError, match='did you mean'):
    pool.Graders('deepscalr', {}, **limits)
  with pytest.raises(ValueError, match='verify_kw is missing'):
    pool.Graders('deepscaler', dict(kind='answer'), **limits)


def test_each_text_has_its_gold(graders):
  with pytest.raises(ValueError, match='argument 2 is shorter'):
    graders.submit(['1', '2'], ['1'])


@pytest.mark.faults
def test_workers_that_cannot_start_are_an_error_at_the_start():
  with (
    pytest.raises(RuntimeError, match='does not start'),
    math_graders(memory_gb=0.001),
  ):
    pass


@pytest.mark.faults
def test_workers_that_cannot_be_replaced_cost_answers_only(
  hostile, monkeypatch
):
  with hostile_graders() as graders:
    monkeypatch.setattr(process.sys, 'executable', '/no/such/python')
    texts = ['a', 'exit', 'b', 'c']
    verdicts = graders.grade(texts, texts)
    assert [v.correct for v in verdicts] == [True, False, False, False]
    monkeypatch.undo()
    assert [v.correct for v in graders.grade(['d', 'e'], ['d', 'e'])] == [
      False,
      True,
    ]


def is_running(pid):
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')')[1].split()
  except FileNotFoundError:
    return False
  return state[0] != 'Z'


@pytest.mark.faults
def test_nothing_is_left_when_the_block_ends_in_the_middle(hostile):
  start = time.monotonic()
  with hostile_graders(workers=2, secs=60.0) as graders:
    graders.submit(['1'] * 64, ['hang in C', *map(str, range(63))])
    pids = [worker._process.pid for worker in graders._workers]
    time.sleep(0.2)
  assert time.monotonic() - start < 30
  assert not any(map(is_running, pids))


PARENT = """
import sys, time
from siri_jax.grading import pool
with pool.Graders(
  'hostile_rule:rule', dict(mode=''), workers=2, secs=1.0, memory_gb=1.0
) as graders:
  print(*[worker._process.pid for worker in graders._workers], flush=True)
  graders.submit(['1'], ['hang in C'])
  time.sleep(60)
"""


@pytest.mark.faults
def test_workers_do_not_outlive_a_parent_that_is_killed(hostile):
  # One of the two is idle, the other in a computation that never ends.
  root = pathlib.Path(pool.__file__).parents[2]
  parent = subprocess.Popen(
    [sys.executable, '-c', textwrap.dedent(PARENT)],
    stdout=subprocess.PIPE,
    text=True,
    env=os.environ | {'PYTHONPATH': f'{root}{os.pathsep}{hostile}'},
  )
  with parent:
    pids = parent.stdout.readline().split()
    time.sleep(0.3)
    parent.send_signal(signal.SIGKILL)
  assert len(pids) == 2
  deadline = time.monotonic() + 15
  while any(map(is_running, pids)) and time.monotonic() < deadline:
    time.sleep(0.1)
  assert not any(map(is_running, pids))


def test_trivial_answers_cost_next_to_nothing():
  texts = [boxed(i) for i in range(256)]
  with math_graders() as graders:
    graders.grade(['1'], [boxed(2)])
    start = time.monotonic()
    verdicts = graders.grade(['7'] * 256, texts)
    secs = time.monotonic() - start
  assert sum(v.correct for v in verdicts) == 1
  assert secs < 0.5  # Seen: 0.02.


@pytest.mark.slow
def test_a_step_of_long_responses_is_graded_in_well_under_ten_seconds():
  thought = 'Wait, $x^2 = 4$ so \\boxed{2}, no. ' * 2000  # Some 16K tokens.
  texts = [
    f'{thought}{i}</think> It is \\boxed{{\\frac{{{i}}}{{7}}\\sqrt{{2}}}}'
    for i in range(1024)
  ]
  before = sum(os.times()[:4])  # Own and of children that have ended.
  with math_graders(secs=5.0) as graders:
    verdicts = graders.grade(['5\\sqrt{2}/7'] * 1024, texts)
  assert sum(v.correct for v in verdicts) == 1
  # Of the processors, for the clock tells what else the machine does.
  assert (sum(os.times()[:4]) - before) / 2 < 7
