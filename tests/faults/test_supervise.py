"""The watchdog ends a run that hangs, and a supervisor restarts it."""

import os
import re
import signal
import subprocess
import sys
import time

import attempt
import launch
import pytest

from siri_jax.runtime import exit_status, watchdog
from tools import soak

pytestmark = pytest.mark.faults

SUPERVISE = ['bash', str(launch.ROOT / 'tools/supervise.sh')]


def hang(run, step):
  """Blocks the process that writes this step's samples, as a dead disk does.

  Returns:
    the pipe that blocks it; delete it to repair the disk.
  """
  pipe = run / 'rollouts' / f'.{step:06d}.jsonl.gz.draft'
  pipe.parent.mkdir(parents=True)
  os.mkfifo(pipe)
  return pipe


def holder(run):
  """The process that has locked a run's folder."""
  return int(re.match(r'pid (\d+)', (run / '.lock').read_text())[1])


@pytest.mark.slow
def test_a_supervised_run_equals_an_undisturbed_one(
  whole, tmp_path, cache, tell
):
  run = tmp_path / 'run'
  pipe = hang(run, 4)
  words = [sys.executable, '-m', 'siri_jax.main']
  words += launch.arguments(run, cache, '--config.limits_kw.stall_secs=25')
  began = time.monotonic()
  with (tmp_path / 'said').open('wb') as said:
    supervisor = subprocess.Popen(
      [*SUPERVISE, '-n', '2', *words],
      cwd=launch.ROOT,
      stdout=said,
      stderr=said,
      env={**os.environ, 'JAX_NUM_CPU_DEVICES': '8'},
    )
  reported = launch.wait_for(supervisor, lambda: launch.records(run, 'events'))
  assert reported, (tmp_path / 'said').read_text()
  stalled = time.monotonic() - began
  pipe.unlink()
  assert launch.wait_for(supervisor, lambda: launch.lines(run, 'metrics') >= 8)
  os.kill(holder(run), signal.SIGKILL)
  assert supervisor.wait() == exit_status.DONE, (tmp_path / 'said').read_text()
  told = (tmp_path / 'said').read_text()
  assert 'no progress for 25 s' in told
  assert 'status 4; restart 1 of 2' in told
  assert 'status 137; restart 2 of 2' in told
  assert soak.outcome(run) == soak.outcome(whole)
  (report,) = (run / 'stalls').iterdir()
  report = report.read_text()
  for part in ('write_rollouts', 'Thread 0x', '"step": 4', 'pending: []'):
    assert part in report
  (event,) = [
    e for e in launch.records(run, 'events') if e['kind'] == 'stalled'
  ]
  assert event['report'].endswith('stalls/000005.txt')
  fault = 'a disk that does not answer, then a kill; supervised'
  tell(12.5, fault, f'status 4 after {stalled:.0f} s; same bits in the end')


@pytest.mark.slow
def test_a_term_ends_a_run_that_cannot_save(tmp_path, cache, tell):
  run = tmp_path / 'run'
  hang(run, 0)
  harm = attempt.Harm(
    'TERM', 'siri_jax.runtime.run_folder:RunFolder.write_rollouts'
  )
  ended = attempt.make(run, cache, '--config.limits_kw.stop_secs=3', harm=harm)
  assert ended.status == 128 + signal.SIGTERM
  assert 'not saved within 3 s' in ended.said
  tell(3, 'TERM while the disk hangs', 'status 143 within stop_secs')


COMMAND = """
read -r status <statuses
tail -n +2 statuses >left && mv left statuses
exit "$status"
"""


def supervised(folder, *statuses, times=2):
  """(exit status, restarts) of a command that ends with these statuses."""
  (folder / 'statuses').write_text(''.join(f'{s}\n' for s in statuses))
  words = [*SUPERVISE, '-n', str(times), 'bash', '-c', COMMAND]
  ended = subprocess.run(words, cwd=folder, stderr=subprocess.PIPE, text=True)
  return ended.returncode, ended.stderr.count('restart ')


@pytest.mark.parametrize('status', [0, 2, 3, 130, 143])
def test_a_status_that_a_restart_cannot_help_ends_the_supervisor(
  tmp_path, status
):
  assert supervised(tmp_path, status, 0) == (status, 0)


def test_a_killed_hung_or_crashed_command_is_restarted(tmp_path):
  assert supervised(tmp_path, watchdog.STALLED, 0) == (0, 1)
  assert supervised(tmp_path, 137, 1, 0) == (0, 2)


def test_the_number_of_restarts_is_bounded(tmp_path):
  assert supervised(tmp_path, 1, 5, 0, times=1) == (5, 1)


def test_a_signal_is_forwarded_to_the_command_and_ends_both(tmp_path):
  script = (
    'trap "echo heard; exit 1" TERM; echo ready; while :; do sleep .1; done'
  )
  with subprocess.Popen(
    [*SUPERVISE, 'bash', '-c', script], stdout=subprocess.PIPE, text=True
  ) as supervisor:
    assert supervisor.stdout.readline() == 'ready\n'
    supervisor.terminate()
    assert supervisor.stdout.readline() == 'heard\n'
    assert supervisor.wait() == 1
