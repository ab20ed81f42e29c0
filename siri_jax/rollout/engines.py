"""PLUG-IN family: engines, and the interface of an engine.

`(inputs: EngineInputs, *, settings) -> Engine`. An engine receives parameters
with their version and returns a group of samples for each prompt. Every sample
has the version of the weights that produced it.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import jax

from siri_jax import types


class SeedPurpose(enum.IntEnum):
  """The purpose of samples: a part of their seeds, so that draws differ."""

  TRAINING = 0
  MEASURING = 1
  CONTINUING = 2
  MONITORING = 3
  PRESAMPLING = 4


@dataclasses.dataclass(frozen=True)
class SamplingParams:
  """The sampling settings of a request.

  Attributes:
    n: samples of each prompt, G, unless the prompt has its own number.
    cap: most new tokens, including the end-of-sequence id, unless the prompt
      has its own cap.
    temperature: 0 takes the most likely token.
    top_p: share of the probability kept; 1.0 keeps all.
    top_k: most tokens kept; 0 keeps all.
    seeds: (run's seed, SeedPurpose, step), ints of 0 or more; a sample is a
      function of them, the problem and the index.
  """

  n: int
  cap: int
  temperature: float
  top_p: float
  top_k: int
  seeds: tuple[int, ...]

  def samples_of(self, prompt):
    """The number of samples of a types.Prompt."""
    return prompt.samples or self.n

  def after_part(self):
    """The same for the next parts of responses, with draws of their own."""
    seed, purpose, step = self.seeds
    seeds = (seed, purpose + len(SeedPurpose), step)
    return dataclasses.replace(self, seeds=seeds)

  def cap_of(self, prompt):
    """The most new tokens of its samples."""
    return prompt.cap or self.cap


class Engine(Protocol):
  """The interface of an engine.

  Each process of a run has one. All of them push, because each has its shard of
  the parameters; only process 0 samples.

  Attributes:
    counts: sampler counters since the start, by name; whole numbers.
    version: of the parameters that were pushed last, updates done; None before
      the first push.
  """

  counts: Mapping[str, int]
  version: int | None

  def push(self, params: Any, version: int) -> None:
    """Samples with these parameters from now on."""

  def sample(
    self,
    prompts: list[types.Prompt],
    sampling: SamplingParams,
    progress: Callable[[int, int], None],
  ) -> Iterator[list[types.Sample]]:
    """Yields each prompt's samples as soon as all of them are complete.

    Calls progress(samples done, samples in all) whenever tokens were sampled,
    and only then, because the watchdog relies on it. An engine that detects
    stalls itself may call it at any time.
    """

  def pending(self) -> list[str]:
    """Ids of the requested problems that are not complete."""

  def close(self) -> None:
    """Ends the engine."""


@dataclasses.dataclass(frozen=True)
class EngineInputs:
  """The inputs of an engine's constructor.

  Attributes:
    export: jitted; parameters -> a copy in the sampling dtype, replicated on
      every device.
    start: jitted `decode.prefill`.
    advance: jitted `decode.decode_steps`.
    shrink: jitted `decode.shrink`.
    publish: jitted; parameters -> {Hugging Face's name: array}, in the sampling
      dtype.
    requests: Q, most samples of one call of `start`.
    prompt_tokens: P, longest prompt.
    begun_tokens: most tokens of a response that a prompt may end in besides.
    task: types.Task of the vocabulary.
    server: the config's server_kw.
    servers: servers.External or Owned.
    logprob_share: share of the prompts whose samples have log-probabilities.
    run: name of the run.
    say: called with messages for the user.
    padding: ids of the policy that no token of the task has.
    filters: whether a request may have a top_p or top_k.
  """

  export: Callable
  start: Callable
  advance: Callable
  shrink: Callable
  publish: Callable
  requests: int
  prompt_tokens: int
  task: types.Task
  server: Any
  servers: Any
  logprob_share: float
  run: str
  say: Callable[[str], None]
  padding: int = 0
  begun_tokens: int = 0
  filters: bool = True


def embedded(inputs, *, max_concurrent, decode_steps):
  """Decoding in JAX, in this process: the default and the reference.

  Args:
    inputs: EngineInputs; its programs are compiled for the two settings.
    max_concurrent: sequences decoded at a time.
    decode_steps: decoding steps in one call of the compiled program.
  """
  from siri_jax.rollout import embedded as module

  del max_concurrent, decode_steps  # Compiled into the programs.
  return module.Embedded(inputs)


def vllm(inputs, *, max_concurrent, decode_steps):
  """vLLM servers over HTTP; every version is pushed to each server.

  Args:
    inputs: EngineInputs.
    max_concurrent: most samples at a time, over all servers.
    decode_steps: unused; a setting of the embedded engine.
  Raises:
    ValueError: the policy has more padding than a server can leave out.
  """
  from siri_jax.rollout import placement, weight_sync
  from siri_jax.rollout import vllm as module

  del decode_steps
  if inputs.padding > module.MOST_PADDING:
    raise ValueError(
      f"model_path embeds {inputs.padding} ids more than the task's tokenizer "
      f'has, and vLLM leaves out {module.MOST_PADDING} at most: take the '
      "tokenizer that belongs to the model, or engine='embedded'"
    )
  server = inputs.server
  publisher = weight_sync.WeightPublisher(
    server.folder,
    inputs.run,
    inputs.publish,
    push_secs=server.push_secs,
    sleeps=placement.sleeps(server),
  )
  if jax.process_index() != 0:
    return weight_sync.FollowerEngine(publisher)
  rules = module.Rules(
    eos_ids=inputs.task.eos_ids,
    vocab=inputs.task.vocab,
    slots=max_concurrent,
    logprob_share=inputs.logprob_share,
    padding=inputs.padding,
  )
  return module.Vllm(
    inputs.servers,
    publisher,
    rules,
    patience_secs=server.patience_secs,
    say=inputs.say,
  )
