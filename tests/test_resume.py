"""A run broken off and gone on with ends as the unbroken one, to the bit."""

import json
import random
import signal
import time

import launch
import pytest

from siri_jax import (
  checkpoint,
  examine,
  main,
  run_folder,
  train,
  world,
)

pytestmark = [
  pytest.mark.slow,
  pytest.mark.usefixtures('no_picture'),
  # ml_collections loads a config in an old way.
  pytest.mark.filterwarnings('ignore:.*load_module'),
]


class KilledError(BaseException):
  """Stands for a kill: nothing in the program catches it."""


def killed(run, cache, patch, owner, name, call, after=False):
  """Runs the program until it dies at one call of a function, or after it."""
  real, seen = getattr(owner, name), []

  def dying(*args, **kwargs):
    seen.append(1)
    if len(seen) != call:
      return real(*args, **kwargs)
    if after:
      real(*args, **kwargs)
    raise KilledError

  with patch.context() as dies:
    dies.setattr(owner, name, dying)
    with pytest.raises(KilledError):
      launch.here(run, cache)


def assert_goes_on_as(whole, run, cache):
  """The same command ends with what the unbroken run ended with."""
  assert launch.here(run, cache) == main.DONE
  assert launch.outcome(run) == launch.outcome(whole)


# Place in the program -> function, the call at which it dies, or after it.
POINTS = {
  'in the first measurement': (examine, 'summary', 1),
  'after the first measurement': (
    run_folder.RunFolder,
    'write_evaluation',
    1,
    'after',
  ),
  'while sampling': (examine, 'gather', 5),
  'while learning': (train, 'minibatch', 8),
  'before a record': (world.World, 'write_step', 4),
  'after a record': (world.World, 'write_step', 4, 'after'),
  'while measuring at a turn': (examine, 'summary', 2),
  'before a checkpoint': (checkpoint.Checkpoints, 'save', 3),
  'before a manifest': (checkpoint, '_digests', 3),
  'before an old checkpoint goes': (checkpoint.Checkpoints, '_delete', 5),
  'after a checkpoint': (checkpoint.Checkpoints, 'save', 3, 'after'),
  'before the last checkpoint': (checkpoint.Checkpoints, 'save', launch.STEPS),
}


@pytest.mark.parametrize('point', POINTS)
def test_a_run_killed_at_any_point_ends_as_the_unbroken_one(
  whole, tmp_path, cache, monkeypatch, point
):
  killed(tmp_path / 'run', cache, monkeypatch, *POINTS[point])
  assert_goes_on_as(whole, tmp_path / 'run', cache)


def test_a_line_that_a_kill_tore_is_cut_and_written_anew(
  whole, tmp_path, cache, monkeypatch
):
  run = tmp_path / 'run'
  killed(run, cache, monkeypatch, world.World, 'write_step', 6)
  with open(run / 'metrics.jsonl', 'ab') as file:
    file.write(b'{"step": 5, "cap": 6, "pha')
  assert_goes_on_as(whole, run, cache)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
  whole, tmp_path, cache, monkeypatch, capsys
):
  run = tmp_path / 'run'
  killed(run, cache, monkeypatch, train, 'collect', 8)
  arrays = (run / 'checkpoints/000007/state/d').iterdir()
  path = max(arrays, key=lambda p: p.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
  assert_goes_on_as(whole, run, cache)
  said = capsys.readouterr().out
  assert 'checkpoint 000007 is damaged' in said
  assert 'going on after 6 updates' in said
  kinds = [event['kind'] for event in launch.records(run, 'events')]
  assert kinds == ['checkpoint_passed_over', 'resumed']


@pytest.mark.parametrize('steps', [0, 5])
def test_a_term_saves_and_the_same_command_goes_on(
  whole, tmp_path, cache, steps
):
  run = tmp_path / 'run'

  def reached():
    if steps:
      return launch.lines(run, 'metrics') >= steps
    return (run / 'RUN.json').exists()

  with launch.process_of(run, cache) as process:
    assert launch.wait_for(process, reached)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
  assert 'saved after' in process.said.read_text()
  done = launch.lines(run, 'metrics')
  assert steps <= done < launch.STEPS
  assert_goes_on_as(whole, run, cache)
  info = json.loads((run / 'RUN.json').read_text())
  assert [attempt['step'] for attempt in info['attempts']] == [0, done]


def test_a_second_signal_ends_the_program_at_once(whole, tmp_path, cache):
  run = tmp_path / 'run'
  with launch.process_of(run, cache) as process:
    assert launch.wait_for(process, lambda: launch.lines(run, 'metrics') >= 2)
    process.send_signal(signal.SIGSTOP)  # So that both come at one moment.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    assert process.wait() in (128 + signal.SIGTERM, 128 + signal.SIGINT)
  assert 'saved after' not in process.said.read_text()
  assert_goes_on_as(whole, run, cache)


@pytest.mark.faults
def test_a_run_killed_again_and_again_ends_as_the_unbroken_one(
  whole, tmp_path, cache
):
  run, moment = tmp_path / 'run', random.Random(0)

  def moved_on(beyond):
    return lambda: launch.lines(run, 'metrics') > beyond

  def half_saved():
    return any((run / 'checkpoints').glob('*tmp*'))

  kills = 0
  while (done := launch.lines(run, 'metrics')) < launch.STEPS - 3:
    with launch.process_of(run, cache) as process:
      assert launch.wait_for(process, moved_on(done + 2))
      if kills % 2:
        launch.wait_for(process, half_saved)
      else:
        time.sleep(moment.uniform(0, 0.1))
      process.kill()
      kills += 1
  assert kills >= 2
  assert_goes_on_as(whole, run, cache)
