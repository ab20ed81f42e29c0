"""What each sample of a problem is asked: budgets, prompts, whole groups."""

import collections
import dataclasses
import hashlib
import itertools
import json

import numpy as np

from siri_jax import types
from siri_jax.rollout import engines


def budgets_of(budget, problem, cap, sampling):
  """The types.Budget of each sample of a problem.

  First tokens are forced in training alone. Elsewhere the policy chooses its
  mode, and each sample may have as many tokens as the cap allows.

  Args:
    budget: bound plug-in of siri_jax/rollout/budgets.py.
    problem: types.Problem.
    cap: the step's cap, tokens.
    sampling: engines.SamplingParams.
  """
  words = json.dumps([*sampling.seeds, problem.id]).encode()
  seed = int.from_bytes(hashlib.sha256(words).digest())
  uniforms = np.random.default_rng(seed).random(sampling.n)
  asked = budget(problem, cap, uniforms)
  if sampling.seeds[1] == engines.SeedPurpose.TRAINING:
    return asked
  return [
    dataclasses.replace(b, first='', mode=0, cap=cap) if b.first else b
    for b in asked
  ]


def prompts_of(task, problem, budgets, cap, sampling):
  """The types.Prompt of each stretch of samples that are asked the same.

  Args:
    task: types.Task.
    problem: types.Problem.
    budgets: the types.Budget of each of its samples.
    cap: the step's cap, tokens.
    sampling: engines.SamplingParams. If its cap is another, which clips only
      the reward, the budgets' caps do not limit the samples.
  """
  first, prompts = 0, []
  for asked, same in itertools.groupby(budgets):
    prompt = types.Prompt(
      problem.id,
      np.asarray(encode(task, problem, asked), np.int32),
      first=first,
      samples=len(list(same)),
      cap=(
        asked.thinking or (asked.row if sampling.cap == cap else sampling.cap)
      )
      - bool(asked.first),
    )
    first += prompt.samples
    prompts.append(prompt)
  return prompts


def encode(task, problem, budget):
  """The prompt ids of a problem with the words of a types.Budget.

  The last id is the first of the response if the budget forces one.
  """
  asked = budget.words
  ids = task.encode_asked(problem, budget) if asked else task.encode(problem)
  return [*ids, *task.ids_of(budget.first)] if budget.first else ids


def whole_groups(parts, budgets):
  """Joins the samples of each problem, with the budget of each.

  Args:
    parts: iterable of lists of types.Sample, each of one problem.
    budgets: problem id -> the types.Budget of each of its samples.
  Yields:
    The samples of a problem by index, as soon as there are as many as budgets.
  """
  found = collections.defaultdict(list)
  for part in parts:
    name = part[0].problem_id
    found[name] += part
    if len(found[name]) == len(budgets[name]):
      whole = sorted(found.pop(name), key=lambda sample: sample.index)
      yield [
        dataclasses.replace(sample, budget=asked, chunks=asked.chunks)
        for sample, asked in zip(whole, budgets[name], strict=True)
      ]
