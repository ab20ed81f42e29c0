"""Runs of several processes of which one dies."""

import signal
import time

import launch
import pytest

from siri_jax import hosts, main

pytestmark = [
  pytest.mark.faults,
  pytest.mark.slow,
  pytest.mark.filterwarnings('ignore:.*load_module'),
  pytest.mark.usefixtures('no_picture'),
]
STEPS = 4
SETTINGS = (
  f'--config.total_steps={STEPS}',
  '--config.micro_rows=8',
  '--config.mesh_kw.data=2',
  '--config.mesh_kw.fsdp=4',
)


@pytest.mark.parametrize('killed', [0, 1], ids=['the first', 'the other'])
def test_a_process_that_dies_ends_the_rest_and_the_run_goes_on(
  tmp_path, cache, tell, killed
):
  run = tmp_path / 'run'
  with launch.two_processes(run, cache, *SETTINGS) as processes:
    left = processes[1 - killed]
    seen = launch.wait_for(left, lambda: launch.lines(run, 'metrics') >= 1)
    assert seen, left.said.read_text()
    processes[killed].kill()
    began = time.monotonic()
    assert left.wait() == -signal.SIGABRT, left.said.read_text()
    secs = time.monotonic() - began
  assert secs < 3 * hosts.HEARTBEAT_SECS
  assert launch.here(run, cache, *SETTINGS) == main.DONE
  found = [record['step'] for record in launch.records(run, 'metrics')]
  assert found == list(range(STEPS))
  who = 'the first' if not killed else 'another'
  tell(
    30,
    f'{who} of two processes killed',
    f'the one left ends with status 134 after {secs:.0f} s; the run goes on',
  )
