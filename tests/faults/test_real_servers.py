"""A real vLLM server that is killed during a run, and restarted."""

import contextlib
import gzip
import json
import threading
import time

import jax
import launch
import numpy as np
import pytest
import real_vllm

from siri_jax.rollout import http_client, vllm
from siri_jax.runtime import checkpoint, exit_status

pytestmark = [
  *real_vllm.NEEDED,
  pytest.mark.faults,
]
STEPS = 4
FINISH = '/finish_weight_update'
SETTINGS = (
  f'--config.total_steps={STEPS}',
  '--config.record_kw.rollouts_every=1',
  # A start takes half a minute, or five minutes on a busy machine.
  '--config.server_kw.patience_secs=1200.0',
)


class Moments:
  """Harms the server right before some requests, once each.

  Attributes:
    secs: name of the harm -> seconds until the server was up to date.
  """

  def __init__(self, monkeypatch, *moments):
    """Starts now and ends with the test.

    Args:
      monkeypatch: pytest's.
      *moments: in order (pushes so far, predicate of a request's path and
        body, function of the Connection that harms the server).
    """
    self._left, self._pushes, self._began = list(moments), 0, {}
    self._lock, self.secs = threading.RLock(), {}
    ask = http_client.Connection.ask

    def asked(line, method, path, body=None, *rest):
      with self._lock:  # Other requests wait.
        self._before(line, path, body)
      answer = ask(line, method, path, body, *rest)
      if path == FINISH:
        self._pushes += 1
        now = time.monotonic()
        self.secs |= {name: now - then for name, then in self._began.items()}
        self._began = {}
      return answer

    monkeypatch.setattr(http_client.Connection, 'ask', asked)

  def _before(self, line, path, body):
    if not self._left:
      return
    pushes, is_it, act = self._left[0]
    if pushes == self._pushes and is_it(path, body):
      del self._left[0]
      self._began[act.__name__] = time.monotonic()
      act(line)


def samples(path, body):
  return path == vllm.GENERATE


def loads(path, body):
  return path == '/update_weights' and body['update_info']['load']


def killed_at_work(line):
  """The worker dies during the next request."""
  threading.Timer(0.5, real_vllm.stop_worker(line)).start()


def killed_in_a_push(line):
  """The worker dies after it checked a push, when it should load it."""
  threading.Timer(0.5, real_vllm.stop_worker(line)).start()


def restarted_unseen(line):
  """At the next request the server has been restarted, without a push."""
  real_vllm.kill(line)
  while True:
    with contextlib.suppress(http_client.ServerError):
      if line.get('/weight_info') == {'weight_version': 'default'}:
        return
    time.sleep(0.2)


def rollouts(run, step):
  """The samples and rewards of a step."""
  path = run / 'rollouts' / f'{step:06d}.jsonl.gz'
  return [json.loads(line) for line in gzip.open(path)]


def test_a_run_whose_server_is_killed_three_times_has_the_same_result(
  tmp_path, cache, monkeypatch, tell
):
  supervised = ('bash', 'tools/supervise.sh')
  with real_vllm.serving(tmp_path, before=supervised) as (told, _, _):
    told = (*told, *SETTINGS)
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    assert launch.here(whole, cache, *told) == exit_status.DONE
    moments = Moments(
      monkeypatch,
      (2, samples, killed_at_work),  # Of step 1, after the pushes 0 and 1.
      (3, loads, killed_in_a_push),
      (5, samples, restarted_unseen),
    )
    assert launch.here(run, cache, *told) == exit_status.DONE
  assert len(moments.secs) == 3
  assert sum(r['sampler_rejected'] for r in launch.records(run, 'metrics')) > 0
  for step in range(STEPS):
    assert rollouts(run, step) == rollouts(whole, step)
  found, expected = (
    checkpoint.read_parameters(path / 'checkpoints', STEPS)
    for path in (run, whole)
  )
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  for row, name, fault in (
    (11, 'killed_at_work', 'while it samples'),
    (18, 'killed_in_a_push', 'while it loads a push'),
    (17, 'restarted_unseen', 'between two steps, and is started again unseen'),
  ):
    tell(
      row,
      f'a real vLLM server is killed {fault}',
      'started again, weights pushed again; the same samples and bits',
      moments.secs[name],
      0,
    )
