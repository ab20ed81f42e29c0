"""A real vLLM server on this machine's CPU, for tests.

bash tools/test_vllm.sh makes its environment and runs these tests. They are
skipped if SIRI_VLLM_PYTHON is not set to its Python.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import launch
import pytest

from siri_jax.rollout import http_client

PYTHON = os.environ.get('SIRI_VLLM_PYTHON', '')
NEEDED = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not PYTHON,
    reason='needs a vLLM server: bash tools/test_vllm.sh makes one (4 GB)',
  ),
]
TINY = 'tests/helpers/tiny.py'
# On a CPU vLLM needs heads of width 32 or more.
CHANGES = (
  '--config.engine=vllm',
  '--config.model_kw.head_dim=32',
  '--config.model_kw.dim=64',
  '--config.server_kw.patience_secs=60.0',
)
READY = re.compile(r'^READY: .* until the first push$', re.M)


def free_port():
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return free.getsockname()[1]


def told(folder, port, *more):
  """Arguments of a run and its server, with a shared folder and port."""
  return (
    *more,
    f"--config.server_kw.urls=('http://127.0.0.1:{port}',)",
    f'--config.server_kw.folder={folder / "pushes"}',
  )


@contextlib.contextmanager
def process_of(folder, *words):
  """A context with a process, ended at its end; said() is its output."""
  with open(folder / 'log', 'w') as log:
    process = subprocess.Popen(
      words,
      cwd=launch.ROOT,
      stdout=log,
      stderr=subprocess.STDOUT,
      env={k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'},
    )
  process.said = lambda: (folder / 'log').read_text(errors='replace')
  try:
    yield process
  finally:
    process.terminate()
    process.wait()


def wait_until(process, happens):
  """Waits until something happens; polls seldom, because starts are slow."""
  while not happens():
    assert process.poll() is None, process.said()[-3000:]
    time.sleep(0.5)


@contextlib.contextmanager
def serving(folder, *more, before=(), config=TINY, changes=CHANGES):
  """Arguments of a run with a ready server, its process, a Connection."""
  port = free_port()
  words = told(folder, port, *changes, *more)
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(http_client.KEY, 'a key of the tests')
    serve = ('siri_jax.commands.serve', f'--config={config}')
    start = [*before, PYTHON, '-m', *serve, *words, f'--port={port}']
    with process_of(folder, *start) as process:
      wait_until(process, lambda: READY.search(process.said()))
      yield words, process, http_client.Connection(f'http://127.0.0.1:{port}')


@contextlib.contextmanager
def opened(folder, model):
  """A Connection to a plain vLLM of a model's folder, without our plug-in."""
  port = free_port()
  words = ('vllm.entrypoints.openai.api_server', '--model', str(model))
  more = ('--dtype', 'float32', '--enforce-eager', '--max-model-len', '128')
  line = http_client.Connection(f'http://127.0.0.1:{port}')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('VLLM_CPU_KVCACHE_SPACE', '1')
    at = ('--host', '127.0.0.1', '--port', str(port))
    with process_of(folder, PYTHON, '-m', *words, *more, *at) as process:
      wait_until(process, lambda: healthy(line))
      yield line


def healthy(line):
  with contextlib.suppress(http_client.ServerError):
    line.ask('GET', '/health')
    return True
  return False


def group_of(line):
  """The process group of a server, and its command line."""
  port = line.url.rpartition(':')[2].encode()
  found = {}
  for path in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):  # It has ended.
      words = (path / 'cmdline').read_bytes().split(b'\0')
      found[int(path.name)] = words, os.getpgid(int(path.name))
  (server,) = [
    pid for pid, (words, _) in found.items() if {b'--port', port} <= {*words}
  ]
  return server, {
    pid: words[0] for pid, (words, group) in found.items() if group == server
  }


def kill(line):
  """Kills all of a server's processes."""
  os.killpg(group_of(line)[0], signal.SIGKILL)


def stop_worker(line):
  """Stops the process with the weights; returns a function that kills it."""
  _, names = group_of(line)
  (worker,) = [pid for pid, name in names.items() if b'Worker' in name]
  os.kill(worker, signal.SIGSTOP)
  return lambda: os.kill(worker, signal.SIGKILL)
