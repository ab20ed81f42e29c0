"""Estimates from n samples per problem: pass@k, maj@k, accuracy by cap."""

import math

import numpy as np


def mean_and_error(per_problem):
  """Mean over problems and its standard error.

  Args:
    per_problem: float [N], one number per problem.
  Returns:
    (mean, standard error); the error is NaN for a single problem.
  """
  values = np.asarray(per_problem, np.float64)
  if values.size < 2:
    return float(values.mean()), float('nan')
  return float(values.mean()), float(values.std(ddof=1) / values.size**0.5)


def pass_at_k(right, samples):
  """Probability that k samples, drawn from n, include a right one.

  1 - C(n - c, k) / C(n, k), the mean over all choices of k from n samples.

  Args:
    right: c, number of right samples.
    samples: n, number of samples of the problem.
  Returns:
    float64 [n], for k from 1 to n.
  Source: Chen and others, section 2.1, arxiv.org/abs/2107.03374.
  """
  ways = [math.comb(samples, k) for k in range(1, samples + 1)]
  none = [math.comb(samples - right, k) for k in range(1, samples + 1)]
  return np.array([1 - n / w for n, w in zip(none, ways, strict=True)])


def maj_at_k(right, wrong, samples):
  """Probability that the most frequent answer of k samples from n is right.

  The mean over all choices of k from n samples. All right answers are one
  answer. Answers that tie are equally likely to win. A sample without an
  answer has no vote, and a choice without votes is not right.

  Args:
    right: number of right samples.
    wrong: for each wrong answer, its number of samples.
    samples: n, number of samples of the problem, including those without an
      answer; at most 1000, so that binomials fit in floats.
  Returns:
    float64 [n], for k from 1 to n.
  Source: self-consistency, arxiv.org/abs/2203.11171; the exact
    mean over choices is ours.
  """
  silent = samples - right - sum(wrong)
  draws = np.array([float(math.comb(samples, k)) for k in range(samples + 1)])
  won = np.zeros(samples + 1)
  for votes in range(1, right + 1):
    # [ties, drawn]: ways to draw the other samples, none with more votes.
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
  """Adds the samples of one answer to those that may be drawn.

  Args:
    ways: float64 [ties, drawn], numbers of choices.
    size: number of samples that gave the answer.
    votes: most votes that the answer may have; it ties at this number.
  """
  new = np.zeros_like(ways)
  ties, drawn = ways.shape
  for own in range(min(size, votes) + 1):
    tie = int(own == votes)
    more = math.comb(size, own) * ways[: ties - tie, : drawn - own]
    new[tie:, own:] += more
  return new


def caps(highest, points):
  """Caps, evenly spaced over 1..highest: int64 [<= points]."""
  even = np.linspace(0, highest, points + 1)[1:]
  return np.unique(np.maximum(np.rint(even), 1).astype(np.int64))


def area(caps, accuracy):
  """Mean accuracy over all caps from 0 (accuracy 0) to the highest.

  Args:
    caps: int [K], tokens, ascending.
    accuracy: float [K].
  Returns:
    float in the accuracy's unit, by the trapezoidal rule.
  """
  x, y = np.concatenate([[0], caps]), np.concatenate([[0.0], accuracy])
  return float(np.trapezoid(y, x) / x[-1])


def cap_reaching(share, caps, accuracy):
  """The lowest cap that reaches a share of the accuracy at the highest cap.

  Args:
    share: 0..1.
    caps: int [K], tokens, ascending.
    accuracy: float [K].
  Returns:
    int, tokens; NaN if the accuracy at the highest cap is 0.
  """
  if not accuracy[-1] > 0:
    return math.nan
  enough = np.asarray(accuracy) >= share * accuracy[-1] - 1e-12  # Rounding.
  return int(caps[np.argmax(enough)])
