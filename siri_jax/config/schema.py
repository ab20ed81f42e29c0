"""The rule of each setting, and checks of settings that depend on others."""

import math

from siri_jax import plugins
from siri_jax.algorithm import optimizers, update
from siri_jax.config import cost_model
from siri_jax.grading import extract, pool
from siri_jax.models import attention, qwen2, sharding
from siri_jax.models.hf import initial
from siri_jax.rollout import http_client, vllm
from siri_jax.runtime import alarms, checkpoint, credentials, distributed
from siri_jax.settings import (
  BINDINGS,
  FOLDER,
  LARGEST,
  NAME,
  NAMES,
  TEXT,
  Rule,
  errors,
  finite,
  from_zero,
  one_of,
  real,
  whole,
)

STEPS = 10**7  # Most steps: the cap of each is computed.

RULES = {
  'seed': whole(0),
  'total_steps': whole(1, STEPS),
  'cache_dir': FOLDER,
  'writers': NAMES,
  'stall_secs': real(0),
  'stop_secs': real(0),
  'hosts_kw': BINDINGS,
  'task': NAME,
  'task_kw': BINDINGS,
  'max_prompt_tokens': whole(1),
  'grading_rule': NAME,
  'grading_rule_kw': BINDINGS,
  'grader_kw': BINDINGS,
  'policy': one_of(*initial.KINDS),
  'model_path': TEXT,
  'model_kw': BINDINGS,
  'sft_kw': BINDINGS,
  'compute_dtype': one_of('float32', 'bfloat16'),
  'remat': one_of('', *qwen2.REMAT),
  'device_gb': real(0),
  'attention': one_of(*attention.IMPLEMENTATIONS),
  'schedule': NAME,
  'schedule_kw': BINDINGS,
  'uncapped_length_kw': BINDINGS,
  'cap_at': one_of('sampler', 'reward'),
  'engine': NAME,
  'engine_kw': BINDINGS,
  'server_kw': BINDINGS,
  'prompts_per_step': whole(1),
  'group_size': whole(2),
  'temperature': real(0),
  'top_p': real(0, 1),
  'top_k': whole(0),
  'off_policy_steps': whole(0, 1),
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
  'minibatches': whole(1),
  'epochs': whole(1),
  'learning_rate': from_zero(),
  'optimizer_kw': BINDINGS,
  'max_skipped': whole(1),
  'alarms_kw': BINDINGS,
  'row_tokens': whole(0),
  'micro_batch_rows': whole(1),
  'logprob_chunk_tokens': whole(1),
  'mesh_kw': BINDINGS,
  'param_sharding': one_of(*update.PARAM_SHARDING),
  'eval_kw': BINDINGS,
  'checkpoint_kw': BINDINGS,
  'rollouts_every': whole(0),
  'picture_every': whole(0),
}


# Nested settings. Plug-ins check their own settings.
INNER = {
  'model_kw': qwen2.SETTINGS,
  'optimizer_kw': optimizers.SETTINGS,
  'checkpoint_kw': checkpoint.SETTINGS,
  'eval_kw': {
    'every': whole(0),
    'samples': whole(1, 1000),  # The limit of pass_at_k.maj_at_k.
    'table_samples': whole(1, 1000),
    'table_caps': whole(1),
    'temperature': from_zero(),
    'top_p': real(0, 1),
    'cap': whole(1),
  },
  'grader_kw': pool.SETTINGS,
  'uncapped_length_kw': cost_model.SETTINGS,
  'server_kw': vllm.SETTINGS,
  'alarms_kw': alarms.SETTINGS,
  'mesh_kw': sharding.SETTINGS,
  'hosts_kw': distributed.SETTINGS,
}
SFT = {  # Rules of sft_kw, if the policy is 'sft'.
  'steps': whole(1),
  'rounds': whole(1),
  'gate': Rule(
    lambda v: (
      BINDINGS.holds(v)
      and set(v) == {'copied', 'looked_up'}
      and all(map(finite, v.values()))
    ),
    'dict(copied=..., looked_up=...) of least mean probabilities',
  ),
  'rows': whole(1),
  'row_tokens': whole(1),
  'tokens': whole(1),
  'skill_weight': real(0),
  'learning_rate': real(0),
  'adam_learning_rate': real(0),
  'warmup_steps': whole(0),
  'adam_b2': from_zero(1),
}


def faults(config):
  """Every fault that can be found from the settings alone.

  Args:
    config: ConfigDict.
  Returns:
    list of messages, each with the setting, its value and allowed values:
    unknown, missing and invalid settings, then contradictions.
  """
  found = errors(config, RULES)
  for key, rules in INNER.items():
    if key not in found and key in config:
      found |= errors(config[key], rules, f'{key}.')
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
  return [credentials.masked(message) for message in found.values()]


def sound(config, *names):
  """Whether these settings exist and each is valid alone."""
  return all(
    name in config
    and RULES[name].holds(config[name])
    and not (name in INNER and errors(config[name], INNER[name]))
    for name in names
  )


