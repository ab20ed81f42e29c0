"""The servers that a run starts: their command, start, restart and end.

The server is fake_vllm.py as a program, in the place of a Python with vLLM.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import types as python_types

import fake_vllm
import launch
import pytest

from siri_jax.config import plan as plans
from siri_jax.data import load
from siri_jax.rollout import (
  guard,
  http_client,
  placement,
  server_command,
  servers,
  weight_sync,
)
from siri_jax.runtime import stopwatch, terminal
from tests.helpers import tiny

UNASKED = python_types.SimpleNamespace(raise_if_stopped=lambda: None)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(servers, 'LOOK_SECS', 0.02)
  monkeypatch.setattr(guard, 'STOP_SECS', 0.2)


def script(folder, text):
  """Path of a program in the place of a Python with vLLM."""
  path = folder / 'script'
  path.write_text(f'#!/bin/sh\n{text}\n')
  path.chmod(0o755)
  return str(path)


def plan_of(folder, **settings):
  c = tiny.get_config()
  c.engine = 'vllm'
  c.model_kw.head_dim, c.model_kw.dim = 32, 64
  c.server_kw.update(
    {
      'placement': 'split',
      'python': str(fake_vllm.python(folder)),
      'folder': str(folder / 'pushes'),
      **settings,
    }
  )
  return plans.make(c)


@contextlib.contextmanager
def started(folder, signals=UNASKED, **settings):
  """A context with the servers of a plan, and the text on the terminal."""
  plan, said = plan_of(folder, **settings), io.StringIO()
  task, _ = load.load_task(plan.c)
  screen = terminal.Terminal(1, stream=said)
  with servers.serving(
    plan, task, folder / 'logs', screen, signals, screen.say
  ) as made:
    yield made, said


def wait_for_end(folder):
  """Waits until no process of a folder's servers is left."""
  launch.wait_until(lambda: not launch.server_processes(folder / 'pushes'))


def kill(folder, which):
  """Kills the guard, or the server below it, which leaves an engine behind."""
  (pid,) = [
    pid
    for pid, command in launch.server_processes(folder / 'pushes').items()
    if '--port' in command and (guard.__file__ in command) == (which == 'guard')
  ]
  os.kill(pid, signal.SIGKILL)


def test_a_server_has_its_own_gpus_and_not_the_trainers_flags(
  tmp_path, monkeypatch
):
  plan = plan_of(tmp_path, memory=0.6)
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,5')
  monkeypatch.setenv('XLA_FLAGS', '--of_the_trainer')
  found = server_command.environment(plan.c, ('2', '3'))
  assert found['CUDA_VISIBLE_DEVICES'] == '2,3'
  assert 'XLA_FLAGS' not in found
  where = dict(host='127.0.0.1', port=81)
  words = server_command.arguments(plan, tmp_path, gpus=('2', '3'), **where)
  assert words[0] == plan.c.server_kw.python
  assert words[words.index('--gpu-memory-utilization') + 1] == '0.6'
  longest = str(plan.c.max_prompt_tokens + plan.longest)
  assert words[words.index('--max-model-len') + 1] == longest
  assert '--enable-sleep-mode' not in words
  plan.c.server_kw.placement = 'shared'
  words = server_command.arguments(plan, tmp_path, gpus=('2', '3'), **where)
  assert '--enable-sleep-mode' in words
  assert '--enforce-eager' not in words
  words = server_command.arguments(plan, tmp_path, gpus=(), **where)
  assert '--enforce-eager' in words


def test_servers_answer_with_a_key_of_their_own_and_are_gone_afterwards(
  tmp_path, monkeypatch
):
  monkeypatch.setenv(http_client.KEY, 'mine')
  monkeypatch.setattr(
    placement, 'shares', lambda c: placement.Shares(((), ()), ())
  )
  with started(tmp_path) as (made, said):
    assert len({*made.urls}) == 2
    assert len(os.environ[http_client.KEY]) == 32
    for url in made.urls:
      line = http_client.Connection(url)
      assert weight_sync.version_of(line) == 'default'
      made.revive(url)  # It lives: nothing happens.
    # Each has a guard, a server and an engine.
    assert len(launch.server_processes(tmp_path / 'pushes')) == 6
    key = os.environ[http_client.KEY]
  wait_for_end(tmp_path)
  assert os.environ[http_client.KEY] == 'mine'
  assert 'starting vLLM' in said.getvalue()
  for path in (tmp_path / 'logs').glob('*.txt'):
    assert key not in path.read_text()


