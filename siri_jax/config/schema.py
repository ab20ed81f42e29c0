"""What each setting may be, and which ones do not go together."""

import difflib
import math
from typing import NamedTuple

from ml_collections import ConfigDict

from siri_jax import plugins
from siri_jax.algorithm import update
from siri_jax.grading import extract
from siri_jax.models import attention, qwen2
from siri_jax.models.hf import initial


class Rule(NamedTuple):
  """Whether a value will do, and the words for what would."""

  holds: object
  wanted: str


LARGEST = 2**31 - 1  # What an int32 holds.
STEPS = 10**7  # Each step's cap is worked out.


def _whole(least, most=LARGEST):
  upto = ' or more' if most >= STEPS else f' to {most}'
  return Rule(
    lambda v: type(v) is int and least <= v <= most,
    f'a whole number of {least}{upto}',
  )


def _real(low, high=math.inf):
  """A finite number above `low`, up to `high`."""
  upto = '' if high == math.inf else f', up to {high}'
  return Rule(
    lambda v: _finite(v) and low < v <= high, f'a number above {low}{upto}'
  )


def _from_zero(below=math.inf):
  limit = '' if below == math.inf else f' and below {below}'
  return Rule(
    lambda v: _finite(v) and 0 <= v < below, f'a number of 0 or more{limit}'
  )


def _one_of(*names):
  return Rule(lambda v: v in names, f'one of {", ".join(names)}')


def _finite(value):
  return type(value) in (int, float) and math.isfinite(value)


TEXT = Rule(lambda v: isinstance(v, str), 'text')
NAME = Rule(lambda v: isinstance(v, str) and v, "a function's name")
FOLDER = Rule(
  lambda v: isinstance(v, str) and v and v.isprintable(), 'a folder'
)
BINDINGS = Rule(lambda v: isinstance(v, (dict, ConfigDict)), 'settings by name')
NAMES = Rule(
  lambda v: isinstance(v, (tuple, list)) and all(isinstance(n, str) for n in v),
  'a tuple of names',
)

RULES = {
  'seed': _whole(0),
  'total_steps': _whole(1, STEPS),
  'cache_dir': FOLDER,
  'writers': NAMES,
  'stall_secs': _real(0),
  'stop_secs': _real(0),
  'hosts_kw': BINDINGS,
  'task': NAME,
  'task_kw': BINDINGS,
  'max_prompt': _whole(1),
  'rule': NAME,
  'rule_kw': BINDINGS,
  'grader_workers': _whole(1),
  'grader_secs': _real(0),
  'grader_memory_gb': _real(0),
  'policy': _one_of(*initial.KINDS),
  'model_path': TEXT,
  'model_kw': BINDINGS,
  'warm_kw': BINDINGS,
  'compute_dtype': _one_of('float32', 'bfloat16'),
  'remat': _one_of('', *qwen2.REMAT),
  'device_gb': _real(0),
  'attention': _one_of(*attention.IMPLEMENTATIONS),
  'schedule': NAME,
  'schedule_kw': BINDINGS,
  'natural_kw': BINDINGS,
  'cap_at': _one_of('sampler', 'reward'),
  'sampler': NAME,
  'sampler_kw': BINDINGS,
  'server_kw': BINDINGS,
  'prompts': _whole(1),
  'group': _whole(2),
  'temperature': _real(0),
  'top_p': _real(0, 1),
  'top_k': _whole(0),
  'ahead': _whole(0, 1),
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
  'alarms_kw': BINDINGS,
  'row_tokens': _whole(0),
  'micro_rows': _whole(1),
  'head_chunk': _whole(1),
  'mesh_kw': BINDINGS,
  'gather': _one_of(*update.GATHER),
  'eval_every': _whole(0),
  'checkpoint_every': _whole(0),
  'keep_checkpoints': _whole(1),
  'keep_every': _whole(0),
  'rollouts_every': _whole(0),
  'picture_every': _whole(0),
  'eval_samples': _whole(1, 1000),  # estimators.maj_at takes no more.
  'table_samples': _whole(1, 1000),
  'table_caps': _whole(1),
  'eval_temperature': _from_zero(),
  'eval_top_p': _real(0, 1),
  'eval_cap': _whole(1),
}


