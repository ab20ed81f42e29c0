"""An ablation by its command: interrupted, continued, and its table."""

import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import time

import launch
import pandas as pd
import pytest

from siri_jax.analysis import ablation_table, runs
from siri_jax.commands import ablate as ablate_command
from siri_jax.commands import table
from siri_jax.experiments import ablate, executors, grid
from siri_jax.runtime import exit_status, files

pytestmark = [
  pytest.mark.slow,
]
STEPS = 12
CONFIG = 'tests/helpers/tiny.py'


def overrides(cache):
  return {
    'cache_dir': str(cache),
    'total_steps': STEPS,
    'record_kw.picture_every': 0,
    'eval_kw.every': 0,
    'writers': (),
  }


def command(out, cache):
  """The ablation as its users start it, one run at a time."""
  words = [f'--config.{k}={v}' for k, v in overrides(cache).items()]
  axes = ['--axis=schedule=cosine,constant', '--axis=seed=0', '--jobs=1']
  places = [f'--config={CONFIG}', f'--out={out}']
  return [
    sys.executable,
    '-m',
    'siri_jax.commands.ablate',
    *places,
    *axes,
    *words,
  ]


def said(out):
  """The output of each run."""
  return {path.stem: path.read_text() for path in (out / 'logs').iterdir()}


def processes_of(out):
  """Ids of the processes whose command line has a folder."""
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    with contextlib.suppress(OSError):  # It has ended.
      words = path.read_bytes().decode(errors='replace')
      if str(out) in words:
        found.append(int(path.parent.name))
  return found


COSINE, CONSTANT, STAIR = (
  f'schedule={name},seed=0' for name in ('cosine', 'constant', 'stair')
)


@pytest.fixture(scope='module')
def out(tmp_path_factory):
  """The folder of an ablation that the tests below share in order."""
  return tmp_path_factory.mktemp('ablation') / 'out'


def test_a_signal_ends_it_and_its_run_which_saves_first(out, cache):
  with subprocess.Popen(command(out, cache), cwd=launch.ROOT) as process:
    while runs.steps_done(out / COSINE) < 2:
      time.sleep(0.02)
      assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
  assert processes_of(out) == []
  assert list(said(out)) == [COSINE]
  done = runs.steps_done(out / COSINE)
  assert f'saved at step {done}; to resume:' in said(out)[COSINE]
  assert done < STEPS


def test_the_same_command_continues_and_never_repeats_a_finished_run(
  out, cache
):
  subprocess.run(command(out, cache), cwd=launch.ROOT, check=True)
  before = said(out)
  assert 'resuming from step' in before[COSINE]
  assert [runs.steps_done(out / n) for n in (COSINE, CONSTANT)] == [STEPS] * 2
  again = subprocess.run(
    command(out, cache), cwd=launch.ROOT, check=True, capture_output=True
  )
  assert b'2 runs, 2 of them already finished' in again.stdout
  assert said(out) == before
  frame = pd.read_csv(out / 'table.csv')
  assert frame['arm'].tolist() == ['cosine', 'constant']
  assert frame['runs'].tolist() == [1, 1]


def test_a_run_without_its_last_evaluation_is_not_finished(out, cache):
  axes = {'schedule': ['cosine'], 'seed': [0]}
  (run,) = grid.runs(CONFIG, axes, out, overrides(cache))
  assert ablate.finished(run)
  path = run.folder / 'eval.jsonl'
  whole = path.read_text()
  before = [r for r in files.read_records(path) if r['step'] < STEPS]
  path.write_text(''.join(files.to_json(record) + '\n' for record in before))
  assert not ablate.finished(run)
  path.write_text(whole)


def of_three(out, cache, **place):
  axes = {'schedule': ['cosine', 'constant', 'stair'], 'seed': [0]}
  changes = overrides(cache)
  return ablate.ablate(CONFIG, axes, out, overrides=changes, **place)


