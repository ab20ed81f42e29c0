"""Finds a plug-in function by its name in a config and binds its settings.

A plug-in is a public function of its family's modules, or any function
`my_package.module:function`. A config names it; it needs no registry.
"""

import difflib
import functools
import hashlib
import importlib
import inspect
import sys

FAMILIES = {
  'schedule': ('siri_jax.algorithm.schedules',),
  'reward': ('siri_jax.algorithm.rewards',),
  'text_rewards': ('siri_jax.grading.text_rewards',),
  'advantage': ('siri_jax.algorithm.advantages',),
  'aggregation': ('siri_jax.algorithm.aggregations',),
  'loss': (
    'siri_jax.algorithm.losses',
    'siri_jax.algorithm.pair_losses',
  ),
  'task': ('siri_jax.data.tasks',),
  'engine': ('siri_jax.rollout.engines',),
  'budget': ('siri_jax.rollout.budgets',),
  'collect': ('siri_jax.rollout.collect',),
  'grading_rule': ('siri_jax.grading.rules',),
  'training_set': ('siri_jax.algorithm.training_sets',),
}

ELSEWHERE = (
  'Another process cannot find a function of a notebook: write it to a file '
  "in the working directory, my_plugins.py, and name it 'my_plugins:function'"
)


def names(family):
  """Public functions that a family's modules define, in source order."""
  return list(_functions(family))


def _functions(family):
  """Name -> public function of a family's modules."""
  modules = map(importlib.import_module, FAMILIES[family])
  return {
    name: value
    for module in modules
    for name, value in vars(module).items()
    if inspect.isfunction(value)
    and value.__module__ == module.__name__
    and not name.startswith('_')
  }


def function(family, name):
  """The plug-in function called `name`, settings unbound.

  Raises:
    ValueError: there is no such function; suggests a similar name.
  """
  if ':' in name:
    module, _, attribute = name.partition(':')
    try:
      found = getattr(importlib.import_module(module), attribute)
      inspect.signature(found)
    except Exception as error:  # A module may raise anything.
      hint = f'. {ELSEWHERE}' if module == '__main__' else ''
      raise ValueError(
        f'{family}={name!r} cannot be imported: {error}{hint}'
      ) from error
    return found
  found = _functions(family)
  if name not in found:
    near = difflib.get_close_matches(name, found, n=1)
    known = ', '.join(found)
    hint = f'did you mean {near[0]!r}? ({known})' if near else f'use {known}'
    raise ValueError(f'unknown {family} {name!r}; {hint}')
  return found[name]


def name_of(plugin):
  """The name by which a config holds a function: 'module:function'.

  A function of a notebook or of a script is '__main__:function', which this
  process alone can find.

  Raises:
    ValueError: no name leads to the function.
  """
  module = getattr(plugin, '__module__', None)
  name = getattr(plugin, '__qualname__', repr(plugin))
  if getattr(sys.modules.get(module), name, None) is not plugin:
    raise ValueError(
      f'{name} of {module} is not at the top level of a module, so that no run '
      f'can find it by its name: define it there by def'
    )
  return f'{module}:{name}'


def sources(config):
  """What a run records of the plug-ins that are not this package's.

  Args:
    config: mapping of settings; each family of FAMILIES is one.
  Returns:
    dict family -> 'module:function SHA256', of the function's source text; of
    a family with several plug-ins 'family.function'.
  Raises:
    ValueError: a function's source cannot be read.
  """
  found = {}
  for key, family, name in _named(config):
    if ':' not in name:
      continue
    try:
      text = inspect.getsource(function(family, name))
    except (OSError, TypeError) as error:
      raise ValueError(
        f'{family}={name!r} has no source text to record: {error}. {ELSEWHERE}'
      ) from error
    found[key] = f'{name} {hashlib.sha256(text.encode()).hexdigest()}'
  return found


def _named(config):
  """(key of its record, family, name) of each plug-in of a config."""
  for family in FAMILIES:
    if isinstance(config[family], str):
      if config[family]:
        yield family, family, config[family]
    else:
      for name in config[family]:
        yield f'{family}.{short(name)}', family, name


def short(name):
  """A plug-in's name without its module: 'my_plugins:judge' -> 'judge'."""
  return name.rpartition(':')[2]


def settings_of(plugin):
  """Names of a plug-in's settings: its keyword-only arguments."""
  parameters = inspect.signature(plugin).parameters.values()
  return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def inputs_of(plugin):
  """Names of a plug-in's inputs: its arguments that are no settings."""
  parameters = inspect.signature(plugin).parameters.values()
  return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]


def faults(family, name, settings, supplied=(), group=None):
  """Messages about every fault in a plug-in's name and settings.

  Args:
    family: a key of FAMILIES.
    name: the function's name, or 'module:function'.
    settings: mapping of the config's settings.
    supplied: keyword-only arguments that the caller passes at each call.
    group: name of the group of its settings; None: FAMILY_kw.
  """
  group = group or f'{family}_kw'
  try:
    wanted = settings_of(function(family, name))
  except ValueError as error:
    return [str(error)]
  wanted = [w for w in wanted if w not in supplied]
  missing = [w for w in wanted if w not in settings]
  unknown = [s for s in settings if s not in wanted]
  listed = ', '.join(wanted) or 'none'
  return [f'{group}.{s} is missing; {name} needs it' for s in missing] + [
    f'{group}.{s} is not a setting of {name}; choose from {listed}'
    for s in unknown
  ]


def find(family, name, settings, supplied=()):
  """The plug-in function with its settings bound.

  Raises:
    ValueError: there is no such function, or settings are missing or unknown;
      lists all.
  """
  wrong = faults(family, name, settings, supplied)
  if wrong:
    raise ValueError('\n'.join(wrong))
  return functools.partial(function(family, name), **dict(settings))
