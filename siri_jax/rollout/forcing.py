"""Responses with forced tokens, from any engine.

A token is forced if the policy did not choose it: the end of a thought that
reached its budget. An engine samples up to there; then it samples on from the
prompt and the response so far, as from a longer prompt.
"""

import dataclasses

import numpy as np

from siri_jax import types


def sample(engine, task, prompts, budgets, sampling, progress):
  """Samples like engine.sample, under budgets that may limit the thought.

  If the policy ends its response inside the thought, the response is complete.

  Args:
    engine: engines.Engine.
    task: types.Task.
    prompts: list of types.Prompt.
    budgets: problem id -> the types.Budget of each of its samples.
    sampling: engines.SamplingParams.
    progress: see engines.Engine.
  Yields:
    Samples of one prompt, as soon as they are complete.
  """
  left = []
  for samples in engine.sample(prompts, sampling, progress):
    asked = [budgets[s.problem_id][s.index] for s in samples]
    settled = [
      settle(s, b, task.ids_of(b.close)[0]) if b.thinking else (s, 0)
      for s, b in zip(samples, asked, strict=True)
    ]
    left += [(own, room) for own, room in settled if room]
    if done := [own for own, room in settled if not room]:
      yield done
  if left:
    longer = [continued(own, room) for own, room in left]
    begun = {(own.problem_id, own.index): own for own, _ in left}
    for samples in engine.sample(longer, sampling.after_forced(), progress):
      yield [join(begun[s.problem_id, s.index], s) for s in samples]


def settle(sample, budget, close):
  """A response at the end of its thinking budget, and the tokens left to it.

  Args:
    sample: types.Sample of at most budget.thinking tokens.
    budget: types.Budget.
    close: id of the token that ends a thought.
  Returns:
    (types.Sample, its end forced if the thought was open; most tokens with
    which it goes on, 0 if it is complete).
  """
  ids, ended = sample.response_ids, sample.finish_reason == 'stop'
  closed = np.flatnonzero(ids == close)
  if not closed.size:
    return (sample, 0) if ended else (forced(sample, close), budget.solution)
  most = int(closed[0]) + 1 + budget.solution
  if ids.size > most:
    return cut(sample, most), 0
  return sample, 0 if ended else most - ids.size


def forced(sample, token):
  """A sample with one more token, which the policy did not choose."""
  nothing = np.zeros(sample.response_ids.size, bool)
  more = dataclasses.replace(
    sample,
    response_ids=np.int32([token]),
    forced=np.ones(1, bool),
    sampler_logp=None,
  )
  before = nothing if sample.forced is None else sample.forced
  return join(dataclasses.replace(sample, forced=before), more)


def cut(sample, size):
  """The first tokens of a sample, as if a cap had cut it there."""
  logp, by_force = (
    x if x is None else x[:size] for x in (sample.sampler_logp, sample.forced)
  )
  return dataclasses.replace(
    sample,
    response_ids=sample.response_ids[:size],
    finish_reason='length',
    spans=_spans(sample, size),
    sampler_logp=logp,
    forced=by_force,
  )


def continued(sample, room):
  """The types.Prompt from which a sample goes on for `room` tokens."""
  return types.Prompt(
    sample.problem_id,
    np.concatenate([sample.prompt_ids, sample.response_ids]),
    first=sample.index,
    samples=1,
    cap=room,
  )


def join(begun, more):
  """A sample and the tokens with which it goes on, as one sample."""
  ids = np.concatenate([begun.response_ids, more.response_ids])
  logp = [
    np.full(part.response_ids.size, np.nan, np.float32)
    if part.sampler_logp is None
    else part.sampler_logp
    for part in (begun, more)
  ]
  by_force = [
    np.zeros(part.response_ids.size, bool)
    if part.forced is None
    else part.forced
    for part in (begun, more)
  ]
  known = begun.sampler_logp is not None or more.sampler_logp is not None
  return dataclasses.replace(
    begun,
    response_ids=ids,
    finish_reason=more.finish_reason,
    spans=_spans(begun, ids.size),
    sampler_logp=np.concatenate(logp) if known else None,
    forced=np.concatenate(by_force),
  )


def _spans(sample, size):
  """One span over all tokens: both parts are of the same weights."""
  return ((sample.spans[0][0], 0, size),)
