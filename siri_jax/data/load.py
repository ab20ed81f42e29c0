"""Loads a config's task and lists every fault in its files."""

import functools
import itertools

from siri_jax import plugins
from siri_jax.config import budget_extremes, schema
from siri_jax.config import plan as plans
from siri_jax.data import hub_names, problems, selection, shuffling
from siri_jax.grading import extract
from siri_jax.models.hf import initial
from siri_jax.rollout import asking


def load_task(c):
  """The config's task without too long prompts, and the number of those.

  Raises:
    ValueError: its files or the model's folder are invalid, or do not match;
      lists all faults.
  """
  wrong = []
  if 'train' in c.task_kw and not c.task_kw.train:
    wrong.append('task_kw.train is empty; name a file of training problems')
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
  """The task without too long prompts, and the number of those.

  Raises:
    ValueError: its files, the names of its held-out sets or a Hub name are
      invalid.
  """
  hub_names.check(c)
  try:
    task = plans.bound(with_tokenizer(c), 'task')(**_expected(c))
  except (ValueError, OSError):
    raise
  except Exception as error:  # A plug-in may raise anything.
    raise ValueError(f'task_kw of {c.task}: {error!r}') from error
  task = selection.only(task, c.train_only)
  problems.check_names(task.evals)
  return problems.drop_long(task, c.max_prompt_tokens, _asked(c, task))


def _asked(c, task):
  """Problem -> the budgets with words at the extremes; None if none has any.

  Raises:
    ValueError: the task does not take the words.
  """
  if c.budget == 'step_cap':
    return None
  extremes = plans.extreme_budgets(c)

  def asked(problem):
    found = {b for _, budgets in extremes(problem) for b in budgets}
    return [b for b in found if b.words or b.first]

  _refuse_forced(c, task, extremes)
  for problem in itertools.chain(task.train, *task.evals.values()):
    for budget in asked(problem)[:1]:
      if budget.words and task.encode_asked is None:
        raise ValueError(f'budget={c.budget!r}: task={c.task!r} takes no words')
      try:
        asking.encode(task, problem, budget)
      except ValueError as error:
        raise ValueError(f'budget_kw of {c.budget}: {error}') from error
      return asked
    return None


def _expected(c):
  """What the config's grading rule expects, if the task asks for it."""
  wanted = plugins.settings_of(plugins.function('task', c.task))
  kind = c.grading_rule_kw.get('kind', extract.KINDS[0])
  return {'thought': kind == extract.KINDS[0]} if 'thought' in wanted else {}


def _refuse_forced(c, task, extremes):
  """Refuses a budget whose forced words are not one token of the task."""
  for _, budgets in extremes(budget_extremes.ANY):
    closes = {b.close for b in budgets if b.thinking}
    for words in closes | {b.first for b in budgets if b.first}:
      found = task.ids_of(words) if task.ids_of else []
      if len(found) != 1:
        raise ValueError(
          f'budget_kw of {c.budget}: {words!r} is {len(found)} tokens of '
          f'task={c.task!r}, not one'
        )


def with_tokenizer(c):
  """The config whose task has the model's tokenizer, unless it names one."""
  named = 'tokenizer' not in c.task_kw or c.task_kw.tokenizer
  if named or c.policy != 'pretrained' or not c.model_path:
    return c
  c = c.copy_and_resolve_references()
  c.task_kw.tokenizer = str(initial.folder(c))
  return c


def faults(c):
  """Faults in a task's files, for a config that is refused anyway.

  Returns:
    list of messages; empty also if the config is too wrong to read them.
  """
  needed = ('task', 'task_kw', 'max_prompt_tokens', 'grading_rule_kw')
  if not schema.sound(c, *needed):
    return []
  if plugins.faults('task', c.task, c.task_kw, plans.PLUGINS['task']):
    return []
  c = c.copy_and_resolve_references()
  c.budget = 'step_cap'  # Another may have faults of its own.
  policy = ('policy', 'model_kw', 'model_path', 'seed', 'prompts_per_step')
  if not schema.sound(c, *policy[:3]) or hub_names.absent(c):
    return []  # A config that is refused fetches nothing.
  look = load_task if schema.sound(c, *policy) else read
  try:
    look(c)
  except (ValueError, OSError) as error:
    return str(error).splitlines()
  return []
