"""The result of a grading rule for one response."""

import dataclasses

UNFINISHED = 'unfinished thought'  # Every shorter prefix is unfinished too.
DEEPSCALER_ONLY = 'deepscaler only'
MATH_VERIFY_ONLY = 'math_verify only'
DISAGREEMENTS = (DEEPSCALER_ONLY, MATH_VERIFY_ONLY)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """The result of a grading rule for one response, and the reason.

  `extracted` is the answer found, '' if there is none. `why` is a word or a
  short phrase ('equal', 'no box', 'timeout', ...).
  """

  correct: bool
  extracted: str
  why: str
