"""What a grading rule says of one response."""

import dataclasses

UNFINISHED = 'unfinished thought'  # And so it is in every shorter prefix.
DEEPSCALER_ONLY = 'deepscaler only'
MATH_VERIFY_ONLY = 'math_verify only'
DISAGREEMENTS = (DEEPSCALER_ONLY, MATH_VERIFY_ONLY)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What a grading rule says of one response, and why.

  `extracted` is the answer that was found, '' where there was none; `why` is
  a word or a short phrase ('equal', 'no box', 'timeout', ...).
  """

  correct: bool
  extracted: str
  why: str
