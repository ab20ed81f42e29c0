"""A real vLLM server on this machine's CPU: pushed to, sampled, trained on.

Skipped where there is none: bash tools/test_vllm.sh makes an environment for
it, .venv-vllm, and runs these tests. SIRI_VLLM_PYTHON names another one.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess

import jax
import launch
import numpy as np
import pytest

from siri_jax import blueprint, main, opening, plan, task_files, types, xla
from siri_jax.models import policies
from siri_jax.rollout import sampler, wire
from tests import tiny

PYTHON = pathlib.Path(
  os.environ.get('SIRI_VLLM_PYTHON', launch.ROOT / '.venv-vllm/bin/python')
)
pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not PYTHON.exists(),
    reason=f'no vLLM in {PYTHON}: bash tools/test_vllm.sh makes it (4 GB)',
  ),
  # ml_collections loads a config in an old way.
  pytest.mark.filterwarnings('ignore:.*load_module'),
]
# Narrower heads than 32 are not served on a CPU.
CHANGES = (
  '--config.sampler=vllm',
  '--config.model_kw.head_dim=32',
  '--config.model_kw.dim=64',
  '--config.server_kw.patience_secs=60.0',
)


@pytest.fixture(scope='module')
def served(tmp_path_factory):
  """Arguments of a run on a server that is ready, and its process."""
  folder = tmp_path_factory.mktemp('vllm')
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  told = (
    *CHANGES,
    f"--config.server_kw.urls=('http://127.0.0.1:{port}',)",
    f'--config.server_kw.folder={folder / "pushes"}',
  )
  words = [PYTHON, '-m', 'tools.serve_policy', '--config=tests/tiny.py']
  with pytest.MonkeyPatch.context() as patch, open(folder / 'log', 'w+') as log:
    patch.setenv(wire.KEY, 'a key of the tests')
    process = subprocess.Popen(
      [*words, *told, f'--port={port}'],
      cwd=launch.ROOT,
      stdout=log,
      stderr=subprocess.STDOUT,
      env={k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'},
    )
    try:
      ready = re.compile(r'^READY: .*random ones until the first push$', re.M)
      launch.wait_for(process, lambda: ready.search(said(log)))
      assert process.poll() is None, said(log)[-3000:]
      yield told, process, wire.Line(f'http://127.0.0.1:{port}')
    finally:
      process.terminate()
      process.wait()


def said(log):
  return pathlib.Path(log.name).read_text(errors='replace')


@contextlib.contextmanager
def engines(served, cache):
  """The server and the embedded engine, as engines on the same parameters."""
  c = tiny.get_config()
  c.model_kw.head_dim, c.model_kw.dim, c.cache_dir = 32, 64, str(cache)
  c.server_kw.urls = (served[2].url,)
  c.server_kw.folder = served[0][-1].partition('=')[2]
  c.server_kw.told, c.server_kw.patience_secs = 1.0, 60.0
  xla.set_up(c.cache_dir)
  task, _ = task_files.checked(c)
  shape = policies.shape_of(c, task.vocab)
  made = plan.make(c)
  recipe = blueprint.recipe_of(made, shape)
  _, layout, programs = opening.laid_out(
    made, task, recipe, longest=made.longest
  )
  params = policies.parameters(c, shape, layout.state.params)
  params = jax.tree.map(lambda x: 8 * x, params)  # Far from all alike.
  both = []
  with contextlib.ExitStack() as stack:
    for name in ('vllm', 'embedded'):
      c.sampler = name
      both.append(
        opening.engine_of(
          plan.make(c),
          programs,
          task,
          requests=made.samples,
          prompt_tokens=c.max_prompt,
          run='test',
          say=print,
        )
      )
      stack.callback(both[-1].close)
    yield task, params, *both


def greedy(engine, task, count=8):
  """(problem, index) -> sample, the likeliest tokens all along."""
  prompts = [
    types.Prompt(p.id, np.asarray(task.encode(p), np.int32))
    for p in task.train[:count]
  ]
  asked = sampler.Sampling(1, 8, 0.0, 1.0, 0, (0, 0, 0))
  groups = engine.sample(prompts, asked, lambda *_: None)
  return {s.problem_id: s for group in groups for s in group}


def test_after_a_push_greedy_answers_are_the_trainers_own(served, cache):
  with engines(served, cache) as (task, params, real, own):
    for version in range(2):
      for engine in (real, own):
        engine.push(params, version)
      found, expected = greedy(real, task), greedy(own, task)
      for name, sample in expected.items():
        assert found[name].response_ids.tolist() == sample.response_ids.tolist()
        assert found[name].spans == sample.spans
        np.testing.assert_allclose(
          found[name].sampler_logp, sample.sampler_logp, atol=1e-4
        )
      params = jax.tree.map(lambda x: 1.2 * x[..., ::-1], params)


def test_a_push_that_is_refused_leaves_the_old_weights_serving(served, cache):
  with engines(served, cache) as (task, params, real, _):
    real.push(params, 0)
    before = greedy(real, task)
    label = served[2].get('/weight_info')
    bad = jax.tree.map(lambda x: x.at[(0,) * x.ndim].set(np.nan), params)
    publisher = real._publisher
    with pytest.raises(wire.PassingError, match='not finite'):
      publisher.bring(served[2], publisher.write(bad, 1))
    assert served[2].get('/weight_info') == label
    after = greedy(real, task)
    for name, sample in before.items():
      assert after[name].response_ids.tolist() == sample.response_ids.tolist()


def test_no_route_but_health_answers_without_the_key(served, monkeypatch):
  line = served[2]
  monkeypatch.delenv(wire.KEY)
  line.ask('GET', '/health')
  for path in ('/metrics', '/v1/models', '/weight_info', '/server_info', '/'):
    with pytest.raises(wire.ServerError, match='401'):
      line.get(path)
  for path in ('/update_weights', '/inference/v1/generate', '/collective_rpc'):
    with pytest.raises(wire.ServerError, match='401'):
      line.post(path, {})


def test_a_run_trains_a_whole_cycle_with_a_push_every_step(
  served, cache, tmp_path, no_picture
):
  run = tmp_path / 'run'
  told = (*served[0], '--config.schedule_kw.period=4', '--config.total_steps=4')
  assert (
    launch.here(run, cache, *told, '--config.server_kw.told=1.0') == main.DONE
  )
  records = launch.records(run, 'metrics')
  assert [r['weight_version'] for r in records] == [0, 1, 2, 3]
  assert [r['sampler_rejected'] for r in records] == [0] * 4
  assert all(r['sampler_told'] == r['tokens'] for r in records)
  assert max(r['sampler_gap_max'] for r in records) < 1e-3
  assert served[2].get('/weight_info')['weight_version'].endswith(':4')


def test_term_ends_the_server_cleanly(served):
  _, process, line = served
  process.send_signal(signal.SIGTERM)
  assert process.wait() == main.DONE
  with pytest.raises(wire.PassingError, match='cannot be reached'):
    line.ask('GET', '/health')
