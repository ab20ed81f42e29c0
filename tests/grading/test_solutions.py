"""Solutions in thoughts: by hand, and counted against the built-in task."""

import numpy as np
import pytest

from siri_jax.data import arithmetic, arithmetic_audit, arithmetic_words
from siri_jax.grading import solutions

LANGUAGE = arithmetic_words.Language(7)
PROSE = """Let me add. 2 + 3 = 5, so the answer is 5.

That is, the answer is 5, as everybody knows.

Wait, let me verify: 5 - 3 = 2. So the answer should be **5**.

Hmm, what about 2 + 4? No answer here.

Alternatively, count fingers: \\boxed{6}

</think>
The answer is \\boxed{5}."""


def test_solutions_in_prose_by_hand():
  found = solutions.in_prose(PROSE)
  paragraphs = PROSE.split('\n\n')
  ends = [PROSE[: each.end].strip().split('\n\n') for each in found]
  assert [len(own) - 1 for own in ends] == [0, 2, 4]
  assert [own[-1] for own in ends] == [paragraphs[i] for i in (0, 2, 4)]
  assert [each.reply for each in found] == [
    '</think>\n\\boxed{5}',
    '</think>\n\\boxed{5}',
    '</think>\n\\boxed{6}',
  ]


def test_repeated_statements_without_a_mark_are_one_solution():
  text = 'The answer is 7.\n\nSo the answer is 7.\n\n'
  (only,) = solutions.in_prose(text)
  assert text[: only.end] == 'The answer is 7.\n\n'


@pytest.mark.parametrize('text', ['', 'Let me think.\n\nWait.', '</think> 5'])
def test_a_text_that_states_no_answer_has_no_solution(text):
  assert solutions.in_prose(text) == []
  assert solutions.in_steps(text) == []


def test_solutions_in_steps_by_hand():
  text = '#1 2 0 6 wait 6 0 6 #2 3 7 0 wait 9 0 9 wait 9 0 9 </think> 9'
  found = solutions.in_steps(text)
  assert [text[: each.end].split()[-4:] for each in found] == [
    ['#2', '3', '7', '0'],
    ['wait', '9', '0', '9'],
    ['wait', '9', '0', '9'],
  ]
  assert [each.reply for each in found] == [f'</think> {n}' for n in (0, 9, 9)]


def responses(cut):
  """(prompt ids, response ids, words, answer) of traces, some cut short."""
  rng = np.random.default_rng(0)
  task = arithmetic.task(seed=0, problems=1, held_out=1)
  for problem, ids in task.traces(0, 400):
    size = rng.integers(1, len(ids)) if cut else len(ids)
    ids = ids[:size]
    yield task.encode(problem), ids, task.decode(ids), problem.answer


def first_right(ends, answer):
  return next((end for end, state in ends if str(state) == answer), None)


def counted(cut):
  """Responses, and those where the rule's first right solution is wrong."""
  wrong = []
  for prompt, ids, text, answer in responses(cut):
    truth = first_right(arithmetic_audit.solutions(prompt, ids), answer)
    found = [
      (len(text[: each.end].split()), each.reply.split()[-1])
      for each in solutions.in_steps(text)
    ]
    wrong.append(first_right(found, answer) != truth)
  return len(wrong), sum(wrong)


def test_the_rule_finds_every_solution_of_finished_responses():
  assert counted(cut=False) == (400, 0)


def test_the_rule_is_wrong_of_one_in_25_responses_that_are_cut():
  # It takes the step in progress for the problem's last, whose state is the
  # answer by chance.
  assert counted(cut=True) == (400, 16)


def test_the_audit_knows_the_solutions_of_a_trace():
  prompt = LANGUAGE.ids_of('4 #1 2 0 #2 3 7')
  ids = LANGUAGE.ids_of('#1 2 0 6 #2 3 7 0 wait 9 0 9 </think> 9')
  assert arithmetic_audit.solutions(prompt, ids) == [(8, 0), (12, 9)]
  assert arithmetic_audit.solutions(prompt, ids[:7]) == []
  assert arithmetic_audit.solutions(prompt, ids[:4]) == []
