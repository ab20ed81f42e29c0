"""Checks of settings that are valid alone but not together.

The arguments of a check are the settings that it compares. It returns a
message, or something false.
"""

from siri_jax.config import built_in_task
from siri_jax.grading import extract
from siri_jax.rollout import http_client, placement
from siri_jax.settings import (
  BINDINGS,
  Rule,
  errors,
  finite,
  from_zero,
  real,
  whole,
)

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


def _minibatches(*, minibatches, prompts_per_step, group_size):
  samples = prompts_per_step * group_size
  return samples % minibatches and (
    f'minibatches={minibatches} does not divide the {samples} samples of a '
    'step (prompts_per_step * group_size); use a divisor'
  )


def _micro_rows(*, update_kw, mesh_kw):
  rows, devices = update_kw.micro_batch_rows, mesh_kw.data * mesh_kw.fsdp
  return rows % devices and (
    f'update_kw.micro_batch_rows={rows} does not divide over the {devices} '
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
    return "policy='pretrained' needs model_path, a folder or Hub name"
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
  if task not in built_in_task.TASKS:
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
  return (placement.sleeps(server_kw) and off_policy_steps) and (
    f'off_policy_steps={off_policy_steps} samples during training, so servers '
    f'cannot sleep (server_kw.sleep={server_kw.sleep}, server_kw.placement='
    f"{server_kw.placement!r}); set it to 0, or server_kw.placement='split'"
  )


def _placement(*, server_kw, engine, hosts_kw):
  started = engine == 'vllm' and server_kw.placement != 'external'
  return (started and hosts_kw.count > 1) and (
    f'server_kw.placement={server_kw.placement!r} starts servers on one node, '
    f'not on hosts_kw.count={hosts_kw.count}; set server_kw.placement='
    "'external' and start them by siri-jax serve"
  )


def _kind(*, grading_rule_kw):
  kind = grading_rule_kw.get('kind', extract.KINDS[0])
  return kind not in extract.KINDS and (
    f'grading_rule_kw.kind={kind!r} is not one of {", ".join(extract.KINDS)}'
  )


def _offline(*, training_set, off_policy_steps, collect, hosts_kw):
  bad = [
    f'off_policy_steps={off_policy_steps}' * bool(off_policy_steps),
    f'collect={collect!r}' * (collect != 'once'),
    f'hosts_kw.count={hosts_kw.count}' * (hosts_kw.count > 1),
  ]
  bad = ', '.join(filter(None, bad))
  return (training_set and bad) and (
    f'training_set={training_set!r} samples once, in one process, and '
    f"{bad} has no meaning there; set off_policy_steps=0, collect='once' and "
    'hosts_kw.count=1'
  )


def _recorded(*, training_set, reward, advantage):
  if not training_set:
    return reward == 'recorded' and (
      "reward='recorded' is the weight in a training set; name one by "
      'training_set, or take another reward'
    )
  return (reward, advantage) != ('recorded', 'unchanged') and (
    f'training_set={training_set!r} has the weights of its responses, which '
    f'reward={reward!r} and advantage={advantage!r} do not read; set '
    "reward='recorded' and advantage='unchanged'"
  )


ALL = (
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
  _placement,
  _kind,
  _offline,
  _recorded,
)
