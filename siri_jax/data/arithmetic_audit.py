"""Analysis of responses to the built-in task, step by step."""

import dataclasses
from typing import NamedTuple

import numpy as np

from siri_jax.data import arithmetic
from siri_jax.data.arithmetic_words import ID, MOST_STEPS, STEPS

MOST_X, MOST_Y = 3, 7  # Operands of a step.
CHECK = MOST_STEPS + 1  # The role of a check's digits.
_STEP = np.zeros(len(ID), int)  # By id: i of '#i', 0 of another word.
_STEP[[ID[word] for word in STEPS]] = np.arange(1, MOST_STEPS + 1)


class Step(NamedTuple):
  """One step of a response."""

  copied: bool  # x and y are the problem's.
  hard: bool  # By the y that the response wrote.
  first_right: bool  # The guess follows from the state before, x and y.
  checks: int
  checks_right: int  # Checks whose three digits all follow.


@dataclasses.dataclass(frozen=True)
class Audit:
  """The steps of a response.

  Attributes:
    well_formed: all steps in order, then </think>, the last state, <eos>.
    steps: the steps before the first wrong token.
  """

  well_formed: bool
  steps: tuple[Step, ...]


def audit(prompt_ids, response_ids):
  """Analyses one response, complete or cut off.

  Args:
    prompt_ids: [P], ids of the prompt.
    response_ids: [T], ids of the response.
  Returns:
    Audit.
  """
  prompt, rest = [int(i) for i in prompt_ids], [int(i) for i in response_ids]
  asked = [prompt[i + 1 : i + 3] for i, p in enumerate(prompt) if _STEP[p]]
  state, steps = prompt[0], []
  while len(steps) < len(asked) and _opens_step(rest, len(steps)):
    (_, x, y, guess), rest = rest[:4], rest[4:]
    truth = [int(part) for part in arithmetic.look_up(state, x, y)]
    states, right = [guess], []
    while rest[:1] == [ID['wait']] and _are_digits(rest[1:4], 3):
      right.append(rest[1:4] == truth)
      states.append(rest[3])
      rest = rest[4:]
    copied, hard = [x, y] == asked[len(steps)], y >= arithmetic.FIRST_HARD
    steps.append(Step(copied, hard, guess == truth[2], len(right), sum(right)))
    state = states[-1]
  end = [ID['</think>'], state, ID['<eos>']]
  return Audit(len(steps) == len(asked) and rest == end, tuple(steps))


def solutions(prompt_ids, response_ids):
  """The solutions in a response: guess and checks of the problem's last step.

  Args:
    prompt_ids: [P], ids of the prompt.
    response_ids: [T], ids of the response, complete or cut off.
  Returns:
    list of (tokens up to its end, the state that it gives), in order.
  """
  rest = [int(i) for i in response_ids]
  asked, done, found = np.count_nonzero(_STEP[prompt_ids]), 0, []
  while done < asked and _opens_step(rest, done):
    rest, done = rest[4:], done + 1
    ends = [(len(response_ids) - len(rest), int(response_ids[-len(rest) - 1]))]
    while rest[:1] == [ID['wait']] and _are_digits(rest[1:4], 3):
      state, rest = rest[3], rest[4:]
      ends.append((len(response_ids) - len(rest), state))
    found = ends if done == asked else []
  return found


def shares(audits):
  """Shares and means over many audits.

  Args:
    audits: list of Audit.
  Returns:
    dict of floats, NaN without data: `well_formed`, the share of responses;
    `copied_1`, `copied_2` and so on, the share of steps of that index with the
    right operands; `first_right_hard` and `first_right_easy`, of guesses;
    `checks_hard` and `checks_easy`, checks a step; `checks_right`, of checks.
  """
  steps = [step for each in audits for step in each.steps]
  longest = max(len(each.steps) for each in audits)
  hard = [step for step in steps if step.hard]
  easy = [step for step in steps if not step.hard]
  checks = sum(step.checks for step in steps) or float('nan')
  return {
    'well_formed': _mean([each.well_formed for each in audits]),
    **{f'copied_{i + 1}': _copied(audits, i) for i in range(longest)},
    'first_right_hard': _mean([step.first_right for step in hard]),
    'first_right_easy': _mean([step.first_right for step in easy]),
    'checks_hard': _mean([step.checks for step in hard]),
    'checks_easy': _mean([step.checks for step in easy]),
    'checks_right': sum(step.checks_right for step in steps) / checks,
  }


def roles(tokens):
  """The role of each token of a well-formed sequence.

  Args:
    tokens: int [..., T], a prompt, a response, or both.
  Returns:
    int [..., T]: i on the two operands that follow '#i', CHECK on the three
    digits of a step's first check, else 0. A second check has no role, because
    it can be copied from the first.
  """
  before = np.pad(
    tokens, [(0, 0)] * (tokens.ndim - 1) + [(7, 0)], constant_values=ID['nil']
  )
  role = np.zeros_like(tokens)
  for back in (1, 2, 3):
    opening = before[..., 7 - back : -back]
    index = _STEP[opening] * (back < 3)
    earlier = before[..., 3 - back : -back - 4]
    first = (opening == ID['wait']) & (earlier != ID['wait'])
    role += np.where(first, CHECK, index)
  return role


def _mean(values):
  """The mean; NaN of an empty list."""
  return float(np.mean(values)) if values else float('nan')


def _copied(audits, place):
  """Share of steps with this index whose operands are right."""
  return _mean([a.steps[place].copied for a in audits if len(a.steps) > place])


def _are_digits(tokens, size):
  """Whether these are `size` digits."""
  return len(tokens) == size and max(tokens) <= 9


def _opens_step(tokens, done):
  """Whether tokens begin with the whole of step `done` + 1, in range."""
  if tokens[:1] != [ID[STEPS[done]]] or not _are_digits(tokens[1:4], 3):
    return False
  return tokens[1] <= MOST_X and tokens[2] <= MOST_Y
