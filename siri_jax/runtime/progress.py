"""What a resumed loop starts from besides the TrainState: small host values."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from siri_jax import types


class Cap(NamedTuple):
  """The cap of a step.

  Attributes:
    step: index of the step.
    tokens: the cap.
    phase: 'compress' or 'expand'.
    turn: 'compressed' or 'expanded' if a phase has ended before this step, as a
      point of the run after `step` updates; else ''.
    state: types.CapState for the next step.
  """

  step: int
  tokens: int
  phase: str
  turn: str
  state: types.CapState


@dataclasses.dataclass(frozen=True)
class Progress:
  """The loop's own state after a step.

  Attributes:
    tokens: response tokens trained on so far.
    cap_state: types.CapState after the step.
    seen: types.StepSummary of the step.
    turns: updates done -> 'compressed' or 'expanded', the turns so far.
    memory: text reward -> problem id -> value that it remembers; JSON.
  """

  tokens: int
  cap_state: types.CapState
  seen: types.StepSummary
  turns: Mapping[int, str]
  memory: Mapping[str, Mapping]

  def after(self, cap, seen, tokens, memory):
    """The progress after one more step.

    Args:
      cap: Cap of the step.
      seen: its types.StepSummary.
      tokens: its response tokens.
      memory: of the text rewards, after it.
    """
    turn = {cap.step: cap.turn} if cap.turn else {}
    return Progress(
      tokens=self.tokens + int(tokens),
      cap_state=cap.state,
      seen=seen,
      turns={**self.turns, **turn},
      memory=memory,
    )

  def facts(self):
    """The progress as JSON values; floats keep every bit."""
    return {
      'tokens': self.tokens,
      'cap_state': _plain(self.cap_state),
      'seen': _plain(self.seen),
      'turns': {str(done): kind for done, kind in self.turns.items()},
      'memory': self.memory,
    }


def start():
  """The progress of a run before its first step."""
  return Progress(
    tokens=0,
    cap_state=types.CapState(
      cap=_zero('float32'),
      compressing=_zero('bool'),
      since=_zero('int32'),
      signal=_zero('float32'),
      mark=_zero('float32'),
      marked=_zero('int32'),
    ),
    seen=types.StepSummary(
      samples=_zero('int32'),
      accuracy=_zero('float32'),
      truncated_frac=_zero('float32'),
      right_lengths=np.zeros(types.QUANTILES, np.float32),
    ),
    turns={},
    memory={},
  )


def restored(facts, schedule):
  """The progress that a checkpoint's facts hold.

  Args:
    facts: dict of JSON values. An earlier version saved the tokens alone.
    schedule: name of the run's schedule. One with another name starts its own
      state, as in a branch.
  """
  blank, own = start(), facts.get('schedule') == schedule
  return Progress(
    tokens=facts['tokens'],
    cap_state=_arrays(blank.cap_state, facts['cap_state'] if own else {}),
    seen=_arrays(blank.seen, facts.get('seen', {})),
    turns={int(done): kind for done, kind in facts.get('turns', {}).items()},
    memory=facts.get('memory', {}),
  )


def _zero(dtype):
  return np.zeros((), dtype)


def _plain(record):
  return {k: np.asarray(v).tolist() for k, v in vars(record).items()}


def _arrays(blank, values):
  """A record with the dtypes of `blank` and these values."""
  return blank.replace(
    **{k: np.asarray(v, getattr(blank, k).dtype) for k, v in values.items()}
  )
