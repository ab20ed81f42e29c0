"""The device that a run is planned for: its memory and its speed.

The speeds are assumptions, given as a range. No GPU has been measured yet.
"""

import functools
import math
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

from siri_jax.runtime import machine

# Peak TFLOP/s in bfloat16, without sparsity, and TB/s of memory. Source:
# NVIDIA's data sheets, SXM modules.
GPUS = {
  'H100': (989, 3.35),
  'H200': (989, 4.8),
  'A100': (312, 2.04),
  'B200': (2250, 8.0),
}
ASSUMED = 'H100'  # Of base.py; where a run is planned for GPUs that are absent.
SIZE = 768  # Of the matrices whose product measures a CPU.


class Device(NamedTuple):
  """One device; each range is (fast, slow).

  Attributes:
    name: for the report.
    gpu: whether it is one; else the CPU cores of this machine, taken as one.
    here: whether this machine has it.
    gb: its memory, GB.
    update: FLOP/s of an update.
    decode: FLOP/s of decoding.
    reads: bytes that decoding reads a second.
    step_secs: seconds of a decoding step besides reads and FLOPs.
    speed: the assumptions in words.
  """

  name: str
  gpu: bool
  here: bool
  gb: float
  update: tuple[float, float]
  decode: tuple[float, float]
  reads: tuple[float, float]
  step_secs: tuple[float, float]
  speed: str


def planned(c):
  """The Device of a config: this machine's, or the GPU that it names.

  A config that needs more devices than there are, or cuDNN, is planned for GPUs
  of update_kw.device_gb if there are none here.
  """
  here, *more = jax.local_devices()
  if here.platform == 'gpu':
    known = (name for name in GPUS if name in here.device_kind)
    gb = here.memory_stats()['bytes_limit'] / 1e9
    return _gpu(next(known, ASSUMED), here.device_kind, True, gb)
  mesh = math.prod(c.mesh_kw.values())
  if c.update_kw.attention == 'cudnn' or mesh > 1 + len(more):
    return _gpu(ASSUMED, ASSUMED, False, c.update_kw.device_gb)
  return _cpu()


def _gpu(kind, name, here, gb):
  peak, width = GPUS[kind]
  return Device(
    name=name,
    gpu=True,
    here=here,
    gb=gb,
    update=(0.45 * peak * 1e12, 0.12 * peak * 1e12),
    decode=(0.5 * peak * 1e12, 0.05 * peak * 1e12),
    reads=(0.85 * width * 1e12, 0.35 * width * 1e12),
    step_secs=(2.5e-3, 1e-2),
    speed=(
      f'updates at 12 to 45 % of {peak} TFLOP/s; sampling reads 35 to 85 % of '
      f'{width} TB/s, and 2.5 to 10 ms a decoding step'
    ),
  )


def _cpu():
  peak = matrix_product()
  return Device(
    name=f'{len(machine.cores())} CPU cores',
    gpu=False,
    here=True,
    gb=machine.free_bytes() / 1e9,
    update=(0.6 * peak, 0.2 * peak),
    decode=(0.4 * peak, 0.1 * peak),
    reads=(4e10, 5e9),
    step_secs=(5e-4, 2e-3),
    speed=(
      f'updates at 20 to 60 % and sampling at 10 to 40 % of {peak / 1e9:.0f} '
      'GFLOP/s, which a matrix product reached just now'
    ),
  )


@functools.cache
def matrix_product():
  """FLOP/s of a large float32 matrix product on this machine's CPU."""
  one = jax.random.normal(jax.random.key(0), (SIZE, SIZE))
  product = jnp.matmul(one, one).block_until_ready()  # Compiles it.
  began = time.perf_counter()
  for _ in range(4):
    product = jnp.matmul(one, product)
  product.block_until_ready()
  return 4 * 2 * SIZE**3 / (time.perf_counter() - began)
