"""What each sample of a problem is asked: budgets, prompts, whole groups."""

import collections
import dataclasses
import hashlib
import itertools
import json

import numpy as np

from siri_jax import types


def budgets_of(budget, problem, cap, sampling):
  """The types.Budget of each sample of a problem.

  Args:
    budget: bound plug-in of siri_jax/rollout/budgets.py.
    problem: types.Problem.
    cap: the step's cap, tokens.
    sampling: engines.SamplingParams.
  """
  words = json.dumps([*sampling.seeds, problem.id]).encode()
  seed = int.from_bytes(hashlib.sha256(words).digest())
  uniforms = np.random.default_rng(seed).random(sampling.n)
  return budget(problem, cap, uniforms)


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
      cap=asked.thinking
      or (asked.row if sampling.cap == cap else sampling.cap),
    )
    first += prompt.samples
    prompts.append(prompt)
  return prompts


def encode(task, problem, budget):
  """The prompt ids of a problem with the words of a types.Budget."""
  if budget.words:
    return task.encode_asked(problem, budget)
  return task.encode(problem)


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
