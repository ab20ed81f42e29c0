"""Responses in parts, from any engine: with forced tokens, or in chunks.

A token is forced if the policy did not choose it: the end of a thought that
reached its budget. An engine samples up to there; then it samples on from the
prompt and the response so far, as from a longer prompt. A forced first token is
the last one of the prompt that the engine gets. After a chunk it goes on from
the prompt and a part of the response.
"""

import dataclasses

import numpy as np

from siri_jax import types
from siri_jax.algorithm import chunks


def sample(engine, task, prompts, budgets, sampling, progress):
  """Samples like engine.sample, under budgets that may divide a response.

  If the policy ends its response inside a part, the response is complete.

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
  begun = {}
  while prompts:
    following = []
    for samples in engine.sample(prompts, sampling, progress):
      done = []
      for part in samples:
        name = part.problem_id, part.index
        asked = budgets[part.problem_id][part.index]
        if name in begun:
          part = join(begun[name], part)
        elif asked.first:
          part = with_first(part)
        whole, prompt = onward(part, asked, task)
        if prompt is None:
          done.append(whole)
        else:
          begun[name] = whole
          following.append(prompt)
      if done:
        yield done
    prompts, sampling = following, sampling.after_part()


def onward(sample, budget, task):
  """A response so far, and the types.Prompt from which it goes on, or None.

  Args:
    sample: types.Sample.
    budget: its types.Budget.
    task: types.Task.
  Returns:
    (types.Sample, with a forced token if the thought was open; the prompt, None
    if the response is complete).
  """
  room, start = 0, sample.response_ids.size
  if budget.thinking:
    sample, room = settle(sample, budget, task.ids_of(budget.close)[0])
    ids = np.concatenate([sample.prompt_ids, sample.response_ids])
  elif budget.chunks and sample.finish_reason == 'length':
    context, carried, _ = budget.chunks
    room = min(budget.cap - start, context - carried)
    ids = chunks.prompt_at(sample, start, budget.chunks)
  if not room:
    return sample, None
  prompt = types.Prompt(sample.problem_id, ids, sample.index, 1, room)
  return sample, prompt


def with_first(sample):
  """A sample whose response begins with the last token of its prompt.

  The token counts as chosen, but has no log-probability under the sampler.
  """
  begun = dataclasses.replace(
    sample,
    prompt_ids=sample.prompt_ids[:-1],
    response_ids=sample.prompt_ids[-1:],
    sampler_logp=None,
  )
  return join(begun, sample)


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
