"""vLLM's command line and environment for a server of a run."""

import json
import os
import pathlib
import sys

from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import initial
from siri_jax.rollout import placement, vllm_plugin

NAME = 'policy'  # Name of the model for clients.
CPU_CACHE_GB = 1  # Key-value cache; the tests' models need less.
ROOT = pathlib.Path(__file__).parents[2]


def misfit(c, task):
  """A message about a policy's shape that vLLM does not support, or ''."""
  shape = initial.shape_of(c, task.vocab)
  narrow = shape.heads * shape.head_dim == shape.dim
  if narrow or hf_config.model_type(shape) != 'qwen2':
    return ''
  return (
    f'head_dim={shape.head_dim} does not fit; for Qwen2 vLLM needs dim / '
    f'heads = {shape.dim} / {shape.heads}'
  )


def model_folder(c, task, made):
  """The model's folder: the config's, or `made` without weights."""
  if c.policy == 'pretrained':
    return initial.folder(c).resolve()
  config = hf_config.config_of(initial.shape_of(c, task.vocab))
  made.mkdir(parents=True, exist_ok=True)
  (made / 'config.json').write_text(json.dumps(config))
  return made.resolve()


def arguments(plan, model, *, host, port, gpus):
  """vLLM's command line.

  Args:
    plan: plan.Plan.
    model: `model_folder`.
    host: address to listen at.
    port: its port.
    gpus: the server's GPUs; () on a CPU.
  """
  c = plan.c
  longest = c.max_prompt_tokens + plan.longest
  return [
    c.server_kw.python or sys.executable,
    *('-m', 'vllm.entrypoints.openai.api_server'),
    *('--model', str(model)),
    *('--load-format', 'auto' if c.policy == 'pretrained' else 'dummy'),
    *('--served-model-name', NAME),
    *('--host', host),
    *('--port', str(port)),
    *('--dtype', c.compute_dtype),
    *('--max-model-len', str(longest)),
    *('--seed', str(c.seed)),
    *('--tensor-parallel-size', str(c.server_kw.tensor)),
    *('--data-parallel-size', str(c.server_kw.data)),
    *('--gpu-memory-utilization', str(c.server_kw.memory)),
    '--skip-tokenizer-init',
    *('--generation-config', 'vllm'),
    *('--logprobs-mode', 'processed_logprobs'),
    '--enable-scale-out',
    '--weight-transfer-config',
    json.dumps({'backend': vllm_plugin.BACKEND}),
    *('--middleware', 'siri_jax.rollout.vllm_plugin.auth.Guard'),
    *('--disable-access-log-for-endpoints', '/health,/metrics'),
    *_for_device(c, gpus),
  ]


def _for_device(c, gpus):
  """Arguments that apply only to GPUs, or only to a CPU."""
  if gpus:
    return ['--enable-sleep-mode'] * placement.sleeps(c.server_kw)
  # Compilation takes too long. vLLM 0.32 dies on a CPU when it reads a prompt
  # with a seed in two parts: `CPU Generator does not use offset`.
  return ['--enforce-eager', '--no-enable-chunked-prefill']


def environment(c, gpus):
  """vLLM's environment: its GPUs, routes for weights, and only our plug-in."""
  root = pathlib.Path(c.server_kw.folder)
  root.mkdir(parents=True, exist_ok=True)
  path = os.environ.get('PYTHONPATH', '')
  # XLA ends a process with a flag that it does not know, and another Python may
  # have another version.
  own = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  return {
    'VLLM_CPU_KVCACHE_SPACE': str(CPU_CACHE_GB),
    **own,
    **({'CUDA_VISIBLE_DEVICES': ','.join(gpus)} if gpus else {}),
    'PYTHONPATH': f'{ROOT}{os.pathsep}{path}' if path else str(ROOT),
    vllm_plugin.PUSHES: str(root.resolve()),
    'VLLM_SERVER_DEV_MODE': '1',
    'VLLM_PLUGINS': placement.PLUGIN,
    'VLLM_NO_USAGE_STATS': '1',
    'HF_HUB_OFFLINE': '1',
  }
