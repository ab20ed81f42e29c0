"""The built-in task: problems, traces and tokens."""

import numpy as np
import pytest

from siri_jax import types
from siri_jax.data import arithmetic, arithmetic_audit
from siri_jax.data.arithmetic import CARRY, Difficulty
from siri_jax.data.arithmetic_words import ID, TOKENS
from siri_jax.grading import rules

CAP = 92  # Tokens; the quickstart's highest.
COUNT = 4096  # A share of 0.5 has a standard error of 0.008.


@pytest.fixture(scope='module')
def task():
  return arithmetic.task(seed=0, problems=10_000, held_out=COUNT)


@pytest.fixture(scope='module')
def training(task):
  return list(task.train)


@pytest.fixture(scope='module')
def traces(task):
  return task.traces(0, COUNT)


@pytest.fixture(scope='module')
def seen(task, traces):
  return arithmetic_audit.shares(
    [arithmetic_audit.audit(task.encode(p), ids) for p, ids in traces]
  )


def worked_out(text):
  """A problem's answer, computed word by word."""
  first, *words = text.split()
  state, steps = int(first), list(zip(*[iter(words)] * 3, strict=True))
  for place, (index, x, y) in enumerate(steps, 1):
    assert index == f'#{place}'
    state = (state + int(x)) % 10
    state = (state + CARRY[state, int(y)]) % 10
  return str(state)


def test_two_problems_worked_by_hand():
  # 4 + 2 = 6; 6 + 3 = 9; 9 + 2 = 1; 1 + 2 = 3 and carries; 4 + 3 = 7; carries.
  assert worked_out('4 #1 2 0 #2 3 7 #3 2 4 #4 2 5 #5 3 6 #6 0 7') == '8'
  assert worked_out('1 #1 2 5 #2 1 7 #3 2 6 #4 1 2 #5 0 4 #6 0 4 #7 0 4') == '0'


def test_words_of_a_budget_come_before_the_problem_digit_by_digit():
  task = arithmetic.task(seed=0, problems=1, held_out=1)
  problem = task.train[0]
  budget = types.Budget(cap=92, note='wait 40')
  found = task.encode_asked(problem, budget)
  words = [ID[word] for word in ('wait', '4', '0')]
  assert found == [*words, *task.encode(problem)]
  with pytest.raises(ValueError, match=r"no words 'Think', 'for'; use its own"):
    task.encode_asked(problem, types.Budget(cap=9, note='Think for 9'))


def test_half_of_the_operands_are_hard_and_carry_half_of_the_time():
  assert CARRY.shape == (10, 8)
  assert CARRY[:, : arithmetic.FIRST_HARD].sum() == 0
  assert CARRY[:, arithmetic.FIRST_HARD :].sum(axis=0).tolist() == [5] * 4


def test_every_answer_is_the_last_state(task, training):
  for problem in [*task.evals['held_out'], *training]:
    assert problem.answer == worked_out(problem.text)


