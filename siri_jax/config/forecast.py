"""Forecast of a run: tokens, time, device hours, disk, memory of sampling.

Times are ranges between the fast and the slow speeds of devices.Device. Nothing
here runs the policy.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from siri_jax.config import cost_model, memory
from siri_jax.models import decode, decoder, flops, lora
from siri_jax.rollout import placement

# Seconds of a push of weights, and of grading and records, in each step.
PUSH_BYTES = (2e9, 2.5e8)  # Bytes a second, (fast, slow): BENCHMARKS.md.
STEP_SECS = (0.02, 0.5)
# Bytes of vLLM's CUDA graphs, activations and libraries: assumed.
WORKING = 4e9
ALL_EQUAL = 0.5  # Most groups with equal rewards, which need no gradient.


class Workload(NamedTuple):
  """What a config's model and problems weigh.

  Attributes:
    shape: the policy's decoder.ModelConfig.
    prompt: mean tokens of a prompt.
    train: number of training problems; None: unknown.
    dropped: number of prompts that are too long; None: unknown.
    evals: held-out set -> number of problems; None: unknown.
    notes: sentences about facts that were assumed.
  """

  shape: decoder.ModelConfig
  prompt: float
  train: int | None
  dropped: int | None
  evals: dict
  notes: tuple[str, ...] = ()


class Sampled(NamedTuple):
  """Work of sampling some responses.

  Attributes:
    tokens: tokens of responses.
    steps: decoding steps one after another, (fewest, most).
    operations: FLOPs.
    context: sum over the tokens of the tokens before each.
  """

  tokens: float = 0.0
  steps: tuple[float, float] = (0.0, 0.0)
  operations: float = 0.0
  context: float = 0.0

  def plus(self, other):
    """The work of both, one after the other."""
    steps = np.add(self.steps, other.steps)
    return Sampled(
      self.tokens + other.tokens,
      tuple(steps),
      self.operations + other.operations,
      self.context + other.context,
    )


class Forecast(NamedTuple):
  """The forecast of a run; seconds are (fast, slow).

  Attributes:
    training: Sampled of the training steps.
    evaluation: Sampled of the held-out evaluations.
    secs: stage -> seconds, and 'all'.
    hours: device hours, (fewest, most).
    devices: number of devices, those of servers included.
    disk: bytes of the checkpoints at the end.
  """

  training: Sampled
  evaluation: Sampled
  secs: dict
  hours: tuple[float, float]
  devices: int
  disk: float


def of(plan, work, lengths, device):
  """The Forecast of a plan.

  Args:
    plan: plan.Plan.
    work: Workload.
    lengths: cost_model.LengthDistribution without a cap.
    device: devices.Device.
  """
  c = plan.c
  training = sampled(plan, work, lengths, sampled_caps(plan), plan.samples)
  evaluation = Sampled()
  for problems in work.evals.values():
    count = (problems or 0) * c.eval_kw.samples
    if count:
      caps = [c.eval_kw.cap] * (len(plan.evals) + len(plan.simulated))
      evaluation = evaluation.plus(sampled(plan, work, lengths, caps, count))
  secs = {
    'sampling': sampling_secs(c, work.shape, training, device),
    'updates': update_secs(plan, work, lengths, device),
    'evaluations': sampling_secs(c, work.shape, evaluation, device),
    'pushes and records': tuple(
      c.total_steps * (pushing + fixed)
      for pushing, fixed in zip(_push(c, work.shape), STEP_SECS, strict=True)
    ),
  }
  whole = np.sum([*secs.values()], axis=0)
  if c.off_policy_steps:  # Sampling and updates overlap.
    whole = whole - np.minimum(secs['sampling'], secs['updates'])
  apart = c.server_kw.placement == 'split' or not placement.sleeps(c.server_kw)
  count = (sum if apart else max)((trainers(c), servers(c)))
  return Forecast(
    training=training,
    evaluation=evaluation,
    secs={**secs, 'all': tuple(whole)},
    hours=tuple(whole * count / 3600),
    devices=count,
    disk=checkpoint_bytes(c, work.shape) * len(kept(plan)),
  )


def sampled_caps(plan):
  """The cap of the sampler at each step, int [steps], tokens."""
  at_sampler = plan.c.cap_at == 'sampler'
  return plan.caps if at_sampler else np.full_like(plan.caps, plan.highest)


def sampled(plan, work, lengths, caps, samples):
  """Sampled of steps with these caps and this number of samples each.

  With fewer slots than samples, free slots take the next request. A step then
  takes at most the time of the even share of a slot and of the longest response
  together, and at least the longer of the two.
  Source: Graham, 1966, doi.org/10.1002/j.1538-7305.1966.tb01709.x.
  """
  a, b = flops.forward(work.shape)
  prompt, slots = work.prompt, min(plan.c.engine_kw.max_concurrent, samples)
  mean = cost_model.capped(lengths, caps)
  longest = cost_model.capped(cost_model.longest(lengths, samples), caps)
  share = samples * mean / slots
  most = longest + share if slots < samples else longest
  operations = context = 0.0
  for carried, part, tokens, square in cost_model.rows(
    lengths, caps, plan.chunks
  ):
    before = prompt + carried
    whole = before**2 * part + 2 * before * tokens + square
    operations += np.sum(samples * (a * (before * part + tokens) + b * whole))
    context += np.sum(samples * (before * tokens + square / 2))
  return Sampled(
    tokens=float(np.sum(samples * mean)),
    steps=(float(np.sum(np.maximum(longest, share))), float(np.sum(most))),
    operations=float(operations),
    context=float(context),
  )


def sampling_secs(c, shape, work, device):
  """Seconds of sampling, (fast, slow), of Sampled."""
  copies = max(servers(c) // tensor(c), 1)
  width = tensor(c)
  weights = weight_bytes(c, shape) / width
  cache = cache_bytes(c, shape) * work.context / copies
  return tuple(
    steps * (fixed + weights / reads)
    + cache / reads
    + work.operations / (copies * width * rate)
    for steps, fixed, reads, rate in zip(
      work.steps, device.step_secs, device.reads, device.decode, strict=True
    )
  )


def update_secs(plan, work, lengths, device):
  """Seconds of all updates, (fast, slow).

  Slow recomputes a whole forward pass; fast has ALL_EQUAL of the groups without
  a gradient, if the loss allows it.
  """
  c = plan.c
  forward = sampled(plan, work, lengths, sampled_caps(plan), plan.samples)
  # The first mini-batch needs no pass for old log-probabilities.
  old = 1.0 if c.epochs > 1 else 1 - 1 / c.minibatches
  whole = flops.passes(work.shape, lora.of(c.lora_kw))
  least = whole - (whole - 1) * ALL_EQUAL * plan.rests
  passes = (least * c.epochs + old, (whole + 1) * c.epochs + old)
  return tuple(
    count * forward.operations / (trainers(c) * rate)
    for count, rate in zip(passes, device.update, strict=True)
  )


def kept(plan):
  """Updates done of the checkpoints that are left at the end of a run."""
  kw, steps = plan.c.checkpoint_kw, sorted(plan.checkpoints)
  multiple = {s for s in steps if kw.keep_every and s % kw.keep_every == 0}
  return sorted({*plan.expected_turns, *steps[-kw.keep :], *multiple})


def checkpoint_bytes(c, shape):
  """Bytes of one checkpoint: trained parameters and two moments, float32."""
  return 3 * memory.WORDS * lora.param_count(shape, lora.of(c.lora_kw))


def trainers(c):
  """Number of devices that train."""
  return math.prod(c.mesh_kw.values())


def servers(c):
  """Number of devices of vLLM servers; 0 with another engine.

  Of servers that the run starts it is server_kw.gpus, or as many as train.
  """
  if c.engine != 'vllm':
    return 0
  kw = c.server_kw
  if placement.starts_servers(c):
    split = kw.placement == 'split'
    return (split and kw.gpus) or trainers(c)
  return len(kw.urls) * kw.data * kw.tensor


def tensor(c):
  """Devices that share a model in sampling."""
  return c.server_kw.tensor if c.engine == 'vllm' else 1


def weight_bytes(c, shape):
  """Bytes of the parameters in compute_dtype, over all devices."""
  return jnp.dtype(c.compute_dtype).itemsize * decoder.param_count(shape)


def cache_bytes(c, shape):
  """Bytes of a token's keys and values on one device, over all layers."""
  wide = jnp.dtype(c.compute_dtype).itemsize
  heads = max(1, shape.kv_heads // tensor(c))
  return 2 * wide * shape.layers * heads * shape.head_dim


class Serving(NamedTuple):
  """Memory of sampling on one device, bytes.

  Attributes:
    weights: of the policy's copy.
    cache: of keys and values.
    responses: longest responses that the cache holds at a time.
  """

  weights: float
  cache: float
  responses: int


def serving(plan, shape, gb):
  """The Serving of a device of this many GB.

  The embedded engine's cache has a slot for each of max_concurrent, and room
  for a prompt of each request; when its batch shrinks, the slots that stay are
  there twice. A server takes server_kw.memory of the device. The cache is what
  weights and graphs leave of it.
  """
  c = plan.c
  weights = weight_bytes(c, shape) / tensor(c)
  token = cache_bytes(c, shape)
  slot = token * (c.max_prompt_tokens + plan.longest)
  if c.engine == 'vllm':
    cache = max(c.server_kw.memory * gb * 1e9 - weights - WORKING, 0.0)
    return Serving(weights, cache, math.floor(cache / slot))
  slots = c.engine_kw.max_concurrent
  slot += token * plan.begun
  cache = (slots + decode.stages(slots)[0]) * slot
  cache += plan.requests * token * (c.max_prompt_tokens + plan.begun)
  return Serving(weights, cache, slots)


def _push(c, shape):
  """Seconds of a push, (fast, slow); 0 of an engine in this process."""
  if c.engine != 'vllm':
    return 0.0, 0.0
  return tuple(weight_bytes(c, shape) / rate for rate in PUSH_BYTES)
