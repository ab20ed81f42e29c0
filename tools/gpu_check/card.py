"""Versions, the card, and its two ceilings: products and copies."""

import importlib.metadata
import platform
import shutil
import subprocess
import tempfile

import jax
import jax.numpy as jnp

from siri_jax.runtime import xla_flags
from tools.benchmarks import update_parts
from tools.gpu_check.findings import left_out, measured

PACKAGES = (
  *('jax', 'jaxlib', 'jax-cuda12-plugin', 'jax-cuda13-plugin', 'numpy'),
  *('flax', 'optax', 'orbax-checkpoint', 'grain', 'ml-collections', 'torch'),
  *('transformers', 'vllm', 'nvidia-cudnn-cu12', 'nvidia-cudnn-cu13'),
)
QUESTION = (
  '--query-gpu=name,driver_version,memory.total',
  '--format=csv,noheader',
)


def check(tiny):
  """Yields versions, devices, refused XLA flags, and the card's ceilings."""
  yield measured('Python', platform.python_version())
  for name in PACKAGES:
    try:
      yield measured(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
      yield left_out(name, 'not installed')
  if shutil.which('nvidia-smi'):
    found = subprocess.run(
      ['nvidia-smi', *QUESTION], capture_output=True, text=True, check=False
    )
    yield measured('nvidia-smi', (found.stdout or found.stderr).strip())
  devices = jax.devices()
  yield measured('devices', f'{len(devices)} of {devices[0].device_kind}')
  with tempfile.TemporaryDirectory() as cache:
    kept = xla_flags.accepted(xla_flags.GPU_FLAGS, cache)
  refused = [flag for flag in xla_flags.GPU_FLAGS if flag not in kept]
  yield measured('refused XLA flags', ' '.join(refused) or 'none')
  rate = update_parts.matmul_flops(jnp.bfloat16)
  yield measured('product of random bfloat16', rate / 1e12, 'TFLOP/s')
  yield measured('copy, read and written', copied(tiny) / 1e12, 'TB/s')


def copied(tiny):
  """Bytes a second of a copy that is larger than the caches."""
  size = 2**22 if tiny else 2**31  # float32: 8 GB on a GPU.
  x = jax.random.normal(jax.random.key(0), (size,))
  # Adding a number that the compiler does not know cannot be left out.
  secs = update_parts.timed(jax.jit(jnp.add), x, jnp.float32(1))
  return 2 * x.nbytes / secs