def test_a_failed_run_is_a_row_with_the_reason_and_stops_no_other(out, cache):
  (out / STAIR).mkdir()
  with open(out / STAIR / '.lock', 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    frame = of_three(out, cache)
  failed = frame[frame['why'].notna()]
  assert failed['arm'].tolist() == [STAIR]
  assert 'failed with status 2' in failed['why'].item()
  assert 'is in use by' in failed['why'].item()
  assert 'is in use by' in ablation_table.text(frame)
  assert frame['runs'].tolist() == [1, 1, 0]


def test_a_job_at_its_time_limit_saves_and_is_queued_again(out, cache):
  changes = {**overrides(cache), 'schedule': 'stair'}
  run = grid.single(CONFIG, {**changes, 'seed': 0}, out / STAIR)
  attempt = executors.Attempt(run, out / 'logs' / f'{STAIR}.txt').start()
  while runs.steps_done(run.folder) < 2:
    time.sleep(0.02)
    assert attempt.process.poll() is None
  again = attempt.checkpoint()
  assert attempt.process.returncode == 128 + signal.SIGTERM
  assert again.function.run.arguments == run.arguments
  assert again.function.process is None


def test_submitit_finishes_the_same_grid_and_gives_the_same_table(out, cache):
  frame = of_three(out, cache, executor='local', hours=0.5)
  assert 'resuming from step' in said(out)[STAIR]
  assert frame['arm'].tolist() == ['cosine', 'constant', 'stair']
  assert frame['runs'].tolist() == [1, 1, 1]
  assert 'why' not in frame
  here = ablation_table.read(out).table()
  pd.testing.assert_frame_equal(frame, here)


def test_the_runs_of_a_grid_may_share_their_past(whole, tmp_path, cache):
  changes = {
    **overrides(cache),
    'total_steps': launch.STEPS,
    'schedule_kw.period': launch.PERIOD,
  }
  frame = ablate.ablate(
    CONFIG,
    {'schedule': ['constant']},
    tmp_path / 'out',
    overrides=changes,
    past=(whole, launch.PERIOD),
  )
  assert frame['runs'].tolist() == [1]
  run = runs.read(tmp_path / 'out' / 'schedule=constant')
  assert run.info['branched_from']['step'] == launch.PERIOD
  assert run.column('step').tolist() == list(range(launch.STEPS))
  caps = run.column('cap')
  assert len(set(caps[: launch.PERIOD])) > 1
  assert set(caps[launch.PERIOD :]) == {8}


@pytest.mark.filterwarnings('ignore::ResourceWarning')  # submitit's logs.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_failed_job_gives_the_reason_as_a_failed_process_does(tmp_path):
  (run,) = grid.runs(CONFIG, {'seed': [0]}, tmp_path, {})
  run.arguments.append('--config.seed=-1')
  attempt = executors.Attempt(run, tmp_path / 'said.txt')
  place = dict(cluster='debug', folder=tmp_path / 'submitit', partition='')
  ends = executors.submitted([attempt], **place, gpus=0, cpus=1, hours=0.1)
  (end,) = [end for end in ends if end[0]]
  assert end == (run, 2)
  assert 'seed=-1 is not' in (tmp_path / 'said.txt').read_text()


def test_runs_share_the_machine_without_sharing_cores(monkeypatch):
  (run,) = grid.runs(CONFIG, {'seed': [0]}, 'out', {})
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 1, 2, 3})
  shares = executors.shares(run.config, jobs=2)
  assert shares == [({}, (0, 2)), ({}, (1, 3))]
  # Four GPUs of eight a run.
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,1,2,3,4,5,6,7')
  run.config.mesh_kw.fsdp = 4
  assert executors.shares(run.config, jobs=0) == [
    ({'CUDA_VISIBLE_DEVICES': '0,1,2,3'}, ()),
    ({'CUDA_VISIBLE_DEVICES': '4,5,6,7'}, ()),
  ]


def test_a_table_of_another_folder_is_refused(tmp_path, capsys):
  with pytest.raises(ValueError, match='is not an ablation'):
    ablation_table.read(tmp_path)
  assert table.main([str(tmp_path)]) == exit_status.REFUSED
  assert str(tmp_path) in capsys.readouterr().err
  status = ablate_command.main(
    [
      f'--config={CONFIG}',
      f'--out={tmp_path / "o"}',
      '--axis=group_size=1',
      '--axis=seed=0',
    ]
  )
  assert status == 2
  assert 'group_size=1' in capsys.readouterr().err
  assert list(tmp_path.iterdir()) == []


def test_slurm_on_a_machine_without_it_is_refused_in_a_line(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv('PATH', str(tmp_path))
  words = ['--config=configs/quickstart.py', '--axis=seed=0']
  words += [f'--out={tmp_path / "out"}', '--executor=slurm']
  assert ablate_command.main(words) == exit_status.REFUSED
  said = capsys.readouterr().err.splitlines()
  assert len(said) == 2
  assert 'no srun on this machine' in said[1]
  assert not (tmp_path / 'out').exists()
