"""The turns of a cap and the phase of each step.

A turn is named by the number of updates done, as in the paper: a cosine of
period 640 is `compressed` at 320 and `expanded` at 640. A schedule of the step
alone has turns where its cap's changes change their sign. A closed loop has a
phase of its own.
"""

import itertools

import numpy as np

ENDS = {'compress': 'compressed', 'expand': 'expanded'}  # Of a phase.


def cap_extrema(caps):
  """The ends of compression and of expansion, from the sign of the changes.

  Between two changes of opposite sign the cap stays at its bottom or top for
  some steps. If it leaves by a jump, more than half of its way to the next
  extremum in one step (a stair, a sawtooth), it turns at the end of these
  steps, else in their middle: rounding makes a cosine's bottom a few steps
  wide. A change of one token is never a jump, because a short run may see only
  that much. The first steps turn if the cap leaves them by a jump.

  Args:
    caps: int [n], tokens at steps 0, 1, ..., n - 1.
  Returns:
    dict from updates done to 'compressed' or 'expanded', in order.
  """
  flats = _flats(caps)
  steps_out = [b - a for (_, _, a), (_, _, b) in itertools.pairwise(flats)]
  found = {}
  for i, (step_out, way) in enumerate(
    zip(steps_out, _ways(steps_out), strict=True)
  ):
    start, end, _ = flats[i]
    jumps = abs(step_out) > max(way / 2, 1)
    turned = i > 0 and (steps_out[i - 1] > 0) != (step_out > 0)
    if turned or (i == 0 and jumps):
      at = end if jumps else (start + end - 1) // 2
      # If a bottom jumps to a top that falls at once, only the bottom counts.
      found.setdefault(at, 'compressed' if step_out > 0 else 'expanded')
  return found


def phases(caps, turning):
  """'compress' or 'expand' for each step, by the next extremum.

  After the last one, it is the way that the caps go from there.

  Args:
    caps: int [n], tokens at steps 0, 1, ..., n - 1.
    turning: result of `cap_extrema`, perhaps for more steps.
  Returns:
    list of n words; all 'expand' for a constant cap.
  """
  towards = {end: phase for phase, end in ENDS.items()}
  words = []
  for at in sorted(turning):
    words += [towards[turning[at]]] * (at - len(words))
  words = words[: len(caps)]
  rest = np.asarray(caps)[len(words) :]
  if not rest.size:
    return words
  away = turning[len(words)] == 'expanded' if words else False
  sinks = rest[-1] < rest[0] or (rest[-1] == rest[0] and away)
  return words + [word(sinks)] * rest.size


def of_caps(words, turns, step, before, after):
  """The phase and the turn of a step whose cap was known before the run.

  Args:
    words: result of `phases`.
    turns: updates done -> 'compressed' or 'expanded'.
    step: index of the step; one past the last has the last one's phase.
    before: types.CapState before the step; not used.
    after: the same after it; not used.
  Returns:
    'compress' or 'expand'; 'compressed', 'expanded' or ''.
  """
  del before, after
  return words[min(step, len(words) - 1)], turns.get(step, '')


def of_states(step, before, after):
  """The phase and the turn of a step of a closed loop; as `of_caps`."""
  del step
  own, then = word(after.compressing), word(before.compressing)
  return own, ENDS[then] if before.cap and own != then else ''


def word(compressing):
  """The phase of a types.CapState as 'compress' or 'expand'."""
  return 'compress' if compressing else 'expand'


def turns_of(words):
  """The turns between the phases of a closed loop.

  Args:
    words: 'compress' or 'expand' at steps 0, 1, ...
  Returns:
    dict from updates done to 'compressed' or 'expanded', in order.
  """
  pairs = enumerate(itertools.pairwise(words), 1)
  return {step: ENDS[then] for step, (then, own) in pairs if own != then}


def compressions(caps, words):
  """(first step, one past the last) of every stretch of compression.

  A stretch ends with its phase, and where the cap rises: after each tooth of a
  sawtooth, which compresses at every step.

  Args:
    caps: int [n], tokens at steps 0, 1, ..., n - 1.
    words: 'compress' or 'expand' at these steps.
  Returns:
    list of pairs of int; empty for a constant cap, which has no phases.
  """
  return _stretches(caps, words, 'compress', np.diff(caps) > 0)


def expansions(caps, words):
  """The same of expansion, whose stretches end where the cap falls."""
  return _stretches(caps, words, 'expand', np.diff(caps) < 0)


def _stretches(caps, words, phase, breaks):
  if len(np.unique(caps)) < 2:
    return []
  own = np.asarray(words) == phase
  begins = own & ~np.concatenate([[False], own[:-1] & ~breaks])
  ends = own & ~np.concatenate([own[1:] & ~breaks, [False]])
  pairs = zip(np.flatnonzero(begins), np.flatnonzero(ends) + 1, strict=True)
  return [(int(begin), int(end)) for begin, end in pairs]


def _flats(caps):
  """(first step, one past the last, cap) of each stretch of equal caps."""
  found, start = [], 0
  for cap, steps in itertools.groupby(int(cap) for cap in caps):
    end = start + len(list(steps))
    found.append((start, end, cap))
    start = end
  return found


def _ways(changes):
  """For each change, the tokens of the monotone way that it is a part of."""
  ways = []
  for _, part in itertools.groupby(changes, key=lambda change: change > 0):
    own = list(part)
    ways.append((len(own), abs(sum(own))))
  if len(ways) > 1:  # The last one may not be complete.
    ways[-1] = (ways[-1][0], max(ways[-1][1], ways[-2][1]))
  return [tokens for count, tokens in ways for _ in range(count)]
