"""The sizes of a recipe: the paper's, and two of a laptop."""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import config_dict

from siri_jax.config import cosine640, longer, quickstart

LAPTOP_STEPS = 20
# A small size: its config, and its steps.
SMALL = {'laptop': (quickstart, LAPTOP_STEPS), 'longer': (longer, 80)}
SIZES = ('paper', *SMALL)
EVALUATED = 10  # Steps between evaluations of a small size.
# Of a small size; at the online recipes' 2e-4 SimPO fell from 70 to 10 %.
OFFLINE_RATE = 2e-5


class Start(NamedTuple):
  """What a recipe begins with.

  Attributes:
    c: ConfigDict under a constant cap, the method's longest.
    tokens: tokens of the paper -> tokens at this size.
    steps: steps of the paper -> steps at this size.
  """

  c: config_dict.ConfigDict
  tokens: Callable[[int], int]
  steps: Callable[[int], int]


def start(size, *, cap, total_steps, **paper):
  """The config that a recipe changes.

  'paper' has the model, problems and machine of cosine640.py. 'laptop' has the
  task, policy, batch and learning rate of quickstart.py and 20 steps, 'longer'
  those of longer.py and 80 steps; the method's tokens are scaled so that `cap`
  is the highest cap there.

  Args:
    size: one of SIZES.
    cap: the method's longest response, tokens of the paper.
    total_steps: GRPO steps of the paper.
    **paper: further settings of the paper's size: batch, learning rate.
  Returns:
    Start.
  Raises:
    ValueError: there is no such size.
  """
  if size not in SIZES:
    raise ValueError(f'unknown size {size!r}; choose from {", ".join(SIZES)}')
  if size == 'paper':
    c, longest, last = cosine640.get_config(), cap, total_steps
    c.update(paper)
  else:
    task, last = SMALL[size]
    c, longest = task.get_config(), task.HIGH
    # Each is drawn twice: some rewards have a memory.
    c.task_kw.problems = c.prompts_per_step * last // 2
    c.task_kw.held_out = 512
    c.eval_kw.every = EVALUATED
  c.total_steps = last
  c.schedule = 'constant'
  c.schedule_kw = dict(cap=longest)

  def tokens(count):
    return max(1, round(count * longest / cap))

  def steps(count):
    return round(count * last / total_steps)

  return Start(c, tokens, steps)


def offline(size, *, cap, samples, problems, **paper):
  """The config that a recipe changes if it learns from a training set.

  A step has pairs, or two samples of a problem. At a small size, 16 samples of
  each problem are as many as an online recipe takes in all its steps.

  Args:
    size: one of SIZES.
    cap: the cap of the samples, tokens of the paper.
    samples: samples of a problem in the paper.
    problems: problems of the paper; 0: all.
    **paper: further settings of the paper's size, with its total_steps.
  Returns:
    ConfigDict.
  Raises:
    ValueError: there is no such size.
  """
  defaults = dict(prompts_per_step=32, minibatches=1)
  c, _, _ = start(size, cap=cap, **{**defaults, **paper})
  c.presample_kw = dict(samples=samples, problems=problems, folder='')
  if size in SMALL:
    c.presample_kw = dict(samples=16, problems=0, folder='')
    c.learning_rate = OFFLINE_RATE
  c.group_size = 2
  c.update_kw.row_tokens = 0  # Room for a pair.
  c.reward, c.reward_kw = 'recorded', {}
  c.advantage, c.advantage_kw = 'unchanged', {}
  return c
