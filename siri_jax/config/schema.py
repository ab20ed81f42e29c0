"""The rule of each setting, and every fault of a config's settings."""

import math

from siri_jax import plugins
from siri_jax.algorithm import optimizers, update
from siri_jax.config import contradictions, cost_model
from siri_jax.grading import pool
from siri_jax.models import lora, sharding
from siri_jax.models.hf import initial
from siri_jax.rollout import placement
from siri_jax.runtime import (
  alarms,
  checkpoint,
  credentials,
  distributed,
  writers,
)
from siri_jax.settings import (
  BINDINGS,
  FOLDER,
  LARGEST,
  NAME,
  NAMES,
  TEXT,
  errors,
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
  'limits_kw': BINDINGS,
  'hosts_kw': BINDINGS,
  'writers_kw': BINDINGS,
  'task': NAME,
  'task_kw': BINDINGS,
  'train_only': TEXT,
  'max_prompt_tokens': whole(1),
  'grading_rule': NAME,
  'grading_rule_kw': BINDINGS,
  'grader_kw': BINDINGS,
  'policy': one_of(*initial.KINDS),
  'model_path': TEXT,
  'model_kw': BINDINGS,
  'lora_kw': BINDINGS,
  'sft_kw': BINDINGS,
  'compute_dtype': one_of('float32', 'bfloat16'),
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
  'presample_kw': BINDINGS,
  'training_set': TEXT,
  'training_set_kw': BINDINGS,
  'budget': NAME,
  'budget_kw': BINDINGS,
  'collect': NAME,
  'collect_kw': BINDINGS,
  'reward': NAME,
  'reward_kw': BINDINGS,
  'text_rewards': NAMES,
  'text_rewards_kw': BINDINGS,
  'monitor_kw': BINDINGS,
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
  'alarms_kw': BINDINGS,
  'mesh_kw': BINDINGS,
  'update_kw': BINDINGS,
  'eval_kw': BINDINGS,
  'checkpoint_kw': BINDINGS,
  'record_kw': BINDINGS,
}


# Nested settings. Plug-ins check their own settings.
INNER = {
  'model_kw': initial.SETTINGS,
  'lora_kw': lora.SETTINGS,
  'optimizer_kw': optimizers.SETTINGS,
  'checkpoint_kw': checkpoint.SETTINGS,
  'limits_kw': {
    'stall_secs': real(0),
    'stop_secs': real(0),
    'max_skipped': whole(1),
  },
  'update_kw': update.SETTINGS,
  'record_kw': {'rollouts_every': whole(0), 'picture_every': whole(0)},
  'monitor_kw': {'every': whole(0), 'problems': whole(1)},
  'presample_kw': {
    'samples': whole(1),
    'problems': whole(0),
    'folder': TEXT,
  },
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
  'server_kw': placement.SETTINGS,
  'alarms_kw': alarms.SETTINGS,
  'mesh_kw': sharding.SETTINGS,
  'hosts_kw': distributed.SETTINGS,
  'writers_kw': writers.SETTINGS,
}


# Names in TRL, VeRL, DAPO and OpenRLHF -> the settings here.
OTHER_NAMES = {
  'lr': 'learning_rate',
  'actor_learning_rate': 'learning_rate',
  'batch_size': 'prompts_per_step',
  'train_batch_size': 'prompts_per_step',
  'rollout_batch_size': 'prompts_per_step',
  'per_device_train_batch_size': 'update_kw.micro_batch_rows',
  'micro_batch_size': 'update_kw.micro_batch_rows',
  'ppo_mini_batch_size': 'minibatches',
  'ppo_epochs': 'epochs',
  'num_iterations': 'epochs',
  'num_train_epochs': 'total_steps',
  'max_steps': 'total_steps',
  'steps': 'total_steps',
  'n': 'group_size',
  'num_generations': 'group_size',
  'n_samples_per_prompt': 'group_size',
  'max_completion_length': 'schedule_kw.high',
  'max_response_length': 'schedule_kw.high',
  'max_tokens': 'schedule_kw.high',
  'max_new_tokens': 'schedule_kw.high',
  'max_prompt_length': 'max_prompt_tokens',
  'kl_coef': 'loss_kw.beta with --config.loss=grpo_kl',
  'kl_loss_coef': 'loss_kw.beta with --config.loss=grpo_kl',
  'beta': 'loss_kw.beta with --config.loss=grpo_kl',
  'entropy_coeff': 'loss_kw.bonus with --config.loss=entropy_bonus',
  'clip_ratio': 'loss_kw.low',
  'clip_ratio_low': 'loss_kw.low',
  'clip_ratio_high': 'loss_kw.high',
  'epsilon': 'loss_kw.low',
  'epsilon_high': 'loss_kw.high',
  'loss_type': 'aggregation',
  'loss_agg_mode': 'aggregation',
  'adv_estimator': 'advantage',
  'scale_rewards': 'advantage',
  'reward_funcs': 'text_rewards',
  'reward_weights': 'text_rewards_kw',
  'custom_reward_function': 'text_rewards',
  'max_grad_norm': 'optimizer_kw.clip_norm',
  'grad_clip': 'optimizer_kw.clip_norm',
  'warmup_ratio': 'optimizer_kw.warmup_steps',
  'save_steps': 'checkpoint_kw.every',
  'save_freq': 'checkpoint_kw.every',
  'eval_steps': 'eval_kw.every',
  'test_freq': 'eval_kw.every',
  'lora_rank': 'lora_kw.rank',
  'lora_r': 'lora_kw.rank',
  'lora_alpha': 'lora_kw.alpha',
  'target_modules': 'lora_kw.targets',
  'lora_target_modules': 'lora_kw.targets',
  'model': 'model_path',
  'model_name': 'model_path',
  'model_name_or_path': 'model_path',
  'dataset': 'task_kw.train',
  'train_files': 'task_kw.train',
  'report_to': 'writers',
  'logger': 'writers',
  'dtype': 'compute_dtype',
  'use_vllm': 'engine',
  'output_dir': '--workdir',
}


def faults(config):
  """Every fault that can be found from the settings alone.

  Args:
    config: ConfigDict.
  Returns:
    list of messages, each with the setting, its value and allowed values:
    unknown, missing and invalid settings, then contradictions.
  """
  inner = {name: f'{key}.{name}' for key in INNER for name in INNER[key]}
  found = errors(config, RULES, other_names={**inner, **OTHER_NAMES})
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
  for contradiction in contradictions.ALL:
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
