"""Runs of several processes, one of which dies."""

import signal
import time

import launch
import pytest

from siri_jax.runtime import distributed, exit_status

pytestmark = [
  pytest.mark.faults,
  pytest.mark.slow,
]
STEPS = 4
SETTINGS = (
  f'--config.total_steps={STEPS}',
  # As in test_multihost.py, so that they share compiled programs.
  '--config.optimizer_kw.eps=1e-4',
  '--config.update_kw.micro_batch_rows=8',
  '--config.mesh_kw.data=2',
  '--config.mesh_kw.fsdp=4',
)


def test_a_process_that_dies_ends_the_other_and_the_run_resumes(
  tmp_path, cache, tell
):
  run = tmp_path / 'run'
  with launch.two_processes(run, cache, *SETTINGS) as (first, other):
    seen = launch.wait_for(first, lambda: launch.lines(run, 'metrics') >= 1)
    assert seen, first.said.read_text()
    other.kill()
    began = time.monotonic()
    assert first.wait() == -signal.SIGABRT, first.said.read_text()
    secs = time.monotonic() - began
  assert secs < 3 * distributed.HEARTBEAT_SECS
  assert launch.here(run, cache, *SETTINGS) == exit_status.DONE
  found = [record['step'] for record in launch.records(run, 'metrics')]
  assert found == list(range(STEPS))
  tell(
    30,
    'one of two processes killed',
    f'the other ends with status 134 after {secs:.0f} s; the run resumes',
  )
