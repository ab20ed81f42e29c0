"""The built-in task: running sums, with traces that guess and check.

A problem is a first state and 3 to 7 steps. Step i has operands x in 0..3 and
y in 0..7; it takes the state s to m = (s + x) mod 10 and then to
(m + CARRY[m, y]) mod 10. The answer is the last state. Steps with y of 4 or
more are hard: the new digit needs two look-ups.

    prompt    4 #1 2 0 #2 3 7 #3 2 4 nil ... nil <think>
    response  #1 2 0 6 #2 3 7 0 wait 9 0 9 #3 2 4 1 </think> 1 <eos>

A response copies each step's operands and guesses the new state; on a hard step
half of the guesses are wrong. A check `wait m b s` writes the look-ups and is
right. A second check of a step is redundant, and so is a check of an easy step.
"""

import functools
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from siri_jax import types
from siri_jax.config import built_in_task

FEWEST, MOST = 3, 7  # Steps of a problem.
FIRST_HARD = 4  # The least y of a hard step.
MOST_CHECKS = 3  # Of one step, in a trace.
TOKENS = (
  *'0123456789',
  *(f'#{step}' for step in range(1, MOST + 1)),
  *('wait', '</think>', '<eos>', '<think>', 'nil'),
)
ID = {token: number for number, token in enumerate(TOKENS)}
PROMPT_TOKENS = 1 + 3 * MOST + 1
# Random, drawn once. A hard column has five ones, so that y alone does not
# predict the carry, and m alone hardly.
CARRY = np.array(
  [
    [0, 0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 1, 1, 1],
    [0, 0, 0, 0, 0, 0, 1, 1],
    [0, 0, 0, 0, 1, 1, 1, 0],
    [0, 0, 0, 0, 1, 1, 0, 0],
    [0, 0, 0, 0, 1, 1, 0, 1],
    [0, 0, 0, 0, 1, 0, 1, 1],
    [0, 0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 1, 0, 1, 0],
  ]
)
VERBOSITY, SPREAD = 1.2, 1.2  # Median and log-deviation over traces.
CHECKS_HARD, CHECKS_EASY = 1.4, 0.6  # Mean checks of a step at verbosity 1.
_TRAIN, _HELD_OUT, _TRACES = range(3)  # Streams of random numbers.
_DRAWS = 28  # Most uniforms of an item; Philox makes four at a time.
MOST_DRAWN = 2**31 - 1  # Training problems, which are made on access.
MOST_HELD_OUT = 10**6  # Held-out problems, which are made at once.
_BLOCK = 4096  # Problems drawn at a time by the iterator.


class _Steps(NamedTuple):
  """C problems as int64 arrays; steps from `count` on are void."""

  count: np.ndarray  # [C]
  first: np.ndarray  # [C], the state before the first step.
  x: np.ndarray  # [C, MOST]
  y: np.ndarray  # [C, MOST]


def task(*, seed, problems, held_out):
  """The arithmetic task.

  A problem whose first state and operands sum to a multiple of 10 is held
  out; training problems and traces are drawn from the others only.

  Args:
    seed: seed of all draws; the look-up table is fixed.
    problems: number of training problems.
    held_out: number of held-out problems.
  Returns:
    types.Task, with traces.
  Raises:
    ValueError: settings are invalid; names each.
  """
  _refuse_bad(
    seed=(seed, 0, MOST_DRAWN),
    problems=(problems, 1, MOST_DRAWN),
    held_out=(held_out, 1, MOST_HELD_OUT),
  )
  evaluation = _problems(seed, _HELD_OUT, 0, held_out)
  drawn = [CARRY.tolist(), seed, problems, _problems(seed, _TRAIN, 0, 64)]
  drawn += [(p, ids.tolist()) for p, ids in _traces(seed, 0, 64)]
  prints = dict(data=drawn, held_out=evaluation, tokenizer=TOKENS)
  return types.Task(
    train=_Drawn(seed, problems),
    evals={'held_out': evaluation},
    encode=encode,
    encode_asked=encode_asked,
    ids_of=ids_of,
    decode=decode,
    eos_ids=(ID['<eos>'],),
    vocab=len(TOKENS),
    fingerprints={
      name: hashlib.sha256(repr(value).encode()).hexdigest()
      for name, value in prints.items()
    },
    traces=functools.partial(_traces, seed),
    about=built_in_task.ABOUT,
  )


def _refuse_bad(**settings):
  """Refuses settings (value, least, most) out of range, all at once."""
  bad = [
    f'task_kw.{name}={value!r} is not a whole number of {least} to {most}'
    for name, (value, least, most) in settings.items()
    if type(value) is not int or not least <= value <= most
  ]
  if bad:
    raise ValueError('\n'.join(bad))


def encode(problem):
  """A problem's prompt: its words, padded to one length, and <think>."""
  ids = [ID[word] for word in problem.text.split()]
  padding = [ID['nil']] * (PROMPT_TOKENS - 1 - len(ids))
  return [*ids, *padding, ID['<think>']]


def encode_asked(problem, budget):
  """A problem's prompt after a budget's words, and before those of its opening.

  SFT shows no such words. Before the problem they disturb its copying less than
  after it.

  Raises:
    ValueError: its words are none of TOKENS; names each.
  """
  before = ids_of(f'{budget.system} {budget.note}')
  return [*before, *encode(problem), *ids_of(budget.opening)]


def ids_of(text):
  """The ids of words; the digits of a number are words of their own.

  Raises:
    ValueError: they are none of TOKENS; names each.
  """
  words = re.findall(r'\d|[^\s\d]\S*', text)
  if unknown := [word for word in words if word not in ID]:
    raise ValueError(
      f'the built-in task has no words {", ".join(map(repr, unknown))}; use '
      f'its own: {" ".join(TOKENS)}'
    )
  return [ID[word] for word in words]


