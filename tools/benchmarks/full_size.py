"""Shapes, meshes and the update config that the benchmarks share."""

import functools

import jax.numpy as jnp
import numpy as np

from siri_jax.algorithm import losses, optimizers, update
from siri_jax.data import workload
from siri_jax.models import decoder

PROMPT = 150  # Tokens of a prompt, in the mean of DeepScaleR's.
# DeepSeek-R1-Distill-Qwen 1.5B and 7B, the models of the other families, and
# one small enough for a laptop.
_R1 = 'deepseek-ai/DeepSeek-R1-Distill-'
SHAPES = {
  '1.5b': workload.MODELS[f'{_R1}Qwen-1.5B'],
  '7b': workload.MODELS[f'{_R1}Qwen-7B'],
  'qwen3-1.7b': workload.MODELS['Qwen/Qwen3-1.7B'],
  'llama-8b': workload.MODELS[f'{_R1}Llama-8B'],
  'tiny': decoder.ModelConfig(
    vocab=4096,
    layers=4,
    dim=256,
    heads=8,
    kv_heads=2,
    head_dim=32,
    mlp=1024,
    rope_theta=1e4,
    norm_eps=1e-6,
    tied=False,
    qkv_bias=True,
    qk_norm=False,
  ),
}
# All GPUs of one node of eight, and of two.
MESHES = {
  '1.5b': dict(data=1, fsdp=8, tensor=1),
  '7b': dict(data=2, fsdp=8, tensor=1),
  'qwen3-1.7b': dict(data=1, fsdp=8, tensor=1),
  'llama-8b': dict(data=2, fsdp=8, tensor=1),
}


def sequences(c, count):
  """Tokens of prompts with the responses that a config assumes, int [count].

  Responses are lognormal, cut at the highest cap.

  Args:
    c: ConfigDict.
    count: number of sequences.
  """
  mean, median = c.uncapped_length_kw.mean, c.uncapped_length_kw.median
  spread = np.sqrt(2 * np.log(mean / median))
  drawn = np.random.default_rng(0).lognormal(np.log(median), spread, count)
  return PROMPT + np.clip(drawn, 1, c.schedule_kw.high).astype(int)


def recipe_of(c, shape, **changes):
  """The update of configs/base.py for a shape, with some fields changed."""
  given = dict(
    shape=shape,
    loss=functools.partial(losses.clip_higher, **c.loss_kw.to_dict()),
    extra=(),
    tx=optimizers.adamw(
      learning_rate=c.learning_rate,
      **c.optimizer_kw,
    ),
    dtype=jnp.dtype(c.compute_dtype),
    param_sharding=c.update_kw.param_sharding,
    temperature=c.temperature,
    chunk=c.update_kw.logprob_chunk_tokens,
  )
  return update.UpdateConfig(**{**given, **changes})
