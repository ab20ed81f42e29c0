"""LASER-D's levels of difficulty, their target lengths, and repetition.

Source: github.com/hkust-nlp/Laser; arxiv.org/abs/2505.15612.
"""

import collections
import itertools

import numpy as np


def targets(monitored, steps):
  """Level -> its target in tokens; None if no step will do."""
  arrays = monitored.arrays
  right, size = rights(arrays)
  own = np.select(
    [3 * right <= size, 3 * right <= 2 * size], ['low', 'medium'], 'high'
  )
  group = int(size[0])
  least = {'high': 2 * group // 3, 'medium': group // 3, 'low': 1}
  found = {}
  for level, number in least.items():
    lengths = arrays.length[own == level]
    will_do = (
      step
      for step in steps
      if lengths.size and number * np.mean(lengths <= step) >= 1
    )
    found[level] = next(will_do, None)
  return found


def limits(batch, found):
  """The target of each sample's problem, tokens: [B]."""
  arrays = batch.arrays
  right, size = rights(arrays)
  levels = np.select(
    [3 * right >= 2 * size, 3 * right >= size], ['high', 'medium'], 'low'
  )
  longest = int(arrays.length.max())
  limit = {k: longest if v is None else v for k, v in found.items()}
  return np.array([limit[level] for level in levels])


def rights(arrays):
  """The right responses of each sample's group, and all of them: [B] each."""
  group = arrays.group
  right = np.bincount(group, arrays.correct).astype(int)
  return right[group], np.bincount(group)[group]


def repeats(ids):
  """Whether a response's tokens repeat themselves, as LASER-DE tests it.

  A short n-gram of different tokens comes twice (three times from 200 tokens
  on), two of its places within a third of the response; or any of twice the
  size comes again.
  """
  size = len(ids)
  if size <= 8:
    return False
  short = 2 if size < 30 else 3 if size < 100 else 4
  often = 2 if size < 200 else 3
  places = collections.defaultdict(list)
  for i in range(size - short + 1):
    gram = tuple(ids[i : i + short])
    if len(set(gram)) > 1 or short == 2:
      places[gram].append(i)
  for at in places.values():
    near = any(b - a < size // 3 for a, b in itertools.pairwise(at))
    if len(at) >= often and near:
      return True
  long = 2 * short
  grams = [tuple(ids[i : i + long]) for i in range(size - long + 1)]
  return size >= 2 * long and len(set(grams)) < len(grams)