def _unfit(value):
  """The reason why a number cannot be used, or ''."""
  if isinstance(value, float) and not math.isfinite(value):
    return 'is not finite'
  if isinstance(value, (int, float)) and abs(value) > LARGEST:
    return 'is too large for an int32'
  return ''


# Checks of settings that are valid alone but not together. Each function's
# arguments are the settings it compares; it returns a message or ''.


def _minibatches(*, minibatches, prompts_per_step, group_size):
  samples = prompts_per_step * group_size
  return samples % minibatches and (
    f'minibatches={minibatches} does not divide the {samples} samples of a '
    'step (prompts_per_step * group_size); use a divisor'
  )


def _micro_rows(*, micro_batch_rows, mesh_kw):
  devices = mesh_kw.data * mesh_kw.fsdp
  return micro_batch_rows % devices and (
    f'micro_batch_rows={micro_batch_rows} does not divide over the {devices} '
    f'devices of mesh_kw (data * fsdp); use a multiple of {devices}'
  )


def _hosts(*, hosts_kw, mesh_kw):
  count, index = hosts_kw.count, hosts_kw.index
  if bool(hosts_kw.coordinator) != (index >= 0):
    return (
      f'hosts_kw.coordinator={hosts_kw.coordinator!r} and hosts_kw.index='
      f"{index} go together: set both, or '' and -1 on a cluster"
    )
  if index >= count or (index >= 0 and count == 1):
    return (
      f'hosts_kw.index={index} does not fit hosts_kw.count={count}; set 0 to '
      'count - 1, or -1 for one process'
    )
  devices = mesh_kw.data * mesh_kw.fsdp * mesh_kw.tensor
  return devices % count and (
    f'the {devices} devices of mesh_kw do not divide over the '
    f'hosts_kw.count={count} processes; use a multiple of {count}'
  )


def _model_path(*, policy, model_path):
  if policy == 'pretrained' and not model_path:
    return "policy='pretrained' needs model_path, a Hugging Face folder"
  return (policy != 'pretrained' and model_path) and (
    f'model_path={model_path!r} is not used by policy={policy!r}; '
    "set policy='pretrained' or leave it empty"
  )


def _sft_settings(*, policy, sft_kw, task, hosts_kw):
  if policy != 'sft':
    return sft_kw and (
      f"sft_kw is not used by policy={policy!r}; set policy='sft'"
    )
  if hosts_kw.count > 1:
    return "policy='sft' needs a single process; set hosts_kw.count=1"
  if task != 'arithmetic':
    return "policy='sft' needs a task with traces; set task='arithmetic'"
  lacks = '; '.join(errors(sft_kw, SFT, 'sft_kw.').values())
  return lacks and f"policy='sft': {lacks}"


def _heads(*, model_kw):
  heads, kv_heads = model_kw.heads, model_kw.kv_heads
  return heads % kv_heads and (
    f'model_kw.heads={heads} is not a multiple of model_kw.kv_heads={kv_heads}'
  )


def _head_dim(*, model_kw):
  return model_kw.head_dim % 2 and (
    f'model_kw.head_dim={model_kw.head_dim} is odd; use an even one'
  )


def _natural(*, uncapped_length_kw):
  mean, median = uncapped_length_kw.mean, uncapped_length_kw.median
  return mean <= median and (
    f'uncapped_length_kw.mean={mean} is not above '
    f'uncapped_length_kw.median={median}; raise the mean'
  )


def _eval_samples(*, eval_kw, prompts_per_step, group_size):
  samples = prompts_per_step * group_size
  return eval_kw.samples > samples and (
    f'eval_kw.samples={eval_kw.samples} is above the {samples} samples of a '
    'step (prompts_per_step * group_size), the capacity of the engine; lower it'
  )


def _engine(*, engine, engine_kw):
  bad = [
    f'engine_kw.{name}={value!r}'
    for name, value in engine_kw.items()
    if engine in ('embedded', 'vllm') and not whole(1).holds(value)
  ]
  return bad and f'{", ".join(bad)} is not {whole(1).wanted}'


def _addresses(*, server_kw):
  known, wrong = set(), []
  for url in server_kw.urls:
    try:
      url = http_client.canonical(url)
    except ValueError as error:
      wrong.append(str(error))
    else:
      wrong += [f'{url!r} is there twice'] * (url in known)
      known.add(url)
  return wrong and f'server_kw.urls: {"; ".join(wrong)}'


def _sleep(*, server_kw, off_policy_steps):
  return (server_kw.sleep and off_policy_steps) and (
    f'off_policy_steps={off_policy_steps} samples during training, so servers '
    f'cannot sleep (server_kw.sleep={server_kw.sleep}); set one of them to 0'
  )


def _kind(*, grading_rule_kw):
  kind = grading_rule_kw.get('kind', extract.KINDS[0])
  return kind not in extract.KINDS and (
    f'grading_rule_kw.kind={kind!r} is not one of {", ".join(extract.KINDS)}'
  )


CONTRADICTIONS = (
  _minibatches,
  _micro_rows,
  _hosts,
  _model_path,
  _sft_settings,
  _heads,
  _head_dim,
  _natural,
  _eval_samples,
  _engine,
  _addresses,
  _sleep,
  _kind,
)
