"""Reads a config's task: its files and prompts, and what is wrong with them."""

import functools

from siri_jax import plugins
from siri_jax.config import plan as plans
from siri_jax.config import schema
from siri_jax.data import problems, shuffling
from siri_jax.models.hf import initial


def load_task(c):
  """The config's task without the prompts over the limit, and their number.

  Raises:
    ValueError: everything that is wrong with its files, with the model's
      folder, and with how they go together.
  """
  wrong = []
  if 'train' in c.task_kw and not c.task_kw.train:
    wrong.append('task_kw.train is empty: give a file of training problems')
  try:
    task, dropped = read(c)
  except (ValueError, OSError) as error:
    raise ValueError('\n'.join([*wrong, str(error)])) from error
  looks = [lambda: initial.shape_of(c, task.vocab)]
  if not wrong:
    order_of = functools.partial(shuffling.shuffled, task.train, seed=c.seed)
    looks.append(lambda: order_of(prompts=c.prompts_per_step))
  for look in looks:
    try:
      look()
    except ValueError as error:
      wrong.append(str(error))
  if wrong:
    raise ValueError('\n'.join(wrong))
  return task, dropped


def read(c):
  """The task, and how many prompts it lost that are over the limit.

  Raises:
    ValueError: its files or the names of its held-out sets will not do.
  """
  try:
    task = plans.bound(c, 'task')()
  except (ValueError, OSError):
    raise
  except Exception as error:  # A plug-in is a program: anything goes.
    raise ValueError(f'task_kw of {c.task}: {error!r}') from error
  problems.check_names(task.evals)
  return problems.drop_long(task, c.max_prompt_tokens)


def faults(c):
  """What is wrong with a task's files, for a config that is refused anyway.

  Returns:
    list of messages; empty too where the config is too wrong to tell.
  """
  if not schema.sound(c, 'task', 'task_kw', 'max_prompt_tokens'):
    return []
  if plugins.faults('task', c.task, c.task_kw):
    return []
  policy = ('policy', 'model_kw', 'model_path', 'seed', 'prompts_per_step')
  look = load_task if schema.sound(c, *policy) else read
  try:
    look(c)
  except (ValueError, OSError) as error:
    return str(error).splitlines()
  return []
