"""XLA's compiler for H100s, on a machine without GPUs.

It needs only the plug-in of jax[cuda12]. It picks kernels by rules, because
autotuning needs a GPU, and does not count cuDNN's workspace.
"""

import contextlib
import importlib.util
from unittest import mock

from jax.experimental import topologies
from jax.experimental.pallas import triton

PLUGIN = 'jax_plugins.xla_cuda12'
# The device properties that the compiler reads, from XLA's description of an
# H100 SXM. device_memory_size is larger than real, so that the compiler does
# not change a program to fit and hide the memory it needs.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 500000000000
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
NODE = 8  # GPUs.


def installed():
  """Whether the plug-in is installed."""
  try:
    return importlib.util.find_spec(PLUGIN) is not None
  except ModuleNotFoundError:
    return False


def h100s(count):
  """Descriptions of `count` H100s in nodes of NODE, for compilation only."""
  nodes, each = max(1, count // NODE), min(count, NODE)
  topology = topologies.get_topology_desc(
    platform='cuda', target_config=H100, topology=f'1x{nodes}x{each}'
  )
  return topology.devices


def with_cudnn():
  """A context in which JAX assumes cuDNN and a Hopper GPU."""
  # JAX would query a real GPU, and the machine has none.
  return mock.patch.multiple(
    'jax._src.cudnn.fused_attention_stablehlo',
    check_cudnn_version=lambda: 91_000,
    check_compute_capability=lambda _: True,
  )


def with_triton():
  """A context in which Pallas assumes an H100."""
  if not hasattr(triton, 'GpuVersion'):  # An earlier JAX does not ask.
    return contextlib.nullcontext()
  h100 = triton.get_gpu_info_from_version(triton.GpuVersion.H100)
  return mock.patch(
    'jax._src.pallas.triton.gpu_info.get_gpu_info', return_value=h100
  )
