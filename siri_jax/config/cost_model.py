"""What a cap costs: tokens, operations and the wait for the longest response.

All of it for a policy that stays as it is, whose responses would have some
distribution of lengths without a cap. A policy in training does not stay: it
adapts to its cap, so a plan is a plan.
"""

import math
from typing import NamedTuple

import numpy as np

from siri_jax.settings import real

SETTINGS = {'mean': real(1), 'median': real(1)}

POINTS = 20_000  # Of a lognormal; lengths below some 1,000 tokens are exact.


class LengthDistribution(NamedTuple):
  """Natural lengths: those that responses have without a cap.

  Attributes:
    tokens: float64 [K], rising; inf for responses whose end is not known.
    share: float64 [K], of the responses; they add up to 1.
  """

  tokens: np.ndarray
  share: np.ndarray


class Cost(NamedTuple):
  """What a stretch of steps costs, as expected.

  Attributes:
    tokens: that are sampled.
    operations: floating-point, of sampling and training.
    wait: decoding steps until the longest response is done, step by step.
  """

  tokens: float
  operations: float
  wait: float


def lognormal(*, mean, median):
  """Lengths whose logarithm is normal, rounded up to whole tokens.

  Args:
    mean: tokens, above the median.
    median: tokens.
  Returns:
    LengthDistribution.
  Raises:
    ValueError: the mean is not above the median, or that not above 0.
  """
  if not 0 < median < mean:
    raise ValueError(f'mean={mean} is not above median={median}, both above 0')
  sigma = math.sqrt(2 * math.log1p((mean - median) / median))
  z = np.linspace(-8, 8, POINTS)
  tokens = np.unique(np.ceil(median * np.exp(sigma * z)))
  below = [
    (1 + math.erf(math.log(t / median) / (sigma * math.sqrt(2)))) / 2
    for t in tokens
  ]
  share = np.diff(below, prepend=0)
  return LengthDistribution(tokens, share / share.sum())


def kaplan_meier(lengths, cut):
  """Lengths by samples, of which some were cut: Kaplan and Meier's estimate.

  A response that was cut is longer than what is seen of it. What outlives the
  longest end that was seen is taken to go on without an end.

  Args:
    lengths: int [n], tokens.
    cut: bool [n], whether a cap ended it.
  Returns:
    LengthDistribution.
  Raises:
    ValueError: there is no sample.
  Source: Kaplan and Meier, 1958, doi.org/10.1080/01621459.1958.10501452.
  """
  lengths, cut = np.asarray(lengths), np.asarray(cut, bool)
  if not lengths.size:
    raise ValueError('there is no sample to read lengths from')
  tokens, ended = np.unique(lengths[~cut], return_counts=True)
  as_long = lengths.size - np.searchsorted(np.sort(lengths), tokens)
  outlive = np.cumprod(1 - ended / as_long)
  share = -np.diff(outlive, prepend=1, append=0)
  return LengthDistribution(np.append(tokens, np.inf), share)


def longest(lengths, count):
  """The longest of so many independent responses.

  Samples of one prompt are alike, so that the real one is rather shorter.

  Args:
    lengths: LengthDistribution.
    count: responses.
  Returns:
    LengthDistribution.
  """
  below = np.minimum(np.cumsum(lengths.share), 1)
  return LengthDistribution(lengths.tokens, np.diff(below**count, prepend=0))


def capped(lengths, caps, power=1):
  """The expected min(n, cap)^power of responses of n tokens.

  Args:
    lengths: LengthDistribution.
    caps: int [steps], tokens.
    power: of the tokens.
  Returns:
    float64 [steps], tokens^power.
  """
  caps = np.asarray(caps, np.float64)
  ends = np.where(np.isfinite(lengths.tokens), lengths.tokens, 0)
  whole = np.append(0, np.cumsum(ends**power * lengths.share))
  under = np.searchsorted(lengths.tokens, caps, side='right')
  return whole[under] + share_cut(lengths, caps) * caps**power


def share_cut(lengths, caps):
  """The share of responses that a cap cuts.

  Args:
    lengths: LengthDistribution.
    caps: int [steps], tokens.
  Returns:
    float64 [steps], from 0 to 1.
  """
  over = np.append(np.cumsum(lengths.share[::-1])[::-1], 0)
  return over[np.searchsorted(lengths.tokens, caps, side='right')]


def estimate_cost(lengths, caps, *, samples, prompt, forward, epochs):
  """What a stretch of steps under these caps costs.

  A forward pass of each sampled sequence, prompt and all; then a forward and
  a backward pass, twice as much, of each in every epoch. Groups of equal
  rewards, which need no backward pass, and old log-probabilities of later
  optimiser steps, which need one more forward, are left out.

  Args:
    lengths: LengthDistribution.
    caps: int [steps], tokens.
    samples: B, samples of a step.
    prompt: tokens of a prompt, as a mean.
    forward: (a, b), operations a token and a squared token, flops.forward.
    epochs: passes over a batch.
  Returns:
    Cost.
  """
  a, b = forward
  caps, steps = np.unique(caps, return_counts=True)
  mean, square = capped(lengths, caps), capped(lengths, caps, power=2)
  linear, quadratic = prompt + mean, prompt**2 + 2 * prompt * mean + square
  each = Cost(
    tokens=samples * mean,
    operations=(1 + 3 * epochs) * samples * (a * linear + b * quadratic),
    wait=capped(longest(lengths, samples), caps),
  )
  return Cost(*(float(steps @ part) for part in each))
