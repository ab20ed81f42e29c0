"""What a config's model and problems weigh, read from its files or assumed.

A dry run fetches nothing. Of the models and sets that the shipped configs name,
the dimensions and sizes are known here; those of a model are also read from its
config.json, if the cache has that file alone.
"""

import numpy as np

from siri_jax.config import forecast
from siri_jax.data import hub_names, load
from siri_jax.models import decoder, rope
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import hub, initial

PROMPTS = 256  # Prompts that are encoded to estimate their length.
# Mean tokens of a DeepScaleR prompt with R1's chat template; the median is 85.
PROMPT_TOKENS = 100.0
_R1 = dict(head_dim=128, rope_theta=1e4, norm_eps=1e-6, tied=False, layers=28)
_R1 |= hf_config.FAMILIES['qwen2'].fields
# From the models' config.json, at the commits that configs/*.py name.
MODELS = {
  'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B': decoder.ModelConfig(
    vocab=151_936, dim=1536, heads=12, kv_heads=2, mlp=8960, **_R1
  ),
  'deepseek-ai/DeepSeek-R1-Distill-Qwen-7B': decoder.ModelConfig(
    vocab=152_064, dim=3584, heads=28, kv_heads=4, mlp=18_944, **_R1
  ),
  'deepseek-ai/DeepSeek-R1-Distill-Llama-8B': decoder.ModelConfig(
    **dict(vocab=128_256, layers=32, dim=4096, heads=32, kv_heads=8),
    **dict(head_dim=128, mlp=14_336, rope_theta=5e5, norm_eps=1e-5, tied=False),
    rope_scaling=rope.RopeScaling(factor=8.0, low=1.0, high=4.0, context=8192),
    **hf_config.FAMILIES['llama'].fields,
  ),
  'Qwen/Qwen3-1.7B': decoder.ModelConfig(
    **dict(vocab=151_936, layers=28, dim=2048, heads=16, kv_heads=8),
    **dict(head_dim=128, mlp=6144, rope_theta=1e6, norm_eps=1e-6, tied=True),
    **hf_config.FAMILIES['qwen3'].fields,
  ),
}
# Rows of the published sets.
SETS = {
  'agentica-org/DeepScaleR-Preview-Dataset': 40_315,
  'HuggingFaceH4/aime_2024': 30,
  'math-ai/aime25': 30,
  'math-ai/amc23': 40,
  'HuggingFaceH4/MATH-500': 500,
}


class UnknownError(ValueError):
  """Nothing is known of a model whose files are not in the cache."""


def of(c):
  """The forecast.Workload of a config; fetches nothing.

  Raises:
    UnknownError: the cache lacks its files, and its model is none of MODELS.
    ValueError: as load.load_task.
  """
  return assumed(c) if hub_names.absent(c) else of_task(c, *load.load_task(c))


def of_task(c, task, dropped):
  """The forecast.Workload of a types.Task; evenly spaced prompts are read."""
  some = task.train[:: -(-len(task.train) // PROMPTS)]
  return forecast.Workload(
    shape=initial.shape_of(c, task.vocab),
    prompt=float(np.mean([len(task.encode(problem)) for problem in some])),
    train=len(task.train),
    dropped=dropped,
    evals={name: len(held) for name, held in task.evals.items()},
  )


def assumed(c):
  """The forecast.Workload of a config before its files are fetched.

  Raises:
    UnknownError: says what to fetch.
  """
  names = {need.setting: need.name for need in hub_names.needs(c)}
  rows = {n: SETS.get(name.repo) for n, name in names.items()}
  sizes = {
    name: rows.get(f'task_kw.evals.{name}')
    for name, given in c.task_kw.get('evals', {}).items()
    if given
  }
  notes = [
    'Before the files are fetched: sizes of the problem sets as published, '
    f'prompts of {PROMPT_TOKENS:.0f} tokens.'
  ]
  unknown = [name for name, size in sizes.items() if size is None]
  if unknown:
    notes.append(f'Evaluations of {", ".join(unknown)} are not counted.')
  return forecast.Workload(
    shape=_shape(c, names.get('model_path')),
    prompt=PROMPT_TOKENS,
    train=rows.get('task_kw.train'),
    dropped=None,
    evals=sizes,
    notes=tuple(notes),
  )


def _shape(c, name):
  """The policy's decoder.ModelConfig without its tokenizer."""
  if c.policy == 'pretrained' and name:
    if file := hub.cached_file(name, 'config.json'):
      return hf_config.read_shape(file.parent)
    if name.repo in MODELS:
      return MODELS[name.repo]
    raise UnknownError(
      f'no memory and no cost: the dimensions of {name.repo} are not known. '
      f'`hf download {name.repo} config.json` fetches them (1 kB)'
    )
  if c.policy == 'pretrained':
    return hf_config.read_shape(initial.folder(c))
  raise UnknownError(
    'no memory and no cost: the tokenizer, which gives the vocabulary, is not '
    'in the cache'
  )
