"""The settings of a run's updates, from its plan; uses no device."""

import jax
import jax.numpy as jnp

from siri_jax import compiled
from siri_jax.algorithm import optimizers, packing, update
from siri_jax.models import attention, flops, lora


def recipe_of(plan, shape, remat):
  """The update.UpdateConfig of a plan.

  Args:
    plan: plan.Plan.
    shape: the policy's decoder.ModelConfig.
    remat: a key of decoder.REMAT, from memory.choose_remat.
  """
  c = plan.c
  return update.UpdateConfig(
    shape=shape,
    loss=plan.find['loss'],
    extra=plan.extra,
    tx=optimizers.adamw(
      learning_rate=c.learning_rate,
      **c.optimizer_kw,
    ),
    attend=attention.IMPLEMENTATIONS[c.update_kw.attention],
    dtype=jnp.dtype(c.compute_dtype),
    remat=remat,
    param_sharding=c.update_kw.param_sharding,
    temperature=c.temperature,
    chunk=c.update_kw.logprob_chunk_tokens,
    off_policy=bool(c.off_policy_steps),
    adapters=lora.of(c.lora_kw),
  )


def fit_of(plan, shape):
  """The packing.PackingConfig of an update's rows."""
  c = plan.c
  return packing.PackingConfig(
    row_tokens=plan.row_tokens,
    sequences=attention.SEQUENCES,
    micro_batch_rows=c.update_kw.micro_batch_rows,
    devices=c.mesh_kw.data * c.mesh_kw.fsdp,
    cost=flops.forward(shape),
  )


def blank(recipe):
  """A TrainState of shapes and dtypes, without memory."""
  _, sizes = lora.param_shapes(recipe.shape, recipe.adapters)
  params = _arrays(sizes, jnp.float32)
  return jax.eval_shape(lambda p: compiled.new_state(p, recipe.tx), params)


def frozen(recipe):
  """The frozen parameters of its policy as shapes and dtypes."""
  sizes, _ = lora.param_shapes(recipe.shape, recipe.adapters)
  return _arrays(sizes, recipe.dtype)


def _arrays(sizes, dtype):
  return jax.tree.map(
    lambda size: jax.ShapeDtypeStruct(size, dtype),
    sizes,
    is_leaf=lambda x: isinstance(x, tuple),
  )
