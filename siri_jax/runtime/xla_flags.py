"""XLA's flags and caches, to be set before JAX uses a device."""

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import jax

from siri_jax.runtime import files

# For GPUs: overlap of communication and computation. Source: MaxText's and
# JAX-Toolbox's settings for H100s, without their thresholds for combining
# transfers. With those, a layer has one transfer, and in the programs compiled
# for H100s no computation is left to overlap with it. Not timed yet.
GPU_FLAGS = (
  '--xla_gpu_enable_latency_hiding_scheduler=true',
  '--xla_gpu_enable_triton_gemm=false',
  '--xla_gpu_enable_while_loop_double_buffering=true',
  '--xla_gpu_enable_pipelined_all_gather=true',
  '--xla_gpu_enable_pipelined_reduce_scatter=true',
)
# For CPUs: fewer kernels, each for several outputs, and less code of each.
# Measured with JAX 0.10 in tools/benchmarks/BENCHMARKS.md; a later XLA fuses so
# by itself and ignores the first option. Results change by the last bits.
CPU_FLAG = (
  '--xla_backend_extra_options='
  'xla_cpu_use_multi_output_fusion=true,xla_cpu_disable_loop_unrolling=true'
)
PLUGINS = ('jax_cuda12_plugin', 'jax_cuda13_plugin')


def set_up(cache_dir):
  """Sets flags and the cache of compiled programs.

  Args:
    cache_dir: the config's setting.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  cache = pathlib.Path(cache_dir).resolve()
  jax.config.update('jax_compilation_cache_dir', str(cache / 'compiled'))
  # Also programs that compile fast: a start has about eighty of them.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  wants_gpu = jax.config.jax_platforms in (None, '') or (
    'cuda' in jax.config.jax_platforms
  )
  if wants_gpu and any(map(importlib.util.find_spec, PLUGINS)):
    os.environ.setdefault('XLA_PYTHON_CLIENT_MEM_FRACTION', '0.92')
    flags = [CPU_FLAG, *accepted(GPU_FLAGS, cache)]
  else:
    flags = [CPU_FLAG]
  own = os.environ.get('XLA_FLAGS', '')
  if own and not own.startswith('-'):
    return  # A file of flags.
  # The user's flags come last and override ours.
  ours = [flag for flag in flags if flag not in own.split()]
  os.environ['XLA_FLAGS'] = ' '.join([*ours, own]).strip()


def accepted(flags, cache):
  """The flags that the installed XLA knows.

  XLA ends a process with an unknown flag, so a child process tries them. The
  result is cached with the version of jaxlib.

  Args:
    flags: flags for XLA_FLAGS.
    cache: folder of the cache.
  """
  path = pathlib.Path(cache, 'xla_flags.json')
  question = [jax.lib.__version__, *flags]
  # A damaged or missing file counts as no result.
  with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
    kept = json.loads(path.read_text())
    if kept['question'] == question:
      return kept['answer']
  child = subprocess.run(
    [sys.executable, '-c', 'import jax; jax.devices()'],
    env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ' '.join(flags)},
    capture_output=True,
    text=True,
    check=False,
  )
  unknown = re.findall(r'Unknown flags? in XLA_FLAGS: (.*)', child.stderr)
  if child.returncode and not unknown:
    return []  # The child failed; use no flags.
  refused = set(' '.join(unknown).split())
  answer = [flag for flag in flags if flag not in refused]
  path.parent.mkdir(parents=True, exist_ok=True)
  kept = {'question': question, 'answer': answer}
  files.write_atomically(path, json.dumps(kept).encode())
  return answer