# Settings within others. What a plug-in's own may be is for it to say.
INNER = {
  'model_kw': {
    'layers': _whole(1),
    'dim': _whole(1),
    'heads': _whole(1),
    'kv_heads': _whole(1),
    'head_dim': _whole(2),
    'mlp': _whole(1),
    'rope_theta': _real(0),
    'norm_eps': _real(0),
    'tied': Rule(lambda v: type(v) is bool, 'True or False'),
  },
  'natural_kw': {'mean': _real(1), 'median': _real(1)},
  'server_kw': {
    'urls': Rule(lambda v: NAMES.holds(v) and len(v), 'a tuple of addresses'),
    'folder': FOLDER,
    'patience_secs': _real(0),
    'push_secs': _real(0),
    'told': Rule(lambda v: _finite(v) and 0 <= v <= 1, 'a share from 0 to 1'),
    'tensor': _whole(1),
    'data': _whole(1),
    'memory': _real(0, 1),
    'sleep': _whole(0, 1),
  },
  'alarms_kw': {
    'window': _whole(1),
    'least_steps': _whole(1),
    **dict.fromkeys(('cut', 'idle', 'ungraded'), _real(0, 1)),
    **dict.fromkeys(
      ('gap', 'gap_growth', 'entropy', 'ratio', 'spike', 'spike_floor'),
      _from_zero(),
    ),
  },
  'mesh_kw': {'data': _whole(1), 'fsdp': _whole(1), 'tensor': _whole(1)},
  'hosts_kw': {'count': _whole(1), 'coordinator': TEXT, 'index': _whole(-1)},
}
WARM = {  # Of warm_kw, where the policy is warm_started.
  'steps': _whole(1),
  'rounds': _whole(1),
  'gate': Rule(
    lambda v: (
      BINDINGS.holds(v)
      and set(v) == {'copied', 'looked_up'}
      and all(map(_finite, v.values()))
    ),
    'dict(copied=..., looked_up=...) of least mean probabilities',
  ),
  'rows': _whole(1),
  'row_tokens': _whole(1),
  'tokens': _whole(1),
  'skill_weight': _real(0),
  'learning_rate': _real(0),
  'adam_learning_rate': _real(0),
  'warmup_steps': _whole(0),
  'adam_b2': _from_zero(1),
}


def faults(config):
  """Everything that a look at the settings alone finds wrong.

  Args:
    config: ConfigDict.
  Returns:
    list of messages, each with the setting, its value and what would be
    right: unknown, missing and bad settings, then those that contradict.
  """
  found = _bad(config, RULES, '')
  for key, rules in INNER.items():
    if key not in found and key in config:
      found |= _bad(config[key], rules, f'{key}.')
  for key, rule in RULES.items():
    if rule is BINDINGS and key not in found and key in config:
      found |= {
        f'{key}.{name}': f'{key}.{name}={value!r} {_unfit(value)}'
        for name, value in config[key].items()
        if _unfit(value)
      }
  unsound = {name.split('.')[0] for name in found}
  for contradiction in CONTRADICTIONS:
    names = plugins.settings_of(contradiction)
    if not unsound & set(names):
      message = contradiction(**{name: config[name] for name in names})
      found |= {message: message} if message else {}
  return list(found.values())


def sound(config, *names):
  """Whether these settings are there and each, by itself, what it may be."""
  return all(
    name in config
    and RULES[name].holds(config[name])
    and not (name in INNER and _bad(config[name], INNER[name], ''))
    for name in names
  )


def _unfit(value):
  """Why nothing can be computed with a number, or ''."""
  if isinstance(value, float) and not math.isfinite(value):
    return 'is not finite'
  if isinstance(value, (int, float)) and abs(value) > LARGEST:
    return 'is too large: an int32 could not hold it'
  return ''


def _bad(values, rules, prefix):
  """Full name -> message, for what is missing, unknown or will not do."""
  found = {
    prefix + key: f'{prefix}{key} is missing, {rule.wanted}'
    for key, rule in rules.items()
    if key not in values
  }
  for key, value in values.items():
    name = prefix + key
    if key not in rules:
      near = difflib.get_close_matches(key, rules, n=1)
      hint = f'; did you mean {prefix}{near[0]}?' if near else ''
      found[name] = f'{name} is not a setting{hint}'
    elif not rules[key].holds(value):
      shown = value.to_dict() if isinstance(value, ConfigDict) else value
      found[name] = f'{name}={shown!r} is not {rules[key].wanted}'
  return found


