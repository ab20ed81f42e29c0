"""The grading processes: order, cache, isolation, counts and cost."""

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


def test_a_repeated_answer_is_not_graded_again(graders):
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


def test_a_worker_has_no_secrets_and_no_jax(monkeypatch):
  monkeypatch.setenv('SOME_API_KEY', 'secret')
  with hostile.graders() as graders:
    (verdict,) = graders.grade([''], ['tell'])
  assert '"jax": false' in verdict.extracted
  assert 'SOME_API_KEY' not in verdict.extracted
  assert 'HOME' not in verdict.extracted


def test_an_installed_gmpy2_is_not_used(tmp_path, monkeypatch):
  # With gmpy2, only the parent's limit stops sympy's C calls.
  (tmp_path / 'gmpy2.py').write_text('import os; os._exit(1)')
  monkeypatch.syspath_prepend(tmp_path)
  with builders.math_graders(workers=1) as graders:
    (verdict,) = graders.grade(['x + 1'], [builders.boxed('1 + x')])
  assert verdict.correct


def test_disagreements_are_kept_with_their_text():
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


def test_golds_and_texts_must_have_the_same_length(graders):
  with pytest.raises(ValueError, match='argument 2 is shorter'):
    graders.submit(['1', '2'], ['1'])


def test_trivial_answers_are_graded_fast():
  texts = [builders.boxed(i) for i in range(256)]
  with builders.math_graders() as graders:
    graders.grade(['1'], [builders.boxed(2)])
    start = time.monotonic()
    verdicts = graders.grade(['7'] * 256, texts)
    secs = time.monotonic() - start
  assert sum(v.correct for v in verdicts) == 1
  assert secs < 0.5  # Measured: 0.02.


@pytest.mark.slow
def test_a_step_of_long_responses_is_graded_within_seven_seconds():
  thought = 'Wait, $x^2 = 4$ so \\boxed{2}, no. ' * 2000  # About 16K tokens.
  texts = [
    f'{thought}{i}</think> It is \\boxed{{\\frac{{{i}}}{{7}}\\sqrt{{2}}}}'
    for i in range(1024)
  ]
  before = sum(os.times()[:4])  # This process and its ended children.
  with builders.math_graders(secs=5.0) as graders:
    verdicts = graders.grade(['5\\sqrt{2}/7'] * 1024, texts)
  assert sum(v.correct for v in verdicts) == 1
  # Processor time: other load on the machine affects the wall clock.
  assert (sum(os.times()[:4]) - before) / 2 < 7
