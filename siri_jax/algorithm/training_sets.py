"""PLUG-IN family: training sets from samples that were taken once.

`(problems, *, settings) -> TrainingSet`, with a Presampled for each problem. A
function with a keyword argument of EXTRA also gets `cap`, the cap of the
samples in tokens; `uniforms`, a number in [0, 1) for each sample of each
problem; or `solutions`, the Solutions of each sample of each problem.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

EXTRA = ('cap', 'uniforms', 'solutions')


class Presampled(NamedTuple):
  """The samples of one problem.

  Attributes:
    lengths: int [K], tokens.
    correct: bool [K], whether each is right.
  """

  lengths: np.ndarray
  correct: np.ndarray


class Solutions(NamedTuple):
  """The solutions that a response has in its thought.

  Attributes:
    ends: (tokens up to its end, whether its answer is right) of each solution.
    close: tokens before the end of the thought; all, if it has no end.
  """

  ends: Sequence[tuple[int, bool]]
  close: int


class Picked(NamedTuple):
  """A response of a training set.

  Attributes:
    index: which sample of its problem it is.
    kept: its first tokens that are kept.
    resumed: where it goes on after them: a token of the sample, or its length.
    weight: its weight; of a pair 1 for the preferred response, else -1.
    score: what its weight was made of.
  """

  index: int
  kept: int
  resumed: int
  weight: float
  score: float


class TrainingSet(NamedTuple):
  """What is learned from.

  Attributes:
    groups: (number of the problem, its Picked) of each group; a pair has the
      preferred response first.
    left_out: reason -> number of problems without a group.
  """

  groups: Sequence[tuple[int, tuple[Picked, ...]]]
  left_out: Mapping[str, int]


def o1_pruner(problems, *, uniforms, used, alpha, low, high):
  """O1-Pruner: some samples of each problem, by how short and right they are.

  score = clip((mean length - length) / length + alpha (c - accuracy), low,
  high), with the means over the problem's samples and c = 1 for a right one.
  The weight is the score minus the set's mean, over the set's deviation.

  Args:
    problems: list of N Presampled.
    uniforms: N arrays [K]; the samples with the lowest are used.
    used: samples of a problem that are used.
    alpha: score of being right.
    low: lowest score.
    high: highest score.
  Returns:
    TrainingSet, in groups of `used`.
  Raises:
    ValueError: used is below 1, or low is not below high.
  Source: O1-Pruner, section 4, arxiv.org/abs/2501.12570; o1_scripts/
    construct_dataset.py, github.com/StarDewXXX/O1-Pruner.
  """
  if used < 1 or not low < high:
    raise ValueError(f'used={used} is below 1, or low={low} >= high={high}')
  chosen, left_out = {}, 0
  for number, (lengths, correct) in enumerate(problems):
    if len(lengths) < used:
      left_out += 1
      continue
    brevity = (np.mean(lengths) - lengths) / lengths
    score = brevity + alpha * (correct - np.mean(correct))
    places = np.argsort(uniforms[number], kind='stable')[:used]
    chosen[number] = [(i, np.clip(score[i], low, high)) for i in places]
  every = [score for own in chosen.values() for _, score in own]
  mean, deviation = (np.mean(every), np.std(every)) if every else (0.0, 0.0)
  groups = []
  for number, own in chosen.items():
    lengths = problems[number].lengths
    picked = [
      _whole(i, lengths, (score - mean) / (deviation or 1.0), score)
      for i, score in own
    ]
    groups.append((number, tuple(picked)))
  return TrainingSet(groups, _counted({f'fewer than {used} samples': left_out}))


def dast(problems, *, cap, drop):
  """DAST: pairs of right responses and of wrong ones, by budget.

  A problem's budget is p L + (1 - p) cap, with its accuracy p and the mean
  length L of its right samples. With o = (length - budget) / budget, a right
  response scores max(0.5 - 0.5 o, 0.1), a wrong one min(0.9 o - 0.1, -0.1). Of
  the right and of the wrong samples of a problem, the one with the highest
  score is preferred to the one with the lowest. Then the share `drop` of all
  pairs whose scores are the closest is left out.

  Args:
    problems: list of N Presampled.
    cap: the cap of the samples, tokens.
    drop: share of the pairs that is left out, from 0 to below 1.
  Returns:
    TrainingSet in pairs, up to two of a problem.
  Raises:
    ValueError: drop is not in [0, 1).
  Source: DAST, sections 3.1 to 3.3, arxiv.org/abs/2503.04472.
  """
  if not 0 <= drop < 1:
    raise ValueError(f'drop={drop} is not a share from 0 to below 1')
  pairs = []
  for number, problem in enumerate(problems):
    scores = _budget_scores(problem, cap)
    for same in (problem.correct, ~problem.correct):
      own = np.flatnonzero(same)
      if not own.size:
        continue
      best, worst = own[np.argmax(scores[own])], own[np.argmin(scores[own])]
      if scores[best] > scores[worst]:
        pairs.append((number, best, worst, scores))
  margins = np.array([s[best] - s[worst] for _, best, worst, s in pairs])
  order = np.argsort(margins, kind='stable')
  kept = sorted(order[int(drop * len(pairs)) :])
  groups = [(pairs[i][0], _pair(problems, *pairs[i])) for i in kept]
  found, there = {p[0] for p in pairs}, {number for number, _ in groups}
  return TrainingSet(
    groups,
    _counted(
      {
        'equal scores': len(problems) - len(found),
        'too close scores': len(found - there),
      }
    ),
  )


def overthink(problems, *, solutions, keep):
  """OverThink: the first right solutions are preferred to the longest response.

  Only right samples count. A sample is cut after its `keep`-th right solution,
  and the end of its thought and its reply follow. The shortest result is
  preferred. If no sample of a problem has so many right solutions, it is cut
  after as many as one has, which is our choice.

  Args:
    problems: list of N Presampled.
    solutions: for each of them, the Solutions of its K samples.
    keep: right solutions that are kept: 1 is the first correct solution alone,
      2 adds its reflection.
  Returns:
    TrainingSet in pairs.
  Raises:
    ValueError: keep is below 1.
  Source: OverThink, sections 3.1 and 3.2, arxiv.org/abs/2412.21187.
  """
  if keep < 1:
    raise ValueError(f'keep={keep} is below 1')
  groups, left_out = [], {'no right sample': 0, 'nothing to shorten': 0}
  for number, (problem, own) in enumerate(
    zip(problems, solutions, strict=True)
  ):
    right = np.flatnonzero(problem.correct)
    if not right.size:
      left_out['no right sample'] += 1
      continue
    longest = right[np.argmax(problem.lengths[right])]
    cut = _first_solutions(problem, own, right, keep)
    if not cut or _tokens(cut, problem) >= problem.lengths[longest]:
      left_out['nothing to shorten'] += 1
      continue
    other = _whole(longest, problem.lengths, -1.0, 0.0)
    groups.append((number, (cut, other)))
  return TrainingSet(groups, _counted(left_out))


def _budget_scores(problem, cap):
  """DAST's scores: [K], 0.1 to 1 for right samples, else -1 to -0.1."""
  lengths, correct = problem
  accuracy = np.mean(correct)
  right = np.mean(lengths[correct]) if correct.any() else 0.0
  budget = accuracy * right + (1 - accuracy) * cap
  over = (lengths - budget) / budget
  return np.where(
    correct,
    np.maximum(0.5 - 0.5 * over, 0.1),
    np.minimum(0.9 * over - 0.1, -0.1),
  )


