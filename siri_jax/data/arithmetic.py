"""The built-in task: running sums, with traces that guess and check.

A problem is a first state and some steps, 3 to 7 by default. Step i has
operands x in 0..3 and y in 0..7; it takes the state s to m = (s + x) mod 10 and
then to (m + CARRY[m, y]) mod 10. The answer is the last state. Steps with y of
4 or more are hard: the new digit needs two look-ups.

    prompt    4 #1 2 0 #2 3 7 #3 2 4 nil ... nil <think>
    response  #1 2 0 6 #2 3 7 0 wait 9 0 9 #3 2 4 1 </think> 1 <eos>

A response copies each step's operands and guesses the new state. Of a trace's
guesses at hard steps half are wrong. A check `wait m b s` writes the look-ups
and is right. A second check of a step is redundant, and so is a check of an
easy step.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from siri_jax import types
from siri_jax.config import built_in_task
from siri_jax.data import arithmetic_words
from siri_jax.data.arithmetic_words import ID
from siri_jax.grading import solutions

FIRST_HARD = 4  # The least y of a hard step.
MOST_CHECKS = 3  # Of one step, in a trace.
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
SPREAD = 1.2  # Log-deviation of the verbosity over traces.
CHECKS_HARD, CHECKS_EASY = 1.4, 0.6  # Mean checks of a step at verbosity 1.
_TRAIN, _HELD_OUT, _TRACES = range(3)  # Streams of random numbers.
MOST_DRAWN = 2**31 - 1  # Training problems, which are made on access.
MOST_HELD_OUT = 10**6  # Held-out problems, which are made at once.
MOST_VERBOSITY = 100
_BLOCK = 4096  # Problems drawn at a time by the iterator.


class Difficulty(NamedTuple):
  """How hard problems are, and how traces think.

  Attributes:
    fewest: least steps of a problem.
    most: most steps of a problem.
    hard: share of hard steps.
    slips: share of wrong guesses at hard steps, in traces.
    verbosity: median over traces of the factor on their checks. At 1 a step
      gets CHECKS_HARD or CHECKS_EASY of them in the mean, before a limit of
      MOST_CHECKS.
  """

  fewest: int = 3
  most: int = arithmetic_words.MOST
  hard: float = 0.5
  slips: float = 0.5
  verbosity: float = 1.2


DEFAULT = Difficulty()


class _Steps(NamedTuple):
  """C problems of at most N steps, int64; steps from `count` on are void."""

  count: np.ndarray  # [C]
  first: np.ndarray  # [C], the state before the first step.
  x: np.ndarray  # [C, N]
  y: np.ndarray  # [C, N]


def task(*, seed, problems, held_out, level=DEFAULT):
  """The arithmetic task.

  A problem whose first state and operands sum to a multiple of 10 is held
  out; training problems and traces are drawn from the others only.

  Args:
    seed: seed of all draws; the look-up table is fixed.
    problems: number of training problems.
    held_out: number of held-out problems.
    level: Difficulty of the problems and traces.
  Returns:
    types.Task, with traces.
  Raises:
    ValueError: settings are invalid; names each.
  """
  _refuse_bad(seed, problems, held_out, level)
  language = arithmetic_words.Language(level.most)
  evaluation = _problems(level, seed, _HELD_OUT, 0, held_out)
  traces = functools.partial(_traces, level, seed)
  drawn = [CARRY.tolist(), seed, problems]
  drawn += [_problems(level, seed, _TRAIN, 0, 64)]
  drawn += [(p, ids.tolist()) for p, ids in traces(0, 64)]
  prints = dict(data=drawn, held_out=evaluation, tokenizer=language.tokens)
  return types.Task(
    train=_Drawn(level, seed, problems),
    evals={'held_out': evaluation},
    encode=language.encode,
    encode_asked=language.encode_asked,
    ids_of=language.ids_of,
    decode=language.decode,
    solutions=solutions.in_steps,
    eos_ids=(ID['<eos>'],),
    vocab=len(language.tokens),
    fingerprints={
      name: hashlib.sha256(repr(value).encode()).hexdigest()
      for name, value in prints.items()
    },
    traces=traces,
    about=built_in_task.ABOUT,
    longest=language.prompt_tokens,
  )


def _refuse_bad(seed, problems, held_out, level):
  """Refuses settings out of range, all at once."""
  longest = arithmetic_words.MOST_STEPS
  whole = dict(
    seed=(seed, 0, MOST_DRAWN),
    problems=(problems, 1, MOST_DRAWN),
    held_out=(held_out, 1, MOST_HELD_OUT),
    fewest=(level.fewest, 1, longest),
    most=(level.most, 1, longest),
  )
  bad = [
    f'task_kw.{name}={value!r} is not a whole number of {least} to {most}'
    for name, (value, least, most) in whole.items()
    if type(value) is not int or not least <= value <= most
  ]
  for name, most in dict(hard=1, slips=1, verbosity=MOST_VERBOSITY).items():
    value = getattr(level, name)
    if type(value) not in (int, float) or not 0 <= value <= most:
      bad.append(f'task_kw.{name}={value!r} is not a number of 0 to {most}')
  if not bad and level.fewest > level.most:
    bad.append(
      f'task_kw.fewest={level.fewest} is above task_kw.most={level.most}'
    )
  if bad:
    raise ValueError('\n'.join(bad))


class _Drawn(Sequence):
  """The training problems, made on access."""

  def __init__(self, level, seed, size):
    self._level, self._seed, self._size = level, seed, size

  def __len__(self):
    return self._size

  def __getitem__(self, item):
    if isinstance(item, slice):
      return [self[i] for i in range(self._size)[item]]
    return self._made(range(self._size)[item], 1)[0]

  def __iter__(self):
    for first in range(0, self._size, _BLOCK):
      size = min(_BLOCK, self._size - first)
      yield from self._made(first, size)

  def _made(self, first, count):
    return _problems(self._level, self._seed, _TRAIN, first, count)


class _Uniform(NamedTuple):
  """Uniform numbers in [0, 1) of C items, of at most N steps each."""

  size: np.ndarray  # [C, 2]
  operands: np.ndarray  # [C, N]
  rest: np.ndarray  # [C]
  verbosity: np.ndarray  # [C, 2]
  checks: np.ndarray  # [C, N]
  slips: np.ndarray  # [C, N]


def _uniform(most, seed, stream, first, count):
  """_Uniform whose row i is a function of most, seed, stream, first + i."""
  ends = np.cumsum([2, most, 1, 2, most, most])
  fours = -(-int(ends[-1]) // 4)  # Philox makes four numbers at a time.
  bits = np.random.Philox(
    np.random.SeedSequence([seed, stream]), counter=first * fours
  )
  drawn = np.random.Generator(bits).random((count, 4 * fours))
  size, operands, rest, *others = np.split(drawn, ends, axis=1)[:-1]
  return _Uniform(size, operands, rest[:, 0], *others)


def _draw(level, uniform, stream):
  """The _Steps of problems from uniform numbers."""
  # Traces take the larger of two draws. Otherwise late steps are too rare for
  # SFT to learn to copy them.
  size = uniform.size[:, : 2 if stream == _TRACES else 1].max(axis=1)
  count = level.fewest + (size * (level.most - level.fewest + 1)).astype(int)
  live = np.arange(level.most) < count[:, None]
  rest, place = np.modf(uniform.operands * 32)
  x, y = np.divmod(place.astype(int) * live, 8)
  # Half of the y are hard; a part of the others becomes so, or the reverse.
  turned = (rest < abs(2 * level.hard - 1)) & live
  y = np.where(turned, y % FIRST_HARD + FIRST_HARD * (level.hard > 0.5), y)
  remainder = 1 + (uniform.rest * 9).astype(int)
  first = remainder * (stream != _HELD_OUT) - (x + y).sum(axis=1)
  return _Steps(count, first % 10, x, y)


def _problems(level, seed, stream, first, count):
  """`count` problems of a stream from its item `first` on."""
  uniform = _uniform(level.most, seed, stream, first, count)
  steps = _draw(level, uniform, stream)
  answers = steps.first
  for i in range(level.most):
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


def _traces(level, seed, first, count):
  """Supervised (problem, response ids) pairs from item `first` on."""
  uniform = _uniform(level.most, seed, _TRACES, first, count)
  steps = _draw(level, uniform, _TRACES)
  checks = _checks(level.verbosity, uniform, steps.y)
  slips = (uniform.slips < level.slips) * (steps.y >= FIRST_HARD)
  grid = np.empty((count, level.most, 1 + MOST_CHECKS, 4), int)
  state = steps.first
  for i in range(level.most):
    x, y = steps.x[:, i], steps.y[:, i]
    m, carry, after = look_up(state, x, y)
    guess = np.where(slips[:, i], (m + 1 - carry) % 10, after)
    grid[:, i, 0] = np.stack([0 * x + ID[f'#{i + 1}'], x, y, guess], 1)
    check = np.stack([0 * m + ID['wait'], m, carry, after], 1)
    grid[:, i, 1:] = check[:, None]
    after = np.where(checks[:, i] > 0, after, guess)
    state = np.where(i < steps.count, after, state)
  spoken = np.arange(1 + MOST_CHECKS) <= checks[:, :, None]
  spoken &= (np.arange(level.most) < steps.count[:, None])[:, :, None]
  problems = _problems(level, seed, _TRACES, first, count)
  return list(zip(problems, _cut(grid, spoken, state), strict=True))


def _checks(median, uniform, y):
  """Number of checks of each step: geometric, more for hard steps."""
  one, other = uniform.verbosity.T
  normal = np.sqrt(-2 * np.log1p(-one)) * np.cos(2 * np.pi * other)
  verbosity = median * np.exp(SPREAD * normal)
  mean = np.where(y >= FIRST_HARD, CHECKS_HARD, CHECKS_EASY)
  mean = mean * verbosity[:, None]
  again = (mean / (1 + mean))[:, :, None]
  return (
    uniform.checks[:, :, None] < again ** np.arange(1, MOST_CHECKS + 1)
  ).sum(2)


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
