"""PLUG-IN family: samplers; and the interface that each one offers.

`(engine: Engine, *, settings) -> Sampler`. A sampler takes the newest
parameters with their version and answers prompts with groups of samples, each
tagged with the version of the weights that wrote it.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from siri_jax import types


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How to sample: everything a server needs to be told.

  Attributes:
    n: samples of each prompt, G.
    cap: most new tokens, the end-of-sequence id included.
    temperature: 0 takes the most likely token.
    top_p: share of the probability kept; 1.0 keeps all.
    top_k: most tokens kept; 0 keeps all.
    seeds: whole numbers of 0 or more, (run's seed, purpose, step); with the
      problem and the index they decide a sample.
  """

  n: int
  cap: int
  temperature: float
  top_p: float
  top_k: int
  seeds: tuple[int, ...]


class Sampler(Protocol):
  """What the loop knows of an engine."""

  def push(self, params: Any, version: int) -> None:
    """Takes the parameters that are sampled from now on."""

  def sample(
    self,
    prompts: list[types.Prompt],
    sampling: Sampling,
    progress: Callable[[int, int], None],
  ) -> Iterator[list[types.Sample]]:
    """Yields each prompt's group of n samples as soon as it is complete.

    `progress` hears (samples done, samples in all) whenever something has
    come of the policy, and only then: the watchdog goes by it.
    """

  def pending(self) -> list[str]:
    """Ids of the problems that were asked for and are not complete."""

  def close(self) -> None:
    """Ends the engine."""


@dataclasses.dataclass(frozen=True)
class Engine:
  """What a sampler is built from.

  Attributes:
    export: jitted; parameters -> a copy in the dtype to sample in, whole on
      every device.
    start: jitted `decode.start`.
    advance: jitted `decode.advance`.
    requests: Q, most samples of one call of `start`.
    prompt_tokens: P, longest prompt.
  """

  export: Callable
  start: Callable
  advance: Callable
  requests: int
  prompt_tokens: int


def embedded(engine, *, slots, stretch):
  """Decoding in JAX, in this process: the default and the reference.

  Args:
    engine: Engine, its functions built for `slots` and `stretch`.
    slots: sequences decoded at a time.
    stretch: decoding steps between two looks of the host.
  """
  from siri_jax.rollout import embedded as module

  del slots, stretch  # They are compiled into the engine's functions.
  return module.Embedded(engine)