def decode(ids):
  """The words of token ids, without <eos> and unknown ids."""
  known = (int(i) for i in ids if i < len(TOKENS) and i != ID['<eos>'])
  return ' '.join(TOKENS[i] for i in known)


class _Drawn(Sequence):
  """The training problems, made on access."""

  def __init__(self, seed, size):
    self._seed, self._size = seed, size

  def __len__(self):
    return self._size

  def __getitem__(self, item):
    if isinstance(item, slice):
      return [self[i] for i in range(self._size)[item]]
    return _problems(self._seed, _TRAIN, range(self._size)[item], 1)[0]

  def __iter__(self):
    for first in range(0, self._size, _BLOCK):
      size = min(_BLOCK, self._size - first)
      yield from _problems(self._seed, _TRAIN, first, size)


def _uniform(seed, stream, first, count):
  """[count, _DRAWS] in [0, 1): row i is a function of seed, stream, first+i."""
  bits = np.random.Philox(
    np.random.SeedSequence([seed, stream]), counter=first * (_DRAWS // 4)
  )
  return np.random.Generator(bits).random((count, _DRAWS))


def _draw(uniform, stream):
  """Problems from the first ten numbers of each row of uniform numbers."""
  # Traces take the larger of two draws. Otherwise late steps are too rare for
  # SFT to learn to copy them.
  size = uniform[:, : 2 if stream == _TRACES else 1].max(axis=1)
  count = FEWEST + (size * (MOST - FEWEST + 1)).astype(int)
  live = np.arange(MOST) < count[:, None]
  x, y = np.divmod((uniform[:, 2:9] * 32).astype(int) * live, 8)
  remainder = 1 + (uniform[:, 9] * 9).astype(int)
  first = remainder * (stream != _HELD_OUT) - (x + y).sum(axis=1)
  return _Steps(count, first % 10, x, y)


def _problems(seed, stream, first, count):
  """`count` problems of a stream from its item `first` on."""
  steps = _draw(_uniform(seed, stream, first, count), stream)
  answers = steps.first
  for i in range(MOST):
    _, _, after = look_up(answers, steps.x[:, i], steps.y[:, i])
    answers = np.where(i < steps.count, after, answers)
  name = ('train', 'held_out', 'trace')[stream]
  rows = zip(*(part.tolist() for part in (*steps, answers)), strict=True)
  return [
    types.Problem(
      id=f'{name}-{first + i:06d}',
      text=_text(size, start, x, y),
      answer=str(answer),
      source='arithmetic',
    )
    for i, (size, start, x, y, answer) in enumerate(rows)
  ]


def _text(count, first, x, y):
  """A problem in words."""
  steps = zip(range(count), x, y, strict=False)
  return ' '.join([str(first), *(f'#{i + 1} {a} {b}' for i, a, b in steps)])


def look_up(state, x, y):
  """(m, carry, next state) of a step, as in a check."""
  m = (state + x) % 10
  return m, CARRY[m, y], (m + CARRY[m, y]) % 10


def _traces(seed, first, count):
  """Supervised (problem, response ids) pairs from item `first` on."""
  uniform = _uniform(seed, _TRACES, first, count)
  steps = _draw(uniform, _TRACES)
  checks = _checks(uniform[:, 10:12], uniform[:, 12:19], steps.y)
  slips = (uniform[:, 19:26] < 0.5) * (steps.y >= FIRST_HARD)
  grid = np.empty((count, MOST, 1 + MOST_CHECKS, 4), int)
  state = steps.first
  for i in range(MOST):
    x, y = steps.x[:, i], steps.y[:, i]
    m, carry, after = look_up(state, x, y)
    guess = np.where(slips[:, i], (m + 1 - carry) % 10, after)
    grid[:, i, 0] = np.stack([0 * x + ID[f'#{i + 1}'], x, y, guess], 1)
    check = np.stack([0 * m + ID['wait'], m, carry, after], 1)
    grid[:, i, 1:] = check[:, None]
    after = np.where(checks[:, i] > 0, after, guess)
    state = np.where(i < steps.count, after, state)
  spoken = np.arange(1 + MOST_CHECKS) <= checks[:, :, None]
  spoken &= (np.arange(MOST) < steps.count[:, None])[:, :, None]
  problems = _problems(seed, _TRACES, first, count)
  return list(zip(problems, _cut(grid, spoken, state), strict=True))


def _checks(pair, uniform, y):
  """Number of checks of each step: geometric, more for hard steps."""
  normal = np.sqrt(-2 * np.log1p(-pair[:, 0])) * np.cos(2 * np.pi * pair[:, 1])
  verbosity = VERBOSITY * np.exp(SPREAD * normal)
  mean = np.where(y >= FIRST_HARD, CHECKS_HARD, CHECKS_EASY)
  mean = mean * verbosity[:, None]
  again = (mean / (1 + mean))[:, :, None]
  return (uniform[:, :, None] < again ** np.arange(1, MOST_CHECKS + 1)).sum(2)


def _cut(grid, spoken, state):
  """The chosen groups of each row of a grid, then its end; int32 arrays."""
  size = len(grid)
  end = np.full((size, 3), (ID['</think>'], 0, ID['<eos>']))
  end[:, 1] = state
  words = np.concatenate([grid.reshape(size, -1), end], axis=1)
  kept = np.repeat(spoken.reshape(size, -1), 4, axis=1)
  kept = np.concatenate([kept, np.ones_like(end, bool)], axis=1)
  ends = kept.sum(axis=1).cumsum()
  return np.split(words[kept].astype(np.int32), ends[:-1])
