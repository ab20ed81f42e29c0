"""The records that the loop passes between its stages.

Problem and Sample are host records; Batch, StepSummary, CapState, PackedBatch
and TrainState are pytrees of arrays. All are frozen: a step makes new ones.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import numpy as np

from siri_jax.grading.verdict import Verdict


@dataclasses.dataclass(frozen=True)
class Problem:
  """One verifiable problem.

  `id` is unique in its set; of several answers any will do. `columns` are the
  further keys of its line in the problem file, JSON values by name.
  """

  id: str
  text: str
  answer: str | tuple[str, ...]
  source: str
  # Not in the repr, of which the built-in task's fingerprint is made.
  columns: Mapping[str, Any] = dataclasses.field(
    default_factory=dict, repr=False, hash=False
  )


class Chunks(NamedTuple):
  """How a long response is sampled and trained on in chunks.

  Every chunk after the first starts from the prompt and `carried` tokens of the
  response so far, so that no row has more of the response than `context`.

  Attributes:
    context: most tokens of the response in a row, in the prompt and after it.
    carried: those in the prompts of the later chunks, 1 <= carried < context.
    head: of the carried ones, those from the start of the response; the others
      are its newest. 0 <= head < carried.
  """

  context: int
  carried: int
  head: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
  """What one sample is asked, besides its problem.

  Attributes:
    cap: most tokens of the response, 1 or more.
    note: words after the instruction, in the user's turn; '' for none.
    system: words of the system's turn; '' for none.
    opening: words at the end of the prompt, in the thought that it opens.
    target: tokens that the prompt asks for; 0 for none.
    mode: a number whose meaning the plug-in that gives the budget states.
    thinking: most tokens of the thought, after which its end is forced; 0: no
      limit but the cap.
    solution: most tokens after the thought's end, if `thinking` is not 0.
    close: the token that ends a thought, in words, if `thinking` is not 0.
    chunks: how a long response is divided; None: it is one row.
  """

  cap: int
  note: str = ''
  system: str = ''
  opening: str = ''
  target: int = 0
  mode: int = 0
  thinking: int = 0
  solution: int = 0
  close: str = ''
  chunks: Chunks | None = None

  @property
  def words(self):
    """All words that it adds to a prompt; '' for none."""
    return self.system + self.note + self.opening

  @property
  def row(self):
    """Most tokens of the response in a row."""
    return min(self.cap, self.chunks.context) if self.chunks else self.cap


@dataclasses.dataclass(frozen=True)
class Prompt:
  """A prompt to sample from.

  Attributes:
    problem_id: id of its problem.
    ids: int32 [P], its token ids.
    first: index in the group of the first of its samples.
    samples: number of samples; 0: as many as engines.SamplingParams.n.
    cap: most new tokens; 0: engines.SamplingParams.cap.
  """

  problem_id: str
  ids: np.ndarray
  first: int = 0
  samples: int = 0
  cap: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokens:
  """A prompt and its whole response, of which an update makes its rows.

  Attributes:
    prompt_ids: int32 [P].
    response_ids: int32 [T], T >= 1, including the end-of-sequence id if the
      response has one.
    sampler_logp: float32 [T], log-probabilities under the sampler, nats; None
      where there are none, NaN where one is not known.
    old_logp: float32 [T], log-probabilities under the trainer's policy that
      sampled them, nats; None: the update finds or needs none.
    forced: bool [T], the tokens that the policy did not choose, which are not
      trained on; None if it chose all.
    chunks: how the response was divided; None: it was not.
  """

  prompt_ids: np.ndarray
  response_ids: np.ndarray
  sampler_logp: np.ndarray | None = None
  old_logp: np.ndarray | None = None
  forced: np.ndarray | None = None
  chunks: Chunks | None = None

  @property
  def chosen(self):
    """The number of response tokens that the policy chose."""
    forced = 0 if self.forced is None else int(self.forced.sum())
    return self.response_ids.size - forced


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(Tokens):
  """One response of the sampler to one prompt.

  Attributes:
    problem_id: id of the problem.
    index: index in its group, 0 <= index < G.
    finish_reason: 'stop' (the policy ended it) or 'length' (the cap cut it).
    spans: (weight version, first token, one past the last), one for each
      version of the weights that sampled a part of it.
    budget: what it was asked; None: nothing besides its problem.
    weight: its weight in a training set; 0 if the step sampled it.
  """

  problem_id: str
  index: int
  finish_reason: str
  spans: tuple[tuple[int, int, int], ...]
  budget: Budget | None = None
  weight: float = 0.0


@dataclasses.dataclass(frozen=True)
class Task:
  """Problems, and the conversion of text to tokens and back.

  Attributes:
    train: the training problems.
    evals: the held-out sets by name.
    encode: problem -> prompt token ids.
    decode: response token ids -> text for the grader.
    eos_ids: ids that end a response; the first is the padding id.
    vocab: number of the tokenizer's ids; the policy has at least as many rows.
    fingerprints: sha256 by name: 'data' of the training problems, 'held_out'
      of the others, 'tokenizer' of tokenizer, template and instruction.
    traces: (first, count) -> a range of an endless list of supervised
      (problem, response ids) pairs for SFT; None if the task has none.
    longest: an upper bound on the tokens of all prompts; None if unknown.
    solutions: response text -> its solutions, of grading/solutions.py; None if
      no rule finds them.
    about: what the problems are, in words; '' if their text says it.
    most_tokens: problem -> an upper bound on the tokens of its prompt, cheaper
      than encoding; None if encoding is cheap.
    encode_asked: (problem, Budget) -> prompt token ids with the budget's words;
      None if the task takes no words.
    ids_of: words of a response -> their token ids; None if the task forces no
      tokens.
  """

  train: Sequence[Problem]
  evals: Mapping[str, Sequence[Problem]]
  encode: Callable[[Problem], list[int]]
  decode: Callable[[Sequence[int]], str]
  eos_ids: tuple[int, ...]
  vocab: int
  fingerprints: Mapping[str, str]
  traces: Callable[[int, int], list] | None = None
  longest: int | None = None
  most_tokens: Callable[[Problem], int] | None = None
  encode_asked: Callable[[Problem, Budget], list[int]] | None = None
  ids_of: Callable[[str], list[int]] | None = None
  solutions: Callable[[str], list] | None = None
  about: str = ''


@dataclasses.dataclass(frozen=True)
class Group:
  """All samples of one problem in one step, graded.

  `texts` are the responses up to the cap, as the grader reads them.
  """

  problem: Problem
  samples: list[Sample]
  verdicts: list[Verdict]
  texts: list[str]


@flax.struct.dataclass
class Batch:
  """All samples of a step, the input of reward functions.

  Attributes:
    group: int32 [B], index of each sample's prompt in the step, 0..N-1.
    length: int32 [B], response tokens, including the end-of-sequence id.
    correct: bool [B], the grader's verdict on the response clipped to `cap`.
    answered: bool [B], whether an answer could be extracted from it.
    truncated: bool [B], cut by its cap (finish reason 'length') or longer.
    cap: int32 [], the step's cap L(t), tokens.
    target: int32 [B], tokens that the prompt asks for; 0 for none.
    mode: int32 [B], of the sample's Budget.
    weight: float32 [B], of a training set; 0 for samples of the step.
  """

  group: jax.Array
  length: jax.Array
  correct: jax.Array
  answered: jax.Array
  truncated: jax.Array
  cap: jax.Array
  target: jax.Array
  mode: jax.Array
  weight: jax.Array


QUANTILES = 21  # Q of a StepSummary: every 5 % of the right responses.


@flax.struct.dataclass
class StepSummary:
  """What a schedule knows of the step before.

  Attributes:
    samples: int32 [], samples of that step; 0: there was none.
    accuracy: float32 [], share of right responses under its cap.
    truncated_frac: float32 [], share of responses that its cap cut.
    right_lengths: float32 [Q], quantiles of the lengths of right responses at
      Q evenly spaced shares from 0 to 1, tokens; 0 if none was right.
  """

  samples: jax.Array
  accuracy: jax.Array
  truncated_frac: jax.Array
  right_lengths: jax.Array


@flax.struct.dataclass
class CapState:
  """The state of a schedule between two steps; all 0 before the first.

  A schedule of the step alone leaves it as it is. The last three
  numbers belong to the schedule, which says what they are.

  Attributes:
    cap: float32 [], the cap before it is floored, tokens; 0: not started.
    compressing: bool [], the phase: compression, else expansion.
    since: int32 [], steps since the phase began.
    signal: float32 [], a smoothed measurement.
    mark: float32 [], a value of the signal to compare with.
    marked: int32 [], measured steps since the mark was set.
  """

  cap: jax.Array
  compressing: jax.Array
  since: jax.Array
  signal: jax.Array
  mark: jax.Array
  marked: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextBatch:
  """All samples of a step with their text, the input of text rewards.

  Attributes:
    step: index of the step.
    problems: the Problem of each of the B samples, group by group.
    completions: B texts, the responses up to the cap, as the grader reads them.
    response_ids: B arrays int32 [T], the whole responses.
    arrays: Batch of numpy arrays [B]: group, length, correct, answered,
      truncated, cap, target, mode and weight.
  """

  step: int
  problems: Sequence[Problem]
  completions: Sequence[str]
  response_ids: Sequence[np.ndarray]
  arrays: Batch


@flax.struct.dataclass
class PackedBatch:
  """Packed sequences [M, R]: M rows of R tokens; only M varies.

  Attributes:
    tokens: int32 [M, R], prompt and response of each sequence, end to end.
    targets: int32 [M, R], the next token of the same sequence.
    positions: int32 [M, R], position in its sequence, from 0.
    segments: int32 [M, R], 1.. for each sequence of a row, 0 for padding.
    mask: float32 [M, R], the weight of predicting `targets` here: 0 on
      prompts and padding, the aggregation's weight on response tokens.
    adv: float32 [M, R], the sequence's advantage.
    old_logp: float32 [M, R], the trainer's log-probability at rollout, nats.
    extra: further float32 [M, R] by name: 'sampler_logp', and arrays that the
      loss needs.
  """

  tokens: jax.Array
  targets: jax.Array
  positions: jax.Array
  segments: jax.Array
  mask: jax.Array
  adv: jax.Array
  old_logp: jax.Array
  extra: dict[str, jax.Array]


@flax.struct.dataclass
class TrainState:
  """All state that an update changes.

  Attributes:
    params: pytree of float32 arrays, the master parameters.
    opt_state: the optax state.
    step: int32 [], GRPO steps done; the index of the next step.
    skipped: int32 [], optimiser steps skipped because of non-finite numbers.
    skipped_in_row: int32 [], skipped optimiser steps since the last good one.
  """

  params: Any
  opt_state: Any
  step: jax.Array
  skipped: jax.Array
  skipped_in_row: jax.Array
