"""The order of problems: those of step t are a function of (seed, t)."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from siri_jax import types


@dataclasses.dataclass(frozen=True)
class Order:
  """Training problems in the order of the steps.

  Attributes:
    problems: the training problems.
    seed: seed of the shuffles.
    prompts: problems a step.
    steps: Grain's endless dataset: step -> indices into `problems`.
  """

  problems: Sequence[types.Problem]
  seed: int
  prompts: int
  steps: Any


def shuffled(problems, *, seed, prompts):
  """An order with a new shuffle for every epoch.

  An epoch is len(problems) // prompts steps. It leaves out the remaining
  problems, different ones each time, so that no step has a problem twice.

  Args:
    problems: sequence of types.Problem.
    seed: int of at least 0.
    prompts: problems a step.
  Returns:
    Order.
  Raises:
    ValueError: there are fewer problems than a step needs.
  """
  if not 1 <= prompts <= len(problems):
    raise ValueError(
      f'prompts_per_step={prompts}, but there are {len(problems)} training '
      'problems and no step has one twice; lower prompts_per_step'
    )
  import grain  # Here, because it takes a second.

  steps = (
    grain.MapDataset.range(len(problems))
    .seed(seed)
    .shuffle()
    .batch(prompts, drop_remainder=True, batch_fn=list)
    .repeat()
  )
  return Order(problems, seed, prompts, steps)


def step_problems(order, step):
  """The problems of a step."""
  return [order.problems[place] for place in order.steps[step]]


def extra_problems(order, step, number):
  """More problems for a step that needs them.

  Args:
    order: Order.
    step: the step.
    number: 1 for the first extra round, 2 for the second and so on.
  Returns:
    list of `prompts` problems that the step has not had, a function of
    (seed, step, number); shorter or empty when all problems are used.
  """
  import grain

  seeds = np.random.SeedSequence([order.seed, step])
  shuffle_seed = int(seeds.generate_state(1)[0])
  size = len(order.problems)
  places = grain.MapDataset.range(size).shuffle(seed=shuffle_seed)
  had = set(order.steps[step])
  fresh = (p for p in map(places.__getitem__, range(size)) if p not in had)
  last = number * order.prompts
  chosen = itertools.islice(fresh, last - order.prompts, last)
  return [order.problems[place] for place in chosen]


def fixed_problems(order, count):
  """`count` problems that are the same at every step; all if there are fewer.

  They are drawn without regard to the order of the steps.
  """
  import grain

  size = len(order.problems)
  places = grain.MapDataset.range(size).shuffle(seed=order.seed)
  return [order.problems[places[i]] for i in range(min(count, size))]
