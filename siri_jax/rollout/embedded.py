"""The embedded engine: samples with the jitted decoding loop, in-process."""

import dataclasses
import functools
import itertools
import zlib

import jax
import numpy as np

from siri_jax import types
from siri_jax.models import decode
from siri_jax.rollout import engines
from siri_jax.runtime import ahead

# For the shapes of a request.
BLANK = engines.SamplingParams(1, 1, 1.0, 1.0, 0, seeds=(0, 0, 0))


class Embedded:
  """An engine (engines.Engine) on the trainer's own devices.

  Attributes:
    counts: always empty.
    version: see engines.Engine.
  """

  def __init__(self, engine):
    self._engine = engine
    self._params = None
    self.version = None
    self._waiting = []
    self.counts = {}

  def push(self, params, version):
    """Copies the parameters, because an update donates their memory."""
    whole = self._engine.export(params)
    # On one device: several devices would repeat the same work.
    self._params = jax.tree.map(lambda x: x.addressable_data(0), whole)
    if self.version is None:
      self._compile_ahead()
    self.version = version

  def sample(self, prompts, sampling, progress):
    """Yields groups when they are complete; see engines.Engine.

    Raises:
      ValueError: top_p or top_k is set, and no request may have them.
    """
    if not self._engine.filters and (sampling.top_p < 1 or sampling.top_k):
      raise ValueError(
        f'top_p={sampling.top_p} and top_k={sampling.top_k}: the programs are '
        'compiled without them; set c.top_p, c.top_k or eval_kw.top_p'
      )
    counts = [sampling.samples_of(prompt) for prompt in prompts]
    total, done = sum(counts), 0
    for part in _parts(prompts, counts, self._engine.requests):
      heard = functools.partial(_add, progress, done, total)
      yield from self._sample(part, sampling, heard)
      done += sum(map(sampling.samples_of, part))

  def pending(self):
    """Ids of the problems of the current queue that are not complete."""
    return self._waiting

  def close(self):
    """Frees the parameters."""
    self._params = None

  def _sample(self, prompts, sampling, progress):
    """Samples as many prompts as fit the request queue."""
    ask = self._ask(prompts, sampling)
    rows = _ranges(map(sampling.samples_of, prompts))
    waiting = list(range(len(prompts)))
    for state, lengths in self._decoded(ask):
      progress(int(np.sum(lengths > 0)))
      ready = [i for i in waiting if np.all(lengths[rows[i]] > 0)]
      waiting = [i for i in waiting if i not in ready]
      self._waiting = [prompts[i].problem_id for i in waiting]
      if ready:
        host = (state.responses, state.logp, lengths, state.stopped)
        host = tuple(np.asarray(x) for x in host)
        for i in ready:
          yield self._group(prompts[i], rows[i], host)

  def _decoded(self, ask):
    """The decode.DecodeState and its lengths after each call of the loop."""
    state = self._engine.start(self._params, ask)
    for fewest in decode.stages(state.request.size):
      left = fewest + 1  # Once at least: the first step compiles all programs.
      while left > fewest:
        state = self._engine.advance(self._params, ask, state, fewest)
        lengths = np.asarray(state.lengths)
        left = ask.count - np.sum(lengths > 0)
        yield state, lengths
      if fewest:
        fewer = self._engine.shrink(decode.of_slots(state))
        state = state.replace(**fewer)

  def _compile_ahead(self):
    """Starts to compile the programs of `_decoded` in threads."""
    engine, given = self._engine, (self._params, self._ask([], BLANK))
    device = jax.tree.leaves(self._params)[0].sharding

    def result(program, *given):
      """What a program would return, without its memory."""
      return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
        program.eval_shape(*given),
      )

    state = result(engine.start, *given)
    slots = decode.of_slots(state)
    fewest, *later = decode.stages(state.request.size)
    fewer = [result(engine.shrink, slots) for _ in later]
    states = [state, *(state.replace(**arrays) for arrays in fewer)]
    calls = [(*given, each, fewest) for each in states]
    with ahead.compiling() as pool:
      self._engine = dataclasses.replace(
        engine,
        start=ahead.Ahead(pool, engine.start, given),
        advance=ahead.Ahead(pool, engine.advance, *calls),
        shrink=ahead.Ahead(pool, engine.shrink, *[(slots,)] * len(later)),
      )

  def _ask(self, prompts, sampling):
    """The decode.Requests of prompts, padded to the engine's capacity."""
    capacity, filters = self._engine.requests, self._engine.filters
    # Of one width, so that no step compiles the programs anew.
    width = self._engine.prompt_tokens + self._engine.begun_tokens
    ids = np.zeros((capacity, width), np.int32)
    lengths = np.ones(capacity, np.int32)
    identity = np.zeros((capacity, 2), np.uint32)
    prompt_of = np.zeros(capacity, np.int32)
    caps = np.full(capacity, sampling.cap, np.int32)
    rows = _ranges(map(sampling.samples_of, prompts))
    for i, (prompt, own) in enumerate(zip(prompts, rows, strict=True)):
      ids[i, : prompt.ids.size] = prompt.ids
      lengths[i] = prompt.ids.size
      identity[own, 0] = zlib.crc32(prompt.problem_id.encode())
      identity[own, 1] = prompt.first + np.arange(own.stop - own.start)
      prompt_of[own] = i
      caps[own] = sampling.cap_of(prompt)
    return decode.Requests(
      prompts=ids,
      prompt_length=lengths,
      prompt_count=np.int32(len(prompts)),
      prompt_of=prompt_of,
      identity=identity,
      count=np.int32(sum(map(sampling.samples_of, prompts))),
      seeds=np.asarray(sampling.seeds, np.uint32),
      cap=caps,
      temperature=np.float32(sampling.temperature),
      # None compiles no filter; a run has it either always or never.
      top_p=np.float32(sampling.top_p) if filters else None,
      top_k=np.int32(sampling.top_k) if filters else None,
    )

  def _group(self, prompt, rows, host):
    """The samples of one prompt from rows of the engine's arrays."""
    responses, logp, lengths, stopped = host
    return [
      types.Sample(
        problem_id=prompt.problem_id,
        index=prompt.first + i - rows.start,
        prompt_ids=prompt.ids,
        response_ids=responses[i, : lengths[i]].copy(),
        finish_reason='stop' if stopped[i] else 'length',
        spans=((self.version, 0, int(lengths[i])),),
        sampler_logp=logp[i, : lengths[i]].copy(),
      )
      for i in range(rows.start, rows.stop)
    ]


def _parts(prompts, counts, capacity):
  """Stretches of the prompts whose samples fit the capacity.

  Raises:
    ValueError: those of one prompt do not.
  """
  if max(counts, default=0) > capacity:
    raise ValueError(
      f'{max(counts)} samples a prompt are more than the {capacity} of a '
      'step (prompts_per_step * group_size); ask for fewer'
    )
  part, room = [], capacity
  for prompt, count in zip(prompts, counts, strict=True):
    if count > room:
      yield part
      part, room = [], capacity
    part.append(prompt)
    room -= count
  if part:
    yield part


def _ranges(counts):
  """Counts as slices that follow each other."""
  ends = [0, *itertools.accumulate(counts)]
  return [slice(*pair) for pair in itertools.pairwise(ends)]


def _add(progress, before, total, finished):
  progress(before + finished, total)
