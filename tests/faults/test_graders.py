"""Faults of grading processes, which affect only one response."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import builders
import hostile
import pytest

from siri_jax.grading import pool, worker_process
from siri_jax.grading.verdict import Verdict

pytestmark = pytest.mark.faults
DIED, TIMEOUT = worker_process.DIED, worker_process.TIMEOUT


@pytest.fixture(scope='module')
def graders():
  with hostile.graders() as graders:
    yield graders


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
    ('call a host', Verdict(False, '', 'failed: PermissionError'), None),
    ('write a file', Verdict(False, '', 'failed: PermissionError'), None),
    ('start a program', Verdict(False, '', 'failed: PermissionError'), None),
    ('end its parent', Verdict(False, '', 'failed: PermissionError'), None),
  ],
)
def test_a_bad_response_affects_no_other(graders, tell, deed, verdict, counted):
  before = dict(graders.counts)
  good = Verdict(True, 'ok', 'told')
  golds = [f'ok {deed}', 'ok', deed + '?', f'after {deed}']
  texts = [f'ok {deed}', 'ok', deed, f'after {deed}']
  first, second, bad, last = graders.grade(golds, texts)
  assert bad == verdict
  assert second == good
  assert (first.correct, last.correct) == (True, True)
  counts = builders.new_counts(graders, before)
  assert counts.pop('answers') == 4
  counts.pop('cached', None)
  assert counts == ({counted: 1} if counted else {})
  tell(25, f'a grader made to {deed}', verdict.why or 'graded')


def test_grading_ends_at_the_time_limit(graders):
  graders.grade(['1'], ['a warm worker'])
  start = time.monotonic()
  assert graders.grade(['1'], ['hang in C']) == [TIMEOUT]
  assert 1.0 <= time.monotonic() - start < 2.0


def test_hanging_responses_take_only_their_time_limits():
  with hostile.graders(workers=2, secs=0.5) as graders:
    texts = [f'{i}' if i % 2 else 'hang in Python' for i in range(8)]
    golds = [f'{i}' for i in range(8)]
    verdicts = graders.grade(golds, texts)
    assert [v.correct for v in verdicts] == [bool(i % 2) for i in range(8)]
    assert graders.counts['timeouts'] == 4


def test_a_timeout_is_not_cached(graders):
  before = dict(graders.counts)
  graders.grade(['1', '1'], ['hang in Python', 'hang in Python'])
  graders.grade(['1'], ['hang in Python'])
  assert builders.new_counts(graders, before) == {
    'answers': 3,
    'cached': 1,
    'timeouts': 2,
  }


def test_a_worker_retires_before_its_caches_grow_large(monkeypatch):
  monkeypatch.setattr(pool, 'RETIRED_AFTER', 10)
  with hostile.graders() as graders:
    (first,) = graders._workers
    texts = [str(i) for i in range(3 * pool.CHUNK)]
    assert all(v.correct for v in graders.grade(texts, texts))
    assert not first.alive
    assert graders.counts['crashes'] == 0


def test_workers_that_cannot_start_are_an_error_at_the_start():
  with (
    pytest.raises(ValueError, match='does not start'),
    builders.math_graders(memory_gb=0.001),
  ):
    pass


def test_a_rule_that_always_fails_is_refused_at_the_start():
  # It would fail on every response, and each would count as wrong.
  with (
    pytest.raises(ValueError, match=r"does not start.*'typo'.*rule_kw"),
    pool.GraderPool(
      'math_verify',
      dict(kind='continuation', verify_kw=dict(typo=1)),
      workers=1,
      secs=1.0,
      memory_gb=2.0,
    ),
  ):
    pass


def test_workers_that_cannot_be_replaced_only_make_responses_wrong(monkeypatch):
  with hostile.graders() as graders:
    monkeypatch.setattr(worker_process.sys, 'executable', '/no/such/python')
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


def test_no_worker_is_left_after_the_context():
  start = time.monotonic()
  with hostile.graders(workers=2, secs=60.0) as graders:
    graders.submit(['1'] * 64, ['hang in C', *map(str, range(63))])
    pids = [worker._process.pid for worker in graders._workers]
    time.sleep(0.2)
  assert time.monotonic() - start < 30
  assert not any(map(is_running, pids))


PARENT = """
import sys, time
from siri_jax.grading import pool
with pool.GraderPool(
  'hostile:rule', dict(mode=''), workers=2, secs=1.0, memory_gb=1.0
) as graders:
  print(*[worker._process.pid for worker in graders._workers], flush=True)
  graders.submit(['1'], ['hang in C'])
  time.sleep(60)
"""


def test_workers_do_not_outlive_a_parent_that_is_killed():
  # One of the two is idle, the other computes forever.
  root = pathlib.Path(pool.__file__).parents[2]
  paths = root, root / 'tests/helpers'
  parent = subprocess.Popen(
    [sys.executable, '-c', textwrap.dedent(PARENT)],
    stdout=subprocess.PIPE,
    text=True,
    env=os.environ | {'PYTHONPATH': os.pathsep.join(map(str, paths))},
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
