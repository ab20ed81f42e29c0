"""Intervals of a mean difference over seeds and problems, in pairs."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 95  # Per cent.
POWER = 80  # Per cent.


class Interval(NamedTuple):
  """A mean and its interval, in the data's unit; nan where nothing varies."""

  mean: float
  low: float
  high: float


def paired(one, other):
  """The mean of other - one and its interval at LEVEL per cent.

  Seeds and problems are two crossed random factors. The variance of the mean
  is the sum of a part of the problems and a part of the seeds. Satterthwaite's
  rule gives the degrees of freedom of Student's t. With one seed the interval
  is over problems alone.

  Args:
    one: float [S, P], of an arm: S seeds on P problems.
    other: float [S, P], of another arm: the same seeds and problems.
  Returns:
    Interval; nan edges of a single number.
  Raises:
    ValueError: the arrays differ in shape, or hold nothing.
  Sources: Searle, Casella and McCulloch, Variance Components (1992), section
    4.3; Satterthwaite, Biometrics Bulletin 2 (1946), p. 110-114.
  """
  one, other = np.asarray(one, float), np.asarray(other, float)
  if one.shape != other.shape or one.ndim != 2 or not one.size:
    raise ValueError(
      f'{one.shape} and {other.shape}: give two arrays [seeds, problems]'
    )
  gap = other - one
  variance, freedom = _of_mean(gap)
  mean = float(gap.mean())
  if not freedom:
    return Interval(mean, math.nan, math.nan)
  t = special.stdtrit(freedom, 0.5 + LEVEL / 200)
  edge = float(t * math.sqrt(variance))
  return Interval(mean, mean - edge, mean + edge)


class Contrast(NamedTuple):
  """A mean over seeds, its interval, and the least mean that it would show."""

  mean: float
  low: float
  high: float
  least: float


def of_mean(values):
  """The mean of seeds' values and its interval by Student's t.

  Args:
    values: float [S].
  Returns:
    Interval at LEVEL per cent; nan edges of a single value.
  """
  return Interval(*contrast(values)[:3])


def contrast(values, compared=1):
  """The mean of seeds' differences, its interval, and what it could show.

  Args:
    values: float [S], a difference of each seed.
    compared: number of intervals that hold together, by Bonferroni.
  Returns:
    Contrast in the values' unit, the interval at LEVEL per cent by Student's
    t. `least` is the smallest mean whose interval leaves out 0 with a power of
    POWER. Of a single value all but the mean are nan.
  Source of `least`: the sum of two quantiles of Student's t in place of the
    noncentral one, Zar, Biostatistical Analysis (2010), section 7.7.
  """
  values, freedom = np.asarray(values, float), len(values) - 1
  mean = float(values.mean())
  if not freedom:
    return Contrast(mean, math.nan, math.nan, math.nan)
  error = values.std(ddof=1) / math.sqrt(len(values))
  beyond = (1 - LEVEL / 100) / (2 * compared)
  edge = float(special.stdtrit(freedom, 1 - beyond) * error)
  least = edge + float(special.stdtrit(freedom, POWER / 100) * error)
  return Contrast(mean, mean - edge, mean + edge, least)


def _of_mean(gap):
  """The variance of the mean of [S, P], and its degrees of freedom."""
  seeds, problems = gap.shape
  if min(seeds, problems) == 1:
    count = gap.size
    return (gap.var(ddof=1) / count, count - 1) if count > 1 else (0.0, 0)
  by_seed = gap.mean(axis=1, keepdims=True) - gap.mean()
  by_problem = gap.mean(axis=0, keepdims=True) - gap.mean()
  rest = gap - gap.mean() - by_seed - by_problem
  freedom = np.array(
    [seeds - 1, problems - 1, (seeds - 1) * (problems - 1)], float
  )
  sums = (
    problems * np.sum(by_seed**2),
    seeds * np.sum(by_problem**2),
    np.sum(rest**2),
  )
  of_seeds, of_problems, of_rest = squares = np.array(sums) / freedom
  # By chance the estimated variance of seeds may be negative.
  total = of_problems + max(of_seeds - of_rest, 0.0)
  scale = np.sum(squares**2 / freedom)
  return total / gap.size, max(1.0, total**2 / scale) if scale else 1.0
