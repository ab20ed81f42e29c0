"""The grading processes: what they survive, what they cost, what they leave."""

import os
import time

import builders
import hostile
import pytest

from siri_jax.grading import pool, worker_process

DIED, TIMEOUT = worker_process.DIED, worker_process.TIMEOUT


@pytest.fixture(scope='module')
def graders():
  with hostile.graders() as graders:
    yield graders


def test_verdicts_come_in_the_order_submitted():
  count = 5 * pool.CHUNK + 3
  golds = [str(i % 7) for i in range(count)]
  texts = [str(i) for i in range(count)]
  with hostile.graders(workers=2) as graders:
    verdicts = graders.grade(golds, texts)
  assert [v.extracted for v in verdicts] == texts
  assert [v.correct for v in verdicts] == [
    g == t for g, t in zip(golds, texts, strict=True)
  ]


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
  assert builders.new_counts(graders, before) == {'answers': 5, 'cached': 3}


def test_the_cache_is_bounded(graders, monkeypatch):
  monkeypatch.setattr(pool, 'CACHED', 4)
  graders.grade(['1'] * 6, [f'c{i}' for i in range(6)])
  before = dict(graders.counts)
  graders.grade(['1'] * 2, ['c0', 'c5'])
  assert builders.new_counts(graders, before) == {'answers': 2, 'cached': 1}


def test_settings_may_differ_by_answer(graders):
  verdicts = graders.grade(['s', 's'], ['s', 's'], [None, {'mode': 'other'}])
  assert [v.why for v in verdicts] == ['told', 'other']


def test_a_worker_knows_no_secrets_and_no_jax(monkeypatch):
  monkeypatch.setenv('SOME_API_KEY', 'secret')
  with hostile.graders() as graders:
    (verdict,) = graders.grade([''], ['tell'])
  assert '"jax": false' in verdict.extracted
  assert 'SOME_API_KEY' not in verdict.extracted
  assert 'HOME' not in verdict.extracted


def test_gmpy2_is_left_alone_where_it_is_installed(tmp_path, monkeypatch):
  # With it, sympy's C calls run through every limit but the parent's.
  (tmp_path / 'gmpy2.py').write_text('import os; os._exit(1)')
  monkeypatch.syspath_prepend(tmp_path)
  with builders.math_graders(workers=1) as graders:
    (verdict,) = graders.grade(['x + 1'], [builders.boxed('1 + x')])
  assert verdict.correct


def test_what_the_two_rules_disagree_about_is_kept_with_its_text():
  with builders.math_graders('either', workers=1) as graders:
    golds = ['1024', '1024', '(5, \\infty)']
    texts = [
      builders.boxed('2^{10}'),
      builders.boxed('1024'),
      builders.boxed('x > 5'),
    ]
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
        gold='(5, \\infty)',
        text=texts[2],
        correct=True,
        extracted='x > 5',
        why='deepscaler only',
      ),
    ]


def test_a_wrong_name_or_setting_is_refused_before_anything_starts():
  limits = dict(workers=1, secs=1.0, memory_gb=1.0)
  with pytest.raises(ValueError, match='did you mean'):
    pool.GraderPool('deepscalr', {}, **limits)
  with pytest.raises(ValueError, match='verify_kw is missing'):
    pool.GraderPool('deepscaler', dict(kind='answer'), **limits)


def test_each_text_has_its_gold(graders):
  with pytest.raises(ValueError, match='argument 2 is shorter'):
    graders.submit(['1', '2'], ['1'])


def test_trivial_answers_cost_next_to_nothing():
  texts = [builders.boxed(i) for i in range(256)]
  with builders.math_graders() as graders:
    graders.grade(['1'], [builders.boxed(2)])
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
  with builders.math_graders(secs=5.0) as graders:
    verdicts = graders.grade(['5\\sqrt{2}/7'] * 1024, texts)
  assert sum(v.correct for v in verdicts) == 1
  # Of the processors, for the clock tells what else the machine does.
  assert (sum(os.times()[:4]) - before) / 2 < 7