def test_every_number_is_in_range_and_every_length_occurs(training):
  lengths = set()
  for problem in training:
    first, *words = problem.text.split()
    assert first in '0123456789'
    assert set(words[1::3]) <= set('0123')
    assert set(words[2::3]) <= set('01234567')
    lengths.add(len(words) // 3)
  assert lengths == {3, 4, 5, 6, 7}


def test_a_prompt_is_its_words_padded_to_one_length(task):
  problem = task.train[0]
  words = [TOKENS[i] for i in task.encode(problem)]
  size = len(problem.text.split())
  assert words[:size] == problem.text.split()
  assert set(words[size:-1]) <= {'nil'}
  assert words[-1] == '<think>'
  lengths = {len(task.encode(p)) for p in task.train[:200]}
  assert lengths == {task.longest} == {3 * 7 + 2}


def test_decoding_leaves_out_the_end_and_ids_beyond_the_vocabulary(task):
  ids = [ID['#1'], 3, ID['</think>'], 7, *task.eos_ids, task.vocab]
  assert task.decode(np.array(ids)) == '#1 3 </think> 7'
  assert task.vocab == len(TOKENS) == len(set(TOKENS)) == 22


def test_a_training_problem_depends_only_on_its_number(task, training):
  assert len(training) == len(task.train) == 10_000
  for number in (0, 4095, 4096, 9999, -1):
    assert task.train[number] == training[number]
  assert task.train[5000:5003] == training[5000:5003]
  assert training[123].id == 'train-000123'
  with pytest.raises(IndexError):
    task.train[10_000]


def test_ids_are_unique(task, training):
  ids = {problem.id for problem in [*training, *task.evals['held_out']]}
  assert len(ids) == 10_000 + COUNT


def test_no_training_problem_is_held_out(task, training, traces):
  held_out = {problem.text for problem in task.evals['held_out']}
  learned = {p.text for p in training} | {p.text for p, _ in traces}
  assert len(held_out) > 0.9 * COUNT
  assert not held_out & learned


def test_held_out_problems_are_those_that_sum_to_a_multiple_of_ten(
  task, training
):
  def total(problem):
    return sum(int(word) for word in problem.text.split() if '#' not in word)

  assert {total(p) % 10 for p in task.evals['held_out']} == {0}
  assert {total(p) % 10 for p in training} == {1, 2, 3, 4, 5, 6, 7, 8, 9}


def test_held_out_problems_are_like_the_others(task, training):
  for part in (training, task.evals['held_out']):
    answers = np.bincount([int(p.answer) for p in part], minlength=10)
    sizes = [p.text.count('#') for p in part]
    assert answers.min() > 0.6 * len(part) / 10
    assert np.mean(sizes) == pytest.approx(5.0, abs=0.1)


def differing(one, other):
  """The names of the fingerprints that two tasks differ in."""
  prints = one.fingerprints
  return {k for k in prints if prints[k] != other.fingerprints[k]}


def test_a_seed_gives_the_same_task_again_and_another_seed_another(task):
  again = arithmetic.task(seed=0, problems=10_000, held_out=COUNT)
  other = arithmetic.task(seed=1, problems=10_000, held_out=COUNT)
  assert again.fingerprints == task.fingerprints
  assert differing(task, other) == {'data', 'held_out'}
  assert again.train[77] == task.train[77] != other.train[77]


def test_more_held_out_problems_do_not_change_the_first_ones(task):
  fewer = arithmetic.task(seed=0, problems=10_000, held_out=8)
  assert fewer.evals['held_out'] == task.evals['held_out'][:8]
  assert differing(task, fewer) == {'held_out'}


def test_a_trace_depends_only_on_its_number(task, traces):
  for first, count in ((0, 1), (1000, 3), (4095, 1)):
    for (problem, ids), (other, same) in zip(
      task.traces(first, count), traces[first : first + count], strict=True
    ):
      assert problem == other
      np.testing.assert_array_equal(ids, same)


def test_a_trace_without_checks_has_four_tokens_a_step_and_three(traces):
  bare = [(p, ids) for p, ids in traces if ID['wait'] not in ids]
  assert len(bare) > 100
  assert all(len(ids) == 4 * p.text.count('#') + 3 for p, ids in bare)


def test_each_check_adds_four_tokens(traces):
  for problem, ids in traces:
    groups = problem.text.count('#') + np.sum(ids == ID['wait'])
    assert len(ids) == 4 * groups + 3


def test_a_trace_with_every_hard_step_checked_is_graded_right(task, traces):
  graded = 0
  for problem, ids in traces:
    seen = arithmetic_audit.audit(task.encode(problem), ids)
    if all(step.checks or not step.hard for step in seen.steps):
      said = task.decode(ids)
      assert rules.exact(problem.answer, said, kind='continuation').correct
      graded += 1
  assert graded > 1000


def test_a_trace_copies_and_checks_right_and_is_well_formed(seen):
  copied = {name for name in seen if name.startswith('copied_')}
  assert len(copied) == 7
  for name in ('well_formed', 'checks_right', 'first_right_easy', *copied):
    assert seen[name] == 1.0, name


def test_a_guess_at_a_hard_step_is_a_coin_flip(seen):
  assert seen['first_right_hard'] == pytest.approx(0.5, abs=0.02)


def test_traces_check_more_than_they_need_and_hard_steps_more(seen):
  assert 1.1 < seen['checks_hard'] < 1.5
  assert 0.7 < seen['checks_easy'] < 1.1


def test_half_of_the_steps_are_hard(task, traces):
  steps = [
    step
    for problem, ids in traces
    for step in arithmetic_audit.audit(task.encode(problem), ids).steps
  ]
  assert np.mean([step.hard for step in steps]) == pytest.approx(0.5, abs=0.02)


def test_traces_prefer_long_problems(traces):
  # The larger of two draws from 3..7: 1, 3, 5, 7 and 9 of 25.
  sizes = np.bincount([p.text.count('#') for p, _ in traces], minlength=8)[3:]
  np.testing.assert_allclose(
    sizes / COUNT, np.array([1, 3, 5, 7, 9]) / 25, atol=0.03
  )


def test_traces_are_a_base_model_that_thinks_too_long(task, traces):
  lengths = np.array([len(ids) for _, ids in traces])
  right = [
    rules.exact(p.answer, task.decode(ids), kind='continuation').correct
    for p, ids in traces
  ]
  assert 0.02 < np.mean(lengths > CAP) < 0.1
  assert 48 < lengths.mean() < 56
  assert 0.6 < np.mean(right) < 0.7


def made(**level):
  """(task, its first 2,048 traces) of a Difficulty."""
  task = arithmetic.task(
    seed=0, problems=2048, held_out=64, level=Difficulty(**level)
  )
  return task, task.traces(0, 2048)


def shares_of(task, traces):
  return arithmetic_audit.shares(
    [arithmetic_audit.audit(task.encode(p), ids) for p, ids in traces]
  )


def test_longer_problems_have_more_words_and_longer_prompts():
  task, traces = made(fewest=5, most=10)
  assert task.vocab == 22 + 3
  sizes = {p.text.count('#') for p in task.train}
  assert sizes == {5, 6, 7, 8, 9, 10}
  assert {len(task.encode(p)) for p, _ in traces} == {task.longest} == {32}
  assert all(p.answer == worked_out(p.text) for p in task.train)
  seen = shares_of(task, traces)
  assert seen['well_formed'] == seen['copied_10'] == 1.0
  words = task.decode(np.concatenate([ids for _, ids in traces]))
  assert '#10' in words
  with pytest.raises(ValueError, match="no words '#11'"):
    task.ids_of('#11')


def test_words_keep_their_ids_in_longer_problems():
  task, _ = made(fewest=16, most=16)
  assert task.decode([ID['<think>'], ID['#7'], ID['#16']]) == '<think> #7 #16'
  assert list(ID)[: len(TOKENS)] == list(TOKENS)


@pytest.mark.parametrize('hard', [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_share_of_hard_steps_is_a_setting(hard):
  steps = [
    int(y) >= arithmetic.FIRST_HARD
    for p in made(hard=hard)[0].train
    for y in p.text.split()[3::3]
  ]
  edge = 3 * np.sqrt(hard * (1 - hard) / len(steps))
  assert abs(np.mean(steps) - hard) <= edge


@pytest.mark.parametrize('slips', [0.0, 0.3, 1.0])
def test_the_share_of_slips_at_hard_steps_is_a_setting(slips):
  seen = shares_of(*made(slips=slips))
  assert seen['first_right_hard'] == pytest.approx(1 - slips, abs=0.03)
  assert seen['first_right_easy'] == 1.0


def test_a_higher_verbosity_checks_more_and_none_does_not_check():
  silent, usual, verbose = (
    shares_of(*made(verbosity=v)) for v in (0, 1.2, 10.0)
  )
  assert silent['checks_hard'] == silent['checks_easy'] == 0
  assert usual['checks_hard'] < verbose['checks_hard'] <= 3


def test_settings_of_difficulty_that_are_wrong_are_named_all_at_once():
  with pytest.raises(ValueError, match=r'task_kw\.most=17 is not a') as caught:
    made(fewest=True, most=17, hard=-0.1, slips='1', verbosity=float('nan'))
  said = str(caught.value)
  for name in ('fewest=True', 'hard=-0.1', "slips='1'", 'verbosity=nan'):
    assert f'task_kw.{name} is not a' in said, name
  with pytest.raises(ValueError, match=r'fewest=5 is above task_kw\.most=4'):
    made(fewest=5, most=4)


def test_traces_begin_with_labels_in_turn_and_those_of_the_first_do_not_check():
  drawn = dict(seed=0, problems=8, held_out=8)
  made = arithmetic.labelled(('nil', '<think>'), **drawn)
  plain = arithmetic.task(**drawn)
  assert differing(made, plain) == {'data'}
  traces, same = made.traces(3, 64), plain.traces(3, 64)
  for number, ((problem, ids), (other, own)) in enumerate(
    zip(traces, same, strict=True), 3
  ):
    label, _, rest = made.decode(ids).partition(' ')
    assert (problem, label) == (other, ('nil', '<think>')[number % 2])
    steps = problem.text.count('#')
    if label == 'nil':
      assert len(ids) == 1 + 4 * steps + 3
    else:
      assert rest == plain.decode(own)
    audit = arithmetic_audit.audit(made.encode(problem), ids[1:])
    assert audit.well_formed
  for labels in ('nil', 'nil'), ('nil', '<think>', 'wait'):
    with pytest.raises(ValueError, match='are not two different words'):
      arithmetic.labelled(labels, **drawn)


def test_settings_that_are_too_small_are_named_all_at_once():
  with pytest.raises(ValueError, match='seed=-1') as caught:
    arithmetic.task(seed=-1, problems=0, held_out=8)
  assert 'task_kw.problems=0 is not a whole number of 1 to' in str(caught.value)
