"""Chunks of a long response: a row each, with a prompt of its own (Delethink).

The first chunk has at most `context` tokens, the others `context - carried`.
They start from the prompt, the first `head` tokens of the response and its
newest `carried - head`. The sampler and the trainer both use this module.

Source: The Markovian Thinker, section 4, arxiv.org/abs/2510.06557; its
verl/experimental/agent_loop/delethink_agent_loop.py and delethink_trimmers.py.
"""

import itertools

import numpy as np

from siri_jax import types


def starts(size, chunks):
  """The first token of each chunk of a response of `size` tokens."""
  return [0, *range(chunks.context, size, chunks.context - chunks.carried)]


def prompt_at(sample, start, chunks):
  """The prompt ids of the chunk that starts at token `start` of a response.

  Args:
    sample: types.Tokens with `start` response tokens or more.
    start: one of `starts`.
    chunks: types.Chunks.
  Returns:
    int32 [P] at 0, else int32 [P + carried].
  """
  if not start:
    return sample.prompt_ids
  newest = start - (chunks.carried - chunks.head)
  parts = sample.response_ids[: chunks.head], sample.response_ids[newest:start]
  return np.concatenate([sample.prompt_ids, *parts])


def rows(sample):
  """A response as rows: itself, or one types.Tokens for each chunk.

  Args:
    sample: types.Tokens of T response tokens.
  Returns:
    list of types.Tokens without chunks. Their responses have T tokens in all.
  """
  if sample.chunks is None:
    return [sample]
  size = sample.response_ids.size
  edges = itertools.pairwise([*starts(size, sample.chunks), size])
  return [_row(sample, *edge) for edge in edges]


def _row(sample, start, end):
  parts = {
    name: None if whole is None else whole[start:end]
    for name in ('response_ids', 'sampler_logp', 'old_logp', 'forced')
    for whole in (getattr(sample, name),)
  }
  return types.Tokens(
    prompt_ids=prompt_at(sample, start, sample.chunks), **parts
  )
