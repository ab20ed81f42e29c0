"""A fake vLLM server that draws at random and fails on request.

Its samples are a function of the request's seed. `faults[path]` lists faults of
the next requests of that path: a status, bytes to return, or a function
(handler, right answer) -> another answer, None for no answer.

As a program it stands in for a Python that runs vLLM, see `python`.
"""

import collections
import contextlib
import http.server
import itertools
import json
import os
import pathlib
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.parse

import numpy as np

# JAX is imported where it is needed: a program starts in a tenth of the time.
GENERATE, UPDATE = '/inference/v1/generate', '/update_weights'
LOGP = -0.5  # The log-probability that it returns for every token.


class Handler(http.server.BaseHTTPRequestHandler):
  """Handles one request."""

  def do_GET(self):
    self._answer(urllib.parse.urlsplit(self.path).path, None)

  def do_POST(self):
    data = self.rfile.read(int(self.headers['Content-Length'] or 0))
    body = json.loads(data) if data else None
    self._answer(urllib.parse.urlsplit(self.path).path, body)

  def _answer(self, path, body):
    fake = self.server.fake
    fake.asked.append((path, body))
    fault = fake.faults[path].popleft() if fake.faults[path] else None
    if isinstance(fault, int):
      return self.send(b'{"error": "on order"}', fault)
    if isinstance(fault, bytes):
      return self.send(fault)
    answer = fake.answer(path, body)
    if fault:
      answer = fault(self, answer)
    if isinstance(answer, str):
      self.send(answer.encode())
    elif answer is not None:
      self.send(json.dumps(answer).encode(), 200 if answer != 404 else 404)

  def send(self, data, status=200):
    # The client may have closed the connection.
    with contextlib.suppress(OSError):
      self.send_response(status)
      self.send_header('Content-Length', str(len(data)))
      self.end_headers()
      self.wfile.write(data)

  def log_message(self, *_):
    pass


class Server(http.server.ThreadingHTTPServer):
  """Its threads do not keep a test from ending."""

  daemon_threads = True
  request_queue_size = 64

  def handle_error(self, *_):
    pass


class Fake:
  """The server's state.

  Attributes:
    label: label of its weights.
    paused, asleep: its state.
    tokens: its counter of sampled tokens.
    asked: (path, body) of each request.
    faults: path -> faults of the next requests.
    lacks: paths without a route.
  """

  def __init__(self, vocab=19, port=0):
    self.label, self.tokens = 'default', 0
    self.paused = self.asleep = False
    self.asked, self.lacks = [], set()
    self.faults = collections.defaultdict(collections.deque)
    self._vocab, self._port, self._server = vocab, port, None

  @property
  def url(self):
    return f'http://127.0.0.1:{self._port}'

  def up(self):
    """Starts to listen, always on the same port."""
    self._server = Server(('127.0.0.1', self._port), Handler)
    self._server.fake, self._port = self, self._server.server_port
    wait = dict(poll_interval=0.01)
    threading.Thread(target=self._server.serve_forever, kwargs=wait).start()

  def down(self):
    """Refuses connections from now on."""
    self._server.shutdown()
    self._server.server_close()

  def restart(self):
    """Resets the state as a restart does."""
    self.label, self.tokens = 'default', 0
    self.paused = self.asleep = False

  def paths(self):
    return [path for path, _ in self.asked]

  def answer(self, path, body):
    """The response of a healthy server."""
    if path in self.lacks:
      return 404
    if self.asleep and path in (GENERATE, '/v1/completions', UPDATE):
      return 404  # A real server would hang or crash.
    if path == GENERATE:
      return {'choices': self.choices(body['token_ids'], body)}
    if path == '/v1/completions':
      body = {'sampling_params': body, 'token_ids': body['prompt']}
      return {'choices': self.choices(body['token_ids'], body)}
    if path in ('/sleep', '/wake_up'):
      self.asleep = path == '/sleep'
    if path in ('/pause', '/resume'):
      self.paused = path == '/pause'
    if path == '/finish_weight_update':
      self.label = body['weight_version']
    return {
      '/weight_info': {'weight_version': self.label},
      '/v1/models': {'data': [{'id': 'policy', 'root': '/models/policy'}]},
      '/metrics': f'vllm:generation_tokens_total{{engine="0"}} {self.tokens}\n',
    }.get(path, {})

  def choices(self, prompt, body):
    """Random responses, a function of the seed and the prompt."""
    del prompt
    asked = body['sampling_params']
    found = []
    for index in range(asked['n']):
      rng = np.random.default_rng(asked['seed'] + index)
      size = int(rng.integers(1, 2 * asked['max_tokens']))
      cut = size > asked['max_tokens']
      size = min(size, asked['max_tokens'])
      (eos,) = asked['stop_token_ids']
      ids = rng.integers(0, self._vocab - 1, size)
      ids = (ids + (ids >= eos)).tolist()  # Any except the end token.
      if not cut:
        ids[-1] = eos
      self.tokens += size
      told = [{'token_id': i, 'logprob': LOGP} for i in ids]
      found.append(
        {
          'index': index,
          'token_ids': ids,
          'finish_reason': 'length' if cut else 'stop',
          'weight_versions': [{'version': self.label, 'start': 0, 'end': size}],
          'logprobs': None if asked['logprobs'] is None else {'content': told},
        }
      )
    return found[::-1]


