"""A server as an engine: a fake one that plays the script, and its faults."""

import contextlib
import http.server
import json
import threading

import numpy as np
import pytest

from siri_jax import evaluate, main, types
from siri_jax.rollout import sampler, server
from tests import scripted

# ml_collections loads a config in an old way.
pytestmark = pytest.mark.filterwarnings('ignore:.*load_module')


def choices(body):
  """What the script has a policy say to a prompt, by the prompt's ids."""
  number = int(scripted.WORDS[body['prompt'][0]])
  for index in reversed(range(body['n'])):
    ids = [scripted.ID[word] for word in scripted.response(number, index)]
    cut = len(ids) > body['max_tokens']
    yield {
      'index': index,
      'token_ids': ids[: body['max_tokens']],
      'finish_reason': 'length' if cut else 'stop',
    }


@contextlib.contextmanager
def serving(answer=choices, failures=0):
  """The URL of a server; it fails so often before it answers."""
  left, asked = [503] * failures, []

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      self._send({'data': [{'id': 'policy', 'root': '/models/policy'}]})

    def do_POST(self):
      body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
      asked.append(body)
      if left:
        self._send({'error': 'busy'}, left.pop())
      else:
        self._send({'choices': list(answer(body))})

    def _send(self, value, status=200):
      data = json.dumps(value).encode()
      self.send_response(status)
      self.send_header('Content-Length', str(len(data)))
      self.end_headers()
      self.wfile.write(data)

    def log_message(self, *_):
      pass

  fake = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  thread = threading.Thread(target=fake.serve_forever)
  thread.start()
  try:
    yield f'http://127.0.0.1:{fake.server_port}', asked
  finally:
    fake.shutdown()
    thread.join()
    fake.server_close()


def sampled(url, n=2, cap=20):
  prompts = [types.Prompt('p', np.array([scripted.ID['1'], 2], np.int32))]
  asked = sampler.Sampling(n, cap, 0.6, 1.0, 0, (0, 1, 0))
  with contextlib.closing(server.Server(url, 'policy')) as engine:
    return next(engine.sample(prompts, asked, lambda *_: None))


def test_prompts_and_responses_travel_as_token_ids():
  with serving() as (url, asked):
    first, second = sampled(url, cap=6)
  assert asked[0]['prompt'] == [scripted.ID['1'], 2]
  assert (asked[0]['n'], asked[0]['max_tokens']) == (2, 6)
  assert (asked[0]['temperature'], asked[0]['top_k']) == (0.6, -1)
  assert (first.index, first.finish_reason) == (0, 'stop')
  assert first.response_ids.tolist() == [2, 2, 2, 1, scripted.ID['1'], 0]
  assert (second.finish_reason, second.response_ids.size) == ('length', 6)


@pytest.mark.faults
def test_a_server_that_is_busy_is_asked_again(monkeypatch):
  monkeypatch.setattr(server, 'WAIT_SECS', 0.01)
  with serving(failures=2) as (url, asked):
    assert len(sampled(url)) == 2
  assert len(asked) == 3


@pytest.mark.faults
def test_what_was_not_asked_for_is_refused(monkeypatch):
  monkeypatch.setattr(server, 'WAIT_SECS', 0.01)
  aborted = {'index': 0, 'token_ids': [1], 'finish_reason': 'abort'}
  for wrong, told in (
    (lambda body: list(choices(body))[:1], r'2 samples .* gave \[1\]'),
    (lambda body: [aborted, aborted], "by 'abort'"),
    (lambda body: [{**aborted, 'token_ids': None}], 'return_token_ids'),
  ):
    with serving(wrong) as (url, _), pytest.raises(ValueError, match=told):
      sampled(url)
  busy = pytest.raises(ValueError, match='answers 503')
  with serving(failures=9) as (url, _), busy:
    sampled(url)
  with pytest.raises(OSError, match='cannot be reached'):
    server.model_of(url)


def test_a_server_is_measured_as_an_engine_is(tmp_path, cache):
  with serving() as (url, _):
    words = ['evaluate', '--config=tests/scripted.py', f'--weights={url},start']
    words += [f'--workdir={tmp_path / "run"}', f'--config.cache_dir={cache}']
    assert evaluate.main(words) == main.DONE
  served, own = (
    json.loads((folder / 'hard' / 'results.json').read_text())
    for folder in (
      tmp_path
      / 'run/evaluations'
      / url.removeprefix('http://').replace(':', '-'),
      tmp_path / 'run/evaluations/start',
    )
  )
  assert 0 < served['accuracy'] < 1
  differs = {key for key in own if own[key] != served[key]}
  assert differs == {'weights'}
