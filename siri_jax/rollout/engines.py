"""PLUG-IN family: engines; and the interface that each one offers.

`(inputs: EngineInputs, *, settings) -> Engine`. An engine takes the newest
parameters with their version and answers prompts with groups of samples, each
tagged with the version of the weights that wrote it.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import jax

from siri_jax import types


class SeedPurpose(enum.IntEnum):
  """What samples are for: a part of their seeds, so that no draw is shared."""

  TRAINING = 0
  MEASURING = 1
  CONTINUING = 2


@dataclasses.dataclass(frozen=True)
class SamplingParams:
  """How to sample: all that a request needs.

  Attributes:
    n: samples of each prompt, G.
    cap: most new tokens, the end-of-sequence id included.
    temperature: 0 takes the most likely token.
    top_p: share of the probability kept; 1.0 keeps all.
    top_k: most tokens kept; 0 keeps all.
    seeds: whole numbers of 0 or more, (run's seed, SeedPurpose, step);
      with the problem and the index they decide a sample.
  """

  n: int
  cap: int
  temperature: float
  top_p: float
  top_k: int
  seeds: tuple[int, ...]


class Engine(Protocol):
  """What the loop knows of an engine.

  Of a run of several processes each has one: all of them push, for each has
  its part of the parameters, and the first alone samples.

  Attributes:
    counts: sampler counters since the start, by name; whole numbers.
    version: of the parameters that were pushed last, updates done; None before
      the first push.
  """

  counts: Mapping[str, int]
  version: int | None

  def push(self, params: Any, version: int) -> None:
    """Takes the parameters that are sampled from now on."""

  def sample(
    self,
    prompts: list[types.Prompt],
    sampling: SamplingParams,
    progress: Callable[[int, int], None],
  ) -> Iterator[list[types.Sample]]:
    """Yields each prompt's group of n samples as soon as it is complete.

    `progress` hears (samples done, samples in all) whenever something has
    come of the policy, and only then: the watchdog goes by it. An engine
    that sees by itself that nothing comes may call it when it likes.
    """

  def pending(self) -> list[str]:
    """Ids of the problems that were asked for and are not complete."""

  def close(self) -> None:
    """Ends the engine."""


@dataclasses.dataclass(frozen=True)
class EngineInputs:
  """What a sampler is built from.

  Attributes:
    export: jitted; parameters -> a copy in the dtype to sample in, whole on
      every device.
    start: jitted `decode.prefill`.
    advance: jitted `decode.decode_steps`.
    publish: jitted; parameters -> Hugging Face's name -> array, in the dtype
      to sample in.
    requests: Q, most samples of one call of `start`.
    prompt_tokens: P, longest prompt.
    task: types.Task whose ids are sampled.
    server: the config's server_kw.
    logprob_share: share of the prompts whose samples have log-probabilities.
    run: name of the run.
    say: hears what is worth knowing, as text.
  """

  export: Callable
  start: Callable
  advance: Callable
  publish: Callable
  requests: int
  prompt_tokens: int
  task: types.Task
  server: Any
  logprob_share: float
  run: str
  say: Callable[[str], None]


def embedded(inputs, *, max_concurrent, decode_steps):
  """Decoding in JAX, in this process: the default and the reference.

  Args:
    inputs: EngineInputs, its programs compiled for these two settings.
    max_concurrent: sequences decoded at a time.
    decode_steps: decoding steps in one call of the compiled program.
  """
  from siri_jax.rollout import embedded as module

  del max_concurrent, decode_steps  # Compiled into the programs.
  return module.Embedded(inputs)


def vllm(inputs, *, max_concurrent, decode_steps):
  """vLLM servers over HTTP, each of which gets every version pushed.

  Args:
    inputs: EngineInputs.
    max_concurrent: samples under way at a time, over all servers.
    decode_steps: unused, the embedded engine's.
  """
  from siri_jax.rollout import vllm as module
  from siri_jax.rollout import weight_sync

  del decode_steps
  server = inputs.server
  publisher = weight_sync.WeightPublisher(
    server.folder,
    inputs.run,
    inputs.publish,
    push_secs=server.push_secs,
    sleeps=bool(server.sleep),
  )
  if jax.process_index() != 0:
    return weight_sync.FollowerEngine(publisher)
  rules = module.Rules(
    eos_ids=inputs.task.eos_ids,
    vocab=inputs.task.vocab,
    slots=max_concurrent,
    logprob_share=inputs.logprob_share,
  )
  return module.Vllm(
    server.urls,
    publisher,
    rules,
    patience_secs=server.patience_secs,
    say=inputs.say,
  )
