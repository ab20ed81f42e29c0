"""Speed of the embedded sampler."""

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from siri_jax.models import decode, decode_attention, decoder
from tools.benchmarks import full_size
from tools.gpu_check.findings import checked, failed, measured

# Sequences at a time, and tokens of the longest response. Few tokens are in the
# cache, so that the kernel takes as long for a long cache as for a short one.
SIZES = ((64, 2048), (64, 16_384), (256, 2048))
TINY = ((4, 32),)


def check(tiny):
  """Yields the kernel's distance, and tokens a second of each size."""
  shape = full_size.SHAPES['tiny' if tiny else '1.5b']
  shape = dataclasses.replace(shape, layers=1 if tiny else shape.layers)

  @jax.jit
  def draw(key):
    params = decoder.unstacked(decoder.init(key, shape=shape))
    return jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)

  params = draw(jax.random.key(0))
  sizes, kernel = TINY if tiny else SIZES, None
  if jax.default_backend() == 'gpu':
    try:
      kernel, found = distances()
      yield from found
    except Exception as error:
      yield failed("decoding's kernel", str(error).partition('\n')[0][:200])
  runs = [(size, kernel) for size in sizes if kernel]
  runs += [(size, decode_attention.DENSE) for size in sizes]
  for size, attention in runs:
    slots, columns = size
    what = f'{slots} slots of {columns:,} tokens'
    if attention == kernel:
      what += ', reading what is filled'
    try:
      first, secs, stretch = decoded(params, shape, size, attention, tiny)
    except jax.errors.JaxRuntimeError as error:  # Such as out of memory.
      yield failed(what, str(error).partition('\n')[0][:200])
      continue
    yield measured(f'{what}: first call', first, 's')
    yield measured(f'{what}: a step', 1e3 * secs / stretch, 'ms')
    yield measured(what, slots * stretch / secs, 'tokens/s')


def distances():
  """The kernel, and its distances from the reference."""
  from siri_jax.models import ragged_attention

  findings = []
  for heads, kv_heads in ((12, 2), (28, 4)):  # Of the 1.5B and the 7B.
    found = decode_attention.distance(
      ragged_attention.RAGGED,
      heads=heads,
      kv_heads=kv_heads,
      width=128,
      dtype=jnp.dtype('bfloat16'),
    )
    findings.append(
      checked(
        f"decoding's kernel against the reference, {heads}/{kv_heads} heads",
        found,
        'of the largest value',
        at_most=decode_attention.TOLERANCE,
      )
    )
  return ragged_attention.RAGGED, findings


def decoded(params, shape, size, attention, tiny):
  """(seconds of the first calls, of a later call, steps in a call).

  No token ends a response, so that all slots are busy.
  """
  prompt, stretch = (16, 16) if tiny else (160, 128)
  slots, columns = size
  ask = requests(shape, slots, prompt, columns)
  start = jax.jit(
    functools.partial(
      decode.prefill,
      shape=shape,
      slots=slots,
      columns=columns,
      block=attention.block,
    )
  )
  go_on = jax.jit(
    functools.partial(
      decode.decode_steps,
      shape=shape,
      eos_ids=(shape.vocab,),
      stretch=stretch,
      attend=attention.attend,
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
