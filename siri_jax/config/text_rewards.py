"""The settings text_rewards and text_rewards_kw: their faults, their use."""

from siri_jax import plugins, settings
from siri_jax.rollout import rewarded

FAMILY = 'text_rewards'


def faults(names, kw, reward, monitor_kw):
  """Messages about every fault in the text rewards of a config.

  Args:
    names: tuple of functions' names.
    kw: mapping from each one's short name to its weight and settings.
    reward: name of the array reward.
    monitor_kw: the settings of the monitor pass.
  """
  short = [plugins.short(name) for name in names]
  both = [plugins.short(reward), *short]
  wrong = [
    f'{FAMILY}: two rewards are called {name}; rename one function'
    for name in dict.fromkeys(both)
    if both.count(name) > 1
  ]
  wrong += [
    f'{FAMILY}_kw.{name} is of no text reward; add its function to {FAMILY}'
    for name in kw
    if name not in short
  ]
  if not wrong:
    wrong = [fault for name in names for fault in _own_faults(name, kw)]
  if not wrong and not monitor_kw.every:
    wrong = [
      f'monitor_kw.every=0, but {name} takes the samples of the monitor pass; '
      'set the steps from one pass to the next'
      for name in names
      if _inputs(name) == 3
    ]
  return wrong


def _own_faults(name, kw):
  """Faults in the name and the settings of one text reward."""
  label = plugins.short(name)
  group = f'{FAMILY}_kw.{label}'
  try:
    function = plugins.function(FAMILY, name)
  except ValueError as error:
    return [str(error)]
  if _inputs(name) not in (1, 2, 3):
    return [
      f'{FAMILY}: {name} is not called as (batch), (batch, memory) or (batch, '
      'memory, monitored); make its settings keyword-only'
    ]
  if not settings.BINDINGS.holds(kw.get(label)):
    wanted = ['weight', *plugins.settings_of(function)]
    listed = ', '.join(f'{each}=...' for each in wanted)
    return [f'{group} is missing; set it to dict({listed})']
  own = dict(kw[label])
  weight = own.pop('weight', None)
  wrong = plugins.faults(FAMILY, name, own, group=group)
  if not settings.finite(weight):
    wrong.append(f'{group}.weight={weight!r} is not a finite number')
  return wrong


def bound(names, kw):
  """The TextRewards of valid settings, in the order of their names."""
  found = []
  for name in names:
    own = kw[plugins.short(name)].to_dict()
    weight = own.pop('weight')
    function = plugins.find(FAMILY, name, own)
    label, inputs = plugins.short(name), _inputs(name)
    found.append(
      rewarded.TextReward(label, function, weight, inputs > 1, inputs == 3)
    )
  return tuple(found)


def _inputs(name):
  """Number of the inputs of a text reward."""
  return len(plugins.inputs_of(plugins.function(FAMILY, name)))
