"""Estimates from n samples a problem: pass@k, maj@k, caps, their errors."""

import math

import numpy as np


def mean_and_error(per_problem):
  """Mean over problems and its standard error.

  Args:
    per_problem: float [N], one number a problem.
  Returns:
    (mean, standard error); the error of one problem is NaN.
  """
  values = np.asarray(per_problem, np.float64)
  if values.size < 2:
    return float(values.mean()), float('nan')
  return float(values.mean()), float(values.std(ddof=1) / values.size**0.5)


def pass_at_k(right, samples):
  """Chance that k samples of a problem, drawn from n, hold a right one.

  1 - C(n - c, k) / C(n, k), the mean over all choices of k of the n.

  Args:
    right: c, samples that are right.
    samples: n, samples of the problem.
  Returns:
    float64 [n], for k from 1 to n.
  Source: Chen and others, section 2.1, arxiv.org/abs/2107.03374.
  """
  ways = [math.comb(samples, k) for k in range(1, samples + 1)]
  none = [math.comb(samples - right, k) for k in range(1, samples + 1)]
  return np.array([1 - n / w for n, w in zip(none, ways, strict=True)])


def maj_at_k(right, wrong, samples):
  """Chance that the most frequent answer of k samples, drawn from n, is right.

  The mean over all choices of k of the n. All right answers are one answer;
  those that tie for the most votes are equally likely to be taken; a sample
  without an answer has no vote, and where nobody has one, that is not right.

  Args:
    right: samples that are right.
    wrong: for each wrong answer, how many samples gave it.
    samples: n, samples of the problem, those without an answer included; at
      most 1000, for binomials to be floats.
  Returns:
    float64 [n], for k from 1 to n.
  Source: self-consistency, arxiv.org/abs/2203.11171; the mean over choices
    is ours, exact by counting them.
  """
  silent = samples - right - sum(wrong)
  draws = np.array([float(math.comb(samples, k)) for k in range(samples + 1)])
  won = np.zeros(samples + 1)
  for votes in range(1, right + 1):
    # [ties, drawn]: choices of others of whom none has more votes.
    rivals = sum(size >= votes for size in wrong)
    others = np.zeros((rivals + 1, samples + 1))
    others[0, : silent + 1] = [math.comb(silent, j) for j in range(silent + 1)]
    for size in wrong:
      others = _and_answer(others, size, votes)
    share_of_tie = 1.0 / (1 + np.arange(rivals + 1))
    chosen = math.comb(right, votes) * (share_of_tie @ others)
    won[votes:] += chosen[: samples + 1 - votes]
  return (won / draws)[1:]


def _and_answer(ways, size, votes):
  """Choices as they are once an answer of so many samples may be among them.

  Args:
    ways: float64 [ties, drawn].
    size: samples that gave the answer.
    votes: what it may not exceed, and ties with.
  """
  new = np.zeros_like(ways)
  ties, drawn = ways.shape
  for own in range(min(size, votes) + 1):
    tie = int(own == votes)
    more = math.comb(size, own) * ways[: ties - tie, : drawn - own]
    new[tie:, own:] += more
  return new


def caps(highest, points):
  """Caps at which to look: evenly spread over 1..highest, int64 [<= points]."""
  even = np.linspace(0, highest, points + 1)[1:]
  return np.unique(np.maximum(np.rint(even), 1).astype(np.int64))


def area(caps, accuracy):
  """Mean accuracy over all caps from 0, where it is 0, to the highest.

  Args:
    caps: int [K], tokens, rising.
    accuracy: float [K].
  Returns:
    float in the accuracy's unit, by the trapezoidal rule.
  """
  x, y = np.concatenate([[0], caps]), np.concatenate([[0.0], accuracy])
  return float(np.trapezoid(y, x) / x[-1])


def cap_reaching(share, caps, accuracy):
  """The lowest of the caps with so much of the accuracy at the highest.

  Args:
    share: 0..1.
    caps: int [K], tokens, rising.
    accuracy: float [K].
  Returns:
    int, tokens; NaN where nothing is right at the highest cap.
  """
  if not accuracy[-1] > 0:
    return math.nan
  enough = np.asarray(accuracy) >= share * accuracy[-1] - 1e-12  # Rounding.
  return int(caps[np.argmax(enough)])
