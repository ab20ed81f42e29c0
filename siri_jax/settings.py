"""What each setting may be: one line for each key of configs/base.py."""

import difflib
import math
from typing import NamedTuple

from ml_collections import ConfigDict

from siri_jax import update
from siri_jax.models import attention, policies


class Rule(NamedTuple):
  """Whether a value will do, and the words for what would."""

  holds: object
  wanted: str


def _whole(least):
  return Rule(
    lambda v: type(v) is int and v >= least,
    f'a whole number of {least} or more',
  )


def _real(low, high=math.inf):
  """A finite number above `low`, up to `high`."""
  upto = '' if high == math.inf else f', up to {high}'
  return Rule(lambda v: _finite(v) and low < v <= high, f'above {low}{upto}')


def _from_zero(below=math.inf):
  limit = '' if below == math.inf else f' and below {below}'
  return Rule(lambda v: _finite(v) and 0 <= v < below, f'0 or more{limit}')


def _one_of(*names):
  return Rule(lambda v: v in names, f'one of {", ".join(names)}')


def _finite(value):
  return type(value) in (int, float) and math.isfinite(value)


TEXT = Rule(lambda v: isinstance(v, str), 'text')
NAME = Rule(lambda v: isinstance(v, str) and v, "a function's name")
FOLDER = Rule(lambda v: isinstance(v, str) and v, 'a folder')
BINDINGS = Rule(lambda v: isinstance(v, (dict, ConfigDict)), 'settings by name')
NAMES = Rule(
  lambda v: isinstance(v, (tuple, list)) and all(isinstance(n, str) for n in v),
  'a tuple of names',
)

RULES = {
  'seed': _whole(0),
  'total_steps': _whole(1),
  'cache_dir': FOLDER,
  'writers': NAMES,
  'task': NAME,
  'task_kw': BINDINGS,
  'max_prompt': _whole(1),
  'rule': NAME,
  'rule_kw': BINDINGS,
  'grader_workers': _whole(1),
  'grader_secs': _real(0),
  'grader_memory_gb': _real(0),
  'policy': _one_of(*policies.KINDS),
  'model_path': TEXT,
  'model_kw': BINDINGS,
  'warm_kw': BINDINGS,
  'compute_dtype': _one_of('float32', 'bfloat16'),
  'remat': _one_of(*update.POLICIES),
  'attention': _one_of(*attention.IMPLEMENTATIONS),
  'schedule': NAME,
  'schedule_kw': BINDINGS,
  'cap_at': _one_of('sampler', 'reward'),
  'sampler': NAME,
  'sampler_kw': BINDINGS,
  'prompts': _whole(1),
  'group': _whole(2),
  'temperature': _real(0),
  'top_p': _real(0, 1),
  'top_k': _whole(0),
  'collect': NAME,
  'collect_kw': BINDINGS,
  'reward': NAME,
  'reward_kw': BINDINGS,
  'advantage': NAME,
  'advantage_kw': BINDINGS,
  'loss': NAME,
  'loss_kw': BINDINGS,
  'aggregation': NAME,
  'aggregation_kw': BINDINGS,
  'minibatches': _whole(1),
  'epochs': _whole(1),
  'learning_rate': _from_zero(),
  'warmup_steps': _whole(0),
  'adam_b1': _from_zero(1),
  'adam_b2': _from_zero(1),
  'adam_eps': _real(0),
  'weight_decay': _from_zero(),
  'clip_norm': _real(0),
  'max_skipped': _whole(1),
  'row_tokens': _whole(0),
  'micro_rows': _whole(1),
  'head_chunk': _whole(1),
  'mesh_kw': BINDINGS,
  'eval_every': _whole(0),
  'checkpoint_every': _whole(0),
  'keep_checkpoints': _whole(1),
  'rollouts_every': _whole(0),
  'picture_every': _whole(0),
  'eval_samples': _whole(1),
  'eval_temperature': _from_zero(),
  'eval_top_p': _real(0, 1),
  'eval_cap': _whole(1),
}


def faults(config):
  """Every key that is unknown or missing and every value that will not do.

  Args:
    config: ConfigDict.
  Returns:
    list of messages, each with the key, its value and what would be right.
  """
  found = [f'{key} is missing' for key in RULES if key not in config]
  for key, value in config.items():
    if key not in RULES:
      near = difflib.get_close_matches(key, RULES, n=1)
      hint = f'; did you mean {near[0]}?' if near else ''
      found.append(f'{key} is not a setting{hint}')
    elif not RULES[key].holds(value):
      found.append(f'{key}={value!r} is not {RULES[key].wanted}')
  for key, rule in RULES.items():
    if rule is BINDINGS and rule.holds(config.get(key)):
      found += [
        f'{key}.{name}={value!r} is not finite'
        for name, value in config[key].items()
        if isinstance(value, float) and not math.isfinite(value)
      ]
  return found
