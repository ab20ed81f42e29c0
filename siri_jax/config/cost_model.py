"""Cost of a cap: tokens, FLOPs, and the wait for the longest response.

It assumes a fixed policy with a known distribution of lengths without a cap. A
policy in training adapts to its cap, so the real cost differs.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from siri_jax.algorithm.chunks import starts
from siri_jax.settings import real

SETTINGS = {'mean': real(1), 'median': real(1)}

POINTS = 20_000  # Of a lognormal; lengths below about 1,000 tokens are exact.


class LengthDistribution(NamedTuple):
  """Natural lengths: the lengths of responses without a cap.

  Attributes:
    tokens: float64 [K], ascending; inf for responses with unknown end.
    share: float64 [K], shares of the responses; their sum is 1.
  """

  tokens: np.ndarray
  share: np.ndarray


class Cost(NamedTuple):
  """The expected cost of some steps.

  Attributes:
    tokens: sampled tokens.
    operations: FLOPs of sampling and training.
    wait: decoding steps until the longest response of each step, added up.
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
    ValueError: the mean is not above the median, or the median not above 0.
  """
  if not 0 < median < mean:
    raise ValueError(
      f'mean={mean} is not above median={median}; both must be above 0'
    )
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
  """Lengths from samples, some of them cut: the Kaplan-Meier estimate.

  A response that was cut is censored: its full length is unknown. Responses
  longer than the longest uncut one count as endless.

  Args:
    lengths: int [n], tokens.
    cut: bool [n], whether a cap cut the response.
  Returns:
    LengthDistribution.
  Raises:
    ValueError: there is no sample.
  Source: Kaplan and Meier, 1958, doi.org/10.1080/01621459.1958.10501452.
  """
  lengths, cut = np.asarray(lengths), np.asarray(cut, bool)
  if not lengths.size:
    raise ValueError('there is no sample to read lengths from')
  from scipy import stats  # Here, because its import takes half a second.

  seen = stats.CensoredData(lengths[~cut], right=lengths[cut])
  outlive = stats.ecdf(seen).sf
  share = -np.diff(outlive.probabilities, prepend=1, append=0)
  return LengthDistribution(np.append(outlive.quantiles, np.inf), share)


def longest(lengths, count):
  """The longest of `count` independent responses.

  Samples of one prompt are correlated, so that the real one is shorter.

  Args:
    lengths: LengthDistribution.
    count: number of responses.
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
    power: exponent of the tokens.
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


def rows(lengths, caps, chunks):
  """The expected rows of a response: one, or one for each of its chunks.

  Args:
    lengths: LengthDistribution.
    caps: int [steps], tokens.
    chunks: types.Chunks; None: a response is one row.
  Returns:
    list of (tokens of the response in the row's prompt; float64 [steps]: share
    of the responses that have the row, expected n, expected n^2, of the n
    tokens after the prompt).
  """
  caps = np.asarray(caps, np.float64)
  if chunks is None:
    return [(0, 1.0, capped(lengths, caps), capped(lengths, caps, power=2))]
  found, most = [], int(np.max(caps, initial=1))
  for start, end in itertools.pairwise([*starts(most, chunks), most]):
    mean, square = (
      capped(lengths, np.minimum(caps, end), power)
      - capped(lengths, np.minimum(caps, start), power)
      for power in (1, 2)
    )
    share = share_cut(lengths, start) * (caps > start) if start else 1.0
    # (n - start)^2 of the tokens from `start` on.
    square = square - 2 * start * mean
    found.append((chunks.carried * bool(start), share, mean, square))
  return found


def estimate_cost(lengths, caps, *, samples, prompt, forward, passes, epochs):
  """The cost of steps with these caps.

  It counts a forward pass of each sampled sequence with its prompt, and in each
  epoch a forward and a backward pass. It ignores
  that groups of equal rewards need no backward pass, and that later optimiser
  steps need a forward pass for old log-probabilities.

  Args:
    lengths: LengthDistribution.
    caps: int [steps], tokens.
    samples: B, samples of a step.
    prompt: mean tokens of a prompt.
    forward: (a, b) of flops.forward.
    passes: of flops.passes.
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
    operations=(1 + passes * epochs) * samples * (a * linear + b * quadratic),
    wait=capped(longest(lengths, samples), caps),
  )
  return Cost(*(float(steps @ part) for part in each))
