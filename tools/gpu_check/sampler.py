"""Speed of the embedded sampler."""

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from siri_jax.models import decode, decoder
from tools.benchmarks import full_size
from tools.gpu_check.findings import failed, measured

# Sequences at a time, and tokens of the longest response.
SIZES = ((64, 2048), (256, 2048), (64, 16_384))
TINY = ((4, 32),)


def check(tiny):
  """Yields tokens a second, and the seconds of compilation, of each size."""
  shape = full_size.SHAPES['tiny' if tiny else '1.5b']
  shape = dataclasses.replace(shape, layers=1 if tiny else shape.layers)

  @jax.jit
  def draw(key):
    params = decoder.unstacked(decoder.init(key, shape=shape))
    return jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)

  params = draw(jax.random.key(0))
  for slots, columns in TINY if tiny else SIZES:
    what = f'{slots} slots of {columns:,} tokens'
    try:
      first, secs, stretch = decoded(params, shape, slots, columns, tiny)
    except jax.errors.JaxRuntimeError as error:  # Such as out of memory.
      yield failed(what, str(error).partition('\n')[0][:200])
      continue
    yield measured(f'{what}: first call', first, 's')
    yield measured(f'{what}: a step', 1e3 * secs / stretch, 'ms')
    yield measured(what, slots * stretch / secs, 'tokens/s')


def decoded(params, shape, slots, columns, tiny):
  """(seconds of the first calls, of a later call, steps in a call).

  No token ends a response, so that all slots are busy.
  """
  prompt, stretch = (16, 16) if tiny else (160, 128)
  ask = requests(shape, slots, prompt, columns)
  start = jax.jit(
    functools.partial(decode.prefill, shape=shape, slots=slots, columns=columns)
  )
  go_on = jax.jit(
    functools.partial(
      decode.decode_steps,
      shape=shape,
      eos_ids=(shape.vocab,),
      stretch=stretch,
    ),
    donate_argnums=2,
  )
  secs = []
  began = time.monotonic()
  progress = start(params, ask)
  for _ in range(3):
    progress = jax.block_until_ready(go_on(params, ask, progress))
    secs.append(time.monotonic() - began)
    began = time.monotonic()
  return secs[0], min(secs[1:]), stretch


def requests(shape, count, prompt, cap):
  """decode.Requests for one response to each of `count` random prompts."""
  rng = np.random.default_rng(0)
  prompts = rng.integers(0, shape.vocab, (count, prompt), np.int32)
  order = np.arange(count, dtype=np.uint32)
  return decode.Requests(
    prompts=prompts,
    prompt_length=np.full(count, prompt, np.int32),
    prompt_count=np.int32(count),
    prompt_of=order.astype(np.int32),
    identity=np.stack([order, np.zeros_like(order)], 1),
    count=np.int32(count),
    seeds=np.zeros(2, np.uint32),
    cap=np.full(count, cap, np.int32),
    temperature=np.float32(1),
    top_p=np.float32(1),
    top_k=np.int32(0),
  )
