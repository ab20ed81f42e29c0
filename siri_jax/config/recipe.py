"""What a run's updates are made of, from its plan: no device, no memory yet."""

import jax
import jax.numpy as jnp

from siri_jax import compiled
from siri_jax.algorithm import optimizers, packing, update
from siri_jax.config import memory
from siri_jax.models import attention, flops, qwen2, sharding


def recipe_of(plan, shape):
  """The update.UpdateConfig of a plan for a policy's qwen2.ModelConfig."""
  return _recipe(plan, shape, plan.c.remat or chosen(plan, shape))


def fit_of(plan, shape):
  """How sequences are fitted into the rows of an update."""
  c = plan.c
  return packing.PackingConfig(
    row_tokens=plan.row_tokens,
    sequences=attention.SEQUENCES,
    micro_batch_rows=c.micro_batch_rows,
    devices=c.mesh_kw.data * c.mesh_kw.fsdp,
    cost=flops.forward(shape),
  )


def blank(recipe):
  """A TrainState of shapes and dtypes, with no memory behind it."""
  params = jax.tree.map(
    lambda size: jax.ShapeDtypeStruct(size, jnp.float32),
    qwen2.param_shapes(recipe.shape),
    is_leaf=lambda x: isinstance(x, tuple),
  )
  return jax.eval_shape(lambda p: compiled.new_state(p, recipe.tx), params)


def chosen(plan, shape):
  """The remat policy of a plan that names none, see memory.best."""
  return memory.best(estimates(plan, shape), plan.c.device_gb)


def estimates(plan, shape):
  """Key of qwen2.REMAT -> memory.estimate of the plan's update.

  Raises:
    ValueError: an array of the policy does not divide over the mesh.
  """
  recipe, fit = _recipe(plan, shape, 'full'), fit_of(plan, shape)
  state = blank(recipe)
  layout = sharding.layout(sharding.abstract_mesh(**plan.c.mesh_kw), state)
  # All of a step's rows are on the devices: to learn from, or only to read.
  micro_batches = -(-2 * plan.samples // fit.micro_batch_rows)
  return memory.estimates(recipe, layout, state, fit, micro_batches)


def misfit(plan, shape):
  """A warning where an update is not expected to fit a device, else ''."""
  remat, limit = plan.c.remat or chosen(plan, shape), plan.c.device_gb
  parts = estimates(plan, shape)[remat]
  if memory.fits(parts, limit):
    return ''
  return (
    f'WARNING: an update is estimated to need {memory.total(parts) / 1e9:.3g} '
    f'GB of a device, with remat={remat!r}; device_gb={limit:g} less a tenth '
    'is what there is. --dry_run shows what takes it. More devices in '
    'mesh_kw.fsdp take a share each'
  )


def _recipe(plan, shape, remat):
  c = plan.c
  return update.UpdateConfig(
    shape=shape,
    loss=plan.find['loss'],
    extra=plan.extra,
    tx=optimizers.adamw(
      learning_rate=c.learning_rate,
      **c.optimizer_kw,
    ),
    attend=attention.IMPLEMENTATIONS[c.attention],
    dtype=jnp.dtype(c.compute_dtype),
    remat=remat,
    param_sharding=c.param_sharding,
    temperature=c.temperature,
    chunk=c.logprob_chunk_tokens,
    off_policy=bool(c.off_policy_steps),
  )
