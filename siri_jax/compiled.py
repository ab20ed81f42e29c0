"""The only jax.jit: every compiled program of a run, built once."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from siri_jax import types
from siri_jax.algorithm import update
from siri_jax.models import (
  decode,
  decode_attention,
  decoder,
  hf_names,
  lora,
  sharding,
)


class Programs(NamedTuple):
  """The compiled programs of a run.

  The first argument of update, logprobs, export and publish is the policy's
  frozen parameters, until `with_frozen` binds it.

  Attributes:
    cap: (step, types.CapState, types.StepSummary of the step before) -> int32
      [], the step's cap, and the next state.
    update: one optimiser step, see update.update; donates the state.
    logprobs: log-probabilities of rows and sums over them, see
      update.compute_logprobs.
    export: trained parameters -> a copy of the policy for decoding, replicated
      on every device.
    publish: trained parameters -> the policy in Hugging Face's layout, see
      hf_names.export, sharded over devices.
    start: decode.prefill.
    advance: decode.decode_steps; donates the state.
    shrink: decode.shrink, to the first of decode.stages.
  """

  cap: Callable
  update: Callable
  logprobs: Callable
  export: Callable
  publish: Callable
  start: Callable
  advance: Callable
  shrink: Callable


def build(
  schedule,
  recipe,
  layout,
  *,
  eos_ids,
  columns,
  max_concurrent,
  decode_steps,
  attention=decode_attention.DENSE,
):
  """Builds the programs; each is compiled at its first call.

  Args:
    schedule: plan.Plan.schedule.
    recipe: update.UpdateConfig.
    layout: sharding.Layout.
    eos_ids: ids that end a response.
    columns: tokens of the longest response that may be requested.
    max_concurrent: sequences that the embedded engine decodes at a time.
    decode_steps: decoding steps in one call of the compiled program.
    attention: decode_attention.Attention of the embedded engine.
  Returns:
    Programs.
  """
  shape = recipe.shape
  start = functools.partial(
    decode.prefill,
    shape=shape,
    slots=max_concurrent,
    columns=columns,
    block=attention.block,
  )
  advance = functools.partial(
    decode.decode_steps,
    shape=shape,
    eos_ids=eos_ids,
    stretch=decode_steps,
    attend=attention.attend,
  )
  fewer = decode.stages(max_concurrent)[0]
  shrink = functools.partial(decode.shrink, slots=fewer)
  policy, whole = (layout.frozen, layout.state.params), layout.whole
  tensors = hf_names.sources(shape).values()
  return Programs(
    cap=jax.jit(schedule),
    update=compile_update(recipe, layout),
    logprobs=compile_logprobs(recipe, layout),
    export=jax.jit(
      functools.partial(_copy, recipe=recipe),
      in_shardings=policy,
      out_shardings=whole,
    ),
    publish=jax.jit(
      functools.partial(_publish, recipe=recipe),
      in_shardings=policy,
      out_shardings={
        name: sharding.spread(layout.mesh, size)
        for name, size in hf_names.exported_shapes(tensors).items()
      },
    ),
    start=jax.jit(start),
    advance=jax.jit(advance, donate_argnums=2),
    shrink=jax.jit(shrink),
  )


def with_frozen(programs, frozen):
  """Programs that read the policy's frozen parameters, {} without adapters."""
  reading = ('update', 'logprobs', 'export', 'publish')
  bound = {
    name: functools.partial(getattr(programs, name), frozen) for name in reading
  }
  return programs._replace(**bound)


def compile_update(recipe, layout):
  """Only the update, for SFT and GRPO."""
  state, rows, whole = layout.state, layout.rows, layout.whole
  return jax.jit(
    functools.partial(update.update, recipe=recipe, layout=layout),
    in_shardings=(layout.frozen, state, rows, whole, whole, whole, whole),
    out_shardings=(state, whole),
    donate_argnums=1,
  )


def compile_logprobs(recipe, layout):
  """The log-probabilities of rows, and sums over them, alone."""
  return jax.jit(
    functools.partial(update.compute_logprobs, recipe=recipe, layout=layout),
    in_shardings=(
      *(layout.frozen, layout.state.params),
      *(layout.rows, layout.whole),
    ),
    out_shardings=(layout.rows, layout.whole),
  )


def new_state(params, tx):
  """types.TrainState at step 0."""
  zeros = [jnp.zeros((), jnp.int32) for _ in range(3)]
  return types.TrainState(params, jax.jit(tx.init)(params), *zeros)


def init_state(params, tx, layout):
  """A sharded types.TrainState at step 0.

  Args:
    params: the parameters, sharded as in the layout; they are copied.
    tx: optax transformation.
    layout: sharding.Layout.
  """

  def start(params):
    return new_state(jax.tree.map(jnp.copy, params), tx)

  return jax.jit(start, out_shardings=layout.state)(params)


def evaluated(f, *args):
  """A function's result, computed by one program where its arrays are."""
  return jax.jit(f)(*args)


def compile_count(steps):
  """Number of compiled programs; it should not rise during a run."""
  # Those of `with_frozen` are bound.
  jitted = [getattr(program, 'func', program) for program in steps]
  return sum(program._cache_size() for program in jitted)


def _copy(frozen, params, *, recipe):
  # A copy even if the dtype is the same, because the update donates its input.
  policy = lora.merged(frozen, params, recipe.adapters)
  return jax.tree.map(
    lambda x: jnp.array(x, recipe.dtype, copy=True), decoder.unstacked(policy)
  )


def _publish(frozen, params, *, recipe):
  policy = lora.merged(frozen, params, recipe.adapters)
  return hf_names.export(policy, recipe.dtype)