@contextlib.contextmanager
def serving(fake=None):
  """A context with a Fake that listens."""
  fake = fake or Fake()
  fake.up()
  try:
    yield fake
  finally:
    fake.down()


# Faults.


def reset(handler, answer):
  """Resets the connection."""
  del answer
  linger = struct.pack('ii', 1, 0)
  handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
  handler.close_connection = True
  handler.connection.close()


def silent(handler, answer):
  """Never returns; ends when the client closes the connection."""
  del answer
  handler.connection.recv(1)
  handler.close_connection = True


def slow(secs):
  """Returns after some seconds, in which the token counter rises."""

  def wait(handler, answer):
    fake = handler.server.fake
    for _ in range(20):
      threading.Event().wait(secs / 20)
      fake.tokens += 1
    return answer

  return wait


def changed(**parts):
  """Changes the first choice: values by name, or functions of old values."""

  def change(handler, answer):
    del handler
    first = answer['choices'][0]
    for name, part in parts.items():
      first[name] = part(first[name]) if callable(part) else part
    return answer

  return change


def fewer(handler, answer):
  """A choice is missing."""
  del handler
  return {'choices': answer['choices'][1:]}


# A client.

PARAMS = {'w': np.ones((2, 2), np.float32)}


def export(params):
  import jax.numpy as jnp

  return {name: jnp.asarray(array) for name, array in params.items()}


def make_prompts(count=3):
  from siri_jax import types

  return [types.Prompt(f'p{i}', np.int32([5, i + 1])) for i in range(count)]


@contextlib.contextmanager
def client(
  folder, *fakes, patience_secs=0.5, slots=4, logprob_share=0.0, sleeps=False
):
  """A client of these servers with version 7 pushed; `said` is its log."""
  from siri_jax.rollout import servers, vllm, weight_sync

  said = []
  publisher = weight_sync.WeightPublisher(
    folder, 'run', export, push_secs=5.0, sleeps=sleeps
  )
  made = vllm.Vllm(
    servers.External([fake.url for fake in fakes]),
    publisher,
    vllm.Rules(
      eos_ids=(0,), vocab=19, slots=slots, logprob_share=logprob_share
    ),
    patience_secs=patience_secs,
    say=said.append,
  )
  made.said = said
  with contextlib.closing(made):
    made.push(PARAMS, 7)
    yield made


def sampled(engine, count=3, n=2, cap=9):
  """(problem, index) -> response ids."""
  from siri_jax.rollout import engines

  asked = engines.SamplingParams(n, cap, 1.0, 1.0, 0, (0, 0, 7))
  groups = engine.sample(make_prompts(count), asked, lambda *_: None)
  return {
    (s.problem_id, s.index): s.response_ids.tolist() for g in groups for s in g
  }


# A program.


def python(folder):
  """Path of a program that takes a server's command line in Python's place."""
  path = folder / 'fake_python'
  words = shlex.join([sys.executable, __file__])
  path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
  path.chmod(0o755)
  return path


def main(words):
  """Serves the model of a server's command line, until TERM.

  Like vLLM it has a process of its own for the engine; that one ignores TERM.
  """
  given = dict(itertools.pairwise(words))
  config = json.loads(pathlib.Path(given['--model'], 'config.json').read_text())
  subprocess.Popen(['sh', '-c', 'trap "" TERM; exec sleep 600'])
  signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
  Fake(config['vocab_size'], port=int(given['--port'])).up()
  signal.sigwait({signal.SIGTERM})
  os._exit(0)


if __name__ == '__main__':
  main(sys.argv[1:])
