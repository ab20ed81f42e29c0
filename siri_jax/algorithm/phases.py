"""The extrema of a cap and the phase of each step, from the cap's values.

An extremum is named by the number of updates done, as in the paper: a cosine
of period 640 is `compressed` at 320 and `expanded` at 640.
"""

import itertools

import numpy as np


def cap_extrema(caps):
  """The ends of compression and of expansion.

  A bottom or top that the cap leaves smoothly turns in its middle: rounding
  makes a cosine's bottom a few steps wide. One that it leaves by a jump of more
  than half the schedule's range turns at its end (a stair). A change of one
  token is never a jump, because a short run may see only that much.

  Args:
    caps: int [n], tokens at steps 0, 1, ..., n - 1.
  Returns:
    dict from updates done to 'compressed' or 'expanded', in order.
  """
  caps = [int(cap) for cap in caps]
  jump = max((max(caps) - min(caps)) / 2, 1)
  flats, start = [], 0
  for value, steps in itertools.groupby(caps):
    end = start + len(list(steps))
    flats.append((start, end, value))
    start = end
  found = {}
  for i, (start, end, value) in enumerate(flats[:-1]):
    step_out = flats[i + 1][2] - value
    jumps = abs(step_out) > jump
    turned = i > 0 and (value - flats[i - 1][2] > 0) != (step_out > 0)
    if turned or (i == 0 and jumps):
      at = end if jumps else (start + end - 1) // 2
      # If a bottom jumps to a top that falls at once, only the bottom counts.
      found.setdefault(at, 'compressed' if step_out > 0 else 'expanded')
  return found


def phases(caps, turning):
  """'compress' or 'expand' for each step, by the next extremum.

  Args:
    caps: int [n], tokens at steps 0, 1, ..., n - 1.
    turning: result of `cap_extrema`, perhaps for more steps.
  Returns:
    list of n words; all 'expand' for a constant cap.
  """
  towards = {'compressed': 'compress', 'expanded': 'expand'}
  away = {'compressed': 'expand', 'expanded': 'compress'}
  sinking = np.asarray(caps)[-1] < np.asarray(caps)[0]
  words, before = [], 'compress' if sinking else 'expand'
  points = sorted(turning)
  for step in range(len(caps)):
    following = [p for p in points if p > step]
    if following:
      words.append(towards[turning[following[0]]])
    else:
      words.append(away[turning[points[-1]]] if points else before)
  return words


def compressions(caps, words):
  """(first step, one past the last) of every stretch of compression.

  Args:
    caps: int [n], tokens at steps 0, 1, ..., n - 1.
    words: result of `phases` for these caps.
  Returns:
    list of pairs of int; empty for a constant cap, which has no phases.
  """
  if len(np.unique(caps)) < 2:
    return []
  compress = np.asarray(words) == 'compress'
  edges = np.flatnonzero(np.diff(compress, prepend=False, append=False))
  return [tuple(pair) for pair in edges.reshape(-1, 2).tolist()]