def test_servers_that_share_gpus_sleep_when_the_trainer_begins(tmp_path):
  with started(tmp_path, placement='shared') as (made, _):
    line = http_client.Connection(*made.urls)
    with pytest.raises(http_client.RouteMissingError):
      line.post(fake_vllm.GENERATE, {})  # A real server would hang.
    line.post('/wake_up')
    assert weight_sync.version_of(line) == 'default'


def test_a_killed_server_is_restarted_without_its_old_processes(tmp_path):
  with started(tmp_path, restarts=1) as (made, said):
    (url,) = made.urls
    before = launch.server_processes(tmp_path / 'pushes')
    kill(tmp_path, 'server')
    server = made._made[0]
    launch.wait_until(server.process.ended)
    made.revive(url)
    launch.wait_until(lambda: servers.served(server.line))
    after = launch.server_processes(tmp_path / 'pushes')
    assert not {*before} & {*after}
    assert 'restart 1 of 1' in said.getvalue()
    kill(tmp_path, 'server')
    launch.wait_until(server.process.ended)
    with pytest.raises(http_client.ServerError, match='restarted 1 times'):
      made.revive(url)
  wait_for_end(tmp_path)


def test_a_killed_guard_leaves_no_server_behind_at_a_restart(tmp_path):
  with started(tmp_path) as (made, _):
    (url,) = made.urls
    before = launch.server_processes(tmp_path / 'pushes')
    kill(tmp_path, 'guard')
    launch.wait_until(made._made[0].process.ended)
    made.revive(url)
    launch.wait_until(lambda: servers.served(made._made[0].line))
    after = launch.server_processes(tmp_path / 'pushes')
    assert not {*before} & {*after}
  wait_for_end(tmp_path)


def test_a_server_that_cannot_start_is_told_with_the_end_of_its_output(
  tmp_path,
):
  python = script(tmp_path, 'echo one; echo no memory left; exit 3')
  with (
    pytest.raises(http_client.ServerError, match='no memory left') as caught,
    started(tmp_path, python=python),
  ):
    pass
  assert str(tmp_path / 'logs/0.txt') in str(caught.value)
  assert 'ended with status 3' in str(caught.value)


def test_a_server_that_never_answers_is_ended_in_time(tmp_path):
  python = script(tmp_path, 'exec sleep 600')
  with (
    pytest.raises(http_client.ServerError, match='did not answer within'),
    started(tmp_path, python=python, start_secs=0.2),
  ):
    pass
  wait_for_end(tmp_path)


def test_a_signal_during_the_start_ends_the_servers(tmp_path):
  def stop():
    raise stopwatch.StopRequested(signal.SIGTERM)

  signals = python_types.SimpleNamespace(raise_if_stopped=stop)
  with pytest.raises(stopwatch.StopRequested), started(tmp_path, signals):
    pass
  wait_for_end(tmp_path)


PARENT = """
import subprocess, sys, time
words = [sys.executable, '-I', *sys.argv[1:]]
own = dict(stdin=subprocess.PIPE, start_new_session=True)
subprocess.Popen(words, **own)
time.sleep(600)
"""


def test_a_killed_parent_leaves_no_server_behind(tmp_path):
  model = tmp_path / 'config.json'
  model.write_text('{"vocab_size": 9}')
  port = launch.free_port()
  server = (fake_vllm.__file__, '--model', str(tmp_path), '--port', str(port))
  marked = {**os.environ, 'SIRI_PUSHES': str((tmp_path / 'pushes').resolve())}
  command = [sys.executable, '-c', PARENT, guard.__file__, sys.executable]
  line = http_client.Connection(f'http://127.0.0.1:{port}')
  with subprocess.Popen([*command, *server], env=marked) as parent:

    def answers():
      with contextlib.suppress(http_client.ServerError):
        return weight_sync.version_of(line)

    launch.wait_until(answers)
    # The parent, its guard, the server and the engine.
    assert len(launch.server_processes(tmp_path / 'pushes')) == 4
    parent.kill()
  wait_for_end(tmp_path)