# Settings that are right alone and wrong together: each function names those
# that it compares, and answers with a message or ''.


def _minibatches(*, minibatches, prompts, group):
  samples = prompts * group
  return samples % minibatches and (
    f'minibatches={minibatches} does not divide the {samples} samples of a '
    'step (prompts * group)'
  )


def _micro_rows(*, micro_rows, mesh_kw):
  devices = mesh_kw.data * mesh_kw.fsdp
  return micro_rows % devices and (
    f'micro_rows={micro_rows} does not divide over the {devices} devices of '
    'mesh_kw (data * fsdp)'
  )


def _hosts(*, hosts_kw, mesh_kw):
  count, index = hosts_kw.count, hosts_kw.index
  if bool(hosts_kw.coordinator) != (index >= 0):
    return (
      f'hosts_kw.coordinator={hosts_kw.coordinator!r} and hosts_kw.index='
      f"{index} go together: give both, or '' and -1 where a cluster tells"
    )
  if index >= count or (index >= 0 and count == 1):
    return f'hosts_kw.index={index} is none of hosts_kw.count={count} processes'
  devices = mesh_kw.data * mesh_kw.fsdp * mesh_kw.tensor
  return devices % count and (
    f'the {devices} devices of mesh_kw do not divide over the '
    f'hosts_kw.count={count} processes'
  )


def _model_path(*, policy, model_path):
  if policy == 'pretrained' and not model_path:
    return "policy='pretrained' needs model_path, a Hugging Face folder"
  return (policy != 'pretrained' and model_path) and (
    f'model_path={model_path!r} is not read by policy={policy!r}; '
    "take policy='pretrained' or leave it empty"
  )


def _warm_start(*, policy, warm_kw, task, hosts_kw):
  if policy != 'warm_started':
    return warm_kw and (
      f"warm_kw is not read by policy={policy!r}; take policy='warm_started'"
    )
  if hosts_kw.count > 1:
    return "policy='warm_started' is made by one process: hosts_kw.count=1"
  if task != 'arithmetic':
    return "policy='warm_started' needs a task that has traces (arithmetic)"
  lacks = '; '.join(_bad(warm_kw, WARM, 'warm_kw.').values())
  return lacks and f"policy='warm_started': {lacks}"


def _heads(*, model_kw):
  heads, kv_heads = model_kw.heads, model_kw.kv_heads
  return heads % kv_heads and (
    f'model_kw.heads={heads} is no multiple of model_kw.kv_heads={kv_heads}'
  )


def _head_dim(*, model_kw):
  return model_kw.head_dim % 2 and (
    f'model_kw.head_dim={model_kw.head_dim} is odd'
  )


def _natural(*, natural_kw):
  mean, median = natural_kw.mean, natural_kw.median
  return mean <= median and (
    f'natural_kw.mean={mean} is not above natural_kw.median={median}: a '
    "lognormal's is"
  )


def _eval_samples(*, eval_samples, prompts, group):
  samples = prompts * group
  return eval_samples > samples and (
    f'eval_samples={eval_samples} is above the {samples} samples of a step '
    '(prompts * group), which the engine is built for'
  )


def _engine(*, sampler, sampler_kw):
  bad = [
    f'sampler_kw.{name}={value!r}'
    for name, value in sampler_kw.items()
    if sampler in ('embedded', 'vllm') and not _whole(1).holds(value)
  ]
  return bad and f'{", ".join(bad)} is not {_whole(1).wanted}'


def _sleep(*, server_kw, ahead):
  return (server_kw.sleep and ahead) and (
    f'ahead={ahead} samples while it trains: servers cannot sleep then '
    f'(server_kw.sleep={server_kw.sleep})'
  )


def _kind(*, rule_kw):
  kind = rule_kw.get('kind', extract.KINDS[0])
  return kind not in extract.KINDS and (
    f'rule_kw.kind={kind!r} is not one of {", ".join(extract.KINDS)}'
  )


CONTRADICTIONS = (
  _minibatches,
  _micro_rows,
  _hosts,
  _model_path,
  _warm_start,
  _heads,
  _head_dim,
  _natural,
  _eval_samples,
  _engine,
  _sleep,
  _kind,
)