def _first_solutions(problem, solutions, right, keep):
  """The shortest Picked that ends after right solutions; None without one."""
  ends = {i: [end for end, good in solutions[i].ends if good] for i in right}
  # Without an end of the thought, nothing would follow the cut.
  ends = {
    i: own for i, own in ends.items() if solutions[i].close < problem.lengths[i]
  }
  count = min(keep, max(map(len, ends.values()), default=0))
  cuts = [
    Picked(int(i), int(own[count - 1]), int(solutions[i].close), 1.0, 0.0)
    for i, own in ends.items()
    if count and len(own) >= count
  ]
  return min(cuts, key=lambda cut: _tokens(cut, problem), default=None)


def _tokens(picked, problem):
  """The tokens of a Picked."""
  return picked.kept + problem.lengths[picked.index] - picked.resumed


def _whole(index, lengths, weight, score):
  """A whole sample as a Picked."""
  size = int(lengths[index])
  return Picked(int(index), size, size, float(weight), float(score))


def _pair(problems, number, best, worst, scores):
  """Two whole samples as a pair."""
  lengths = problems[number].lengths
  return (
    _whole(best, lengths, 1.0, scores[best]),
    _whole(worst, lengths, -1.0, scores[worst]),
  )


def _counted(reasons):
  """The reasons that apply."""
  return {reason: count for reason, count in reasons.items() if count}
