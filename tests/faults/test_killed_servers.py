"""A run that starts its servers, when they, it, or both are killed."""

import os
import signal

import fake_vllm
import launch
import pytest

from siri_jax.commands import evaluate
from siri_jax.runtime import exit_status
from tools import soak

pytestmark = [
  pytest.mark.slow,
  pytest.mark.faults,
]
STEPS = 4


@pytest.fixture
def settings(tmp_path):
  """Settings of a run that starts a fake server."""
  return (
    f'--config.total_steps={STEPS}',
    '--config.engine=vllm',
    '--config.model_kw.head_dim=32',
    '--config.model_kw.dim=64',
    '--config.server_kw.placement=split',
    f'--config.server_kw.python={fake_vllm.python(tmp_path)}',
    f'--config.server_kw.folder={tmp_path / "pushes"}',
  )


def left(tmp_path):
  return launch.server_processes(tmp_path / 'pushes')


def kill_server(tmp_path):
  """Kills all processes of the server, but not their guard."""
  for pid, command in left(tmp_path).items():
    if 'guard.py' not in command:
      os.kill(pid, signal.SIGKILL)


def test_a_run_whose_server_is_killed_and_then_both_has_the_same_result(
  tmp_path, cache, settings, tell
):
  whole, run = tmp_path / 'whole', tmp_path / 'run'
  assert launch.here(whole, cache, *settings) == exit_status.DONE
  assert left(tmp_path) == {}
  with launch.process_of(run, cache, *settings) as process:

    def wait_for_steps(count):
      reached = launch.wait_for(
        process, lambda: launch.lines(run, 'metrics') >= count
      )
      assert reached, process.said.read_text()

    wait_for_steps(1)
    kill_server(tmp_path)
    wait_for_steps(2)
    process.kill()
    kill_server(tmp_path)
  launch.wait_until(lambda: not left(tmp_path))
  kinds = [event['kind'] for event in launch.records(run, 'events')]
  assert kinds == ['server_restarted']
  assert launch.here(run, cache, *settings) == exit_status.DONE
  assert left(tmp_path) == {}
  assert soak.outcome(run) == soak.outcome(whole)
  words = launch.arguments(run, cache, *settings, '--samples=2')
  assert evaluate.main(words) == exit_status.DONE
  (log,) = (run / 'evaluations').glob('*/servers/0.txt')
  assert log.exists()
  assert left(tmp_path) == {}
  tell(11, "a run's own server is killed", 'restarted; same bits', lost=0)
  tell(12.7, 'a run and its server are killed', 'none left; resumes, same bits')
