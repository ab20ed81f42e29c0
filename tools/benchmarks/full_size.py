"""Shapes, meshes and the update config that the benchmarks share."""

import functools

import jax.numpy as jnp

from siri_jax.algorithm import losses, optimizers, update
from siri_jax.models import decoder

_LIKE = dict(head_dim=128, rope_theta=1e4, norm_eps=1e-6, tied=False, layers=28)
_LIKE |= dict(qkv_bias=True, qk_norm=False)
# DeepSeek-R1-Distill-Qwen 1.5B and 7B, and one small enough for a laptop.
SHAPES = {
  '1.5b': decoder.ModelConfig(
    vocab=151_936, dim=1536, heads=12, kv_heads=2, mlp=8960, **_LIKE
  ),
  '7b': decoder.ModelConfig(
    vocab=152_064, dim=3584, heads=28, kv_heads=4, mlp=18_944, **_LIKE
  ),
  'tiny': decoder.ModelConfig(
    vocab=4096,
    dim=256,
    heads=8,
    kv_heads=2,
    mlp=1024,
    **{**_LIKE, 'head_dim': 32, 'layers': 4},
  ),
}
# All GPUs of one node of eight, and of two.
MESHES = {
  '1.5b': dict(data=1, fsdp=8, tensor=1),
  '7b': dict(data=2, fsdp=8, tensor=1),
}


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
    param_sharding=c.param_sharding,
    temperature=c.temperature,
    chunk=c.logprob_chunk_tokens,
  )
  return update.UpdateConfig(**{**given, **changes})
