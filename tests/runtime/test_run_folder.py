"""A run's folder: lock, settings and records."""

import datetime
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from siri_jax.rollout import weight_sync
from siri_jax.rollout.vllm_plugin import weight_reader
from siri_jax.runtime import checkpoint, files, provenance, run_folder

CONFIG = {
  'seed': 3,
  'total_steps': 10,
  'learning_rate': 1e-6,
  'writers': ('tensorboard',),
  'schedule_kw': {'low': 46, 'high': 92},
  'task_kw': {},
}


def opened(path, config=CONFIG, **options):
  options = {'source': 'configs/a.py:constant', 'overrides': {}, **options}
  return run_folder.RunFolder(path, config, **options)


def begun(path, config=CONFIG, **options):
  """Starts an attempt that does nothing."""
  with opened(path, config, **options) as folder:
    folder.start(0)


def changed(**changes):
  return {**CONFIG, **changes}


@pytest.fixture
def folder(tmp_path):
  with opened(tmp_path / 'run') as folder:
    yield folder


# The lock.


def test_a_folder_is_locked_even_within_a_process(folder):
  with pytest.raises(run_folder.RunFolderError, match=f'pid {os.getpid()}'):
    opened(folder.path)


def test_a_refused_config_leaves_the_folder_free(tmp_path):
  begun(tmp_path)
  for _ in range(2):
    with pytest.raises(run_folder.RunFolderError, match='other settings'):
      opened(tmp_path, changed(seed=4))
  begun(tmp_path)


# Settings.


def test_other_settings_are_refused_with_every_difference(tmp_path):
  begun(tmp_path)
  before = (tmp_path / 'config.json').read_bytes()
  other = changed(seed=4, schedule_kw={'low': 48, 'high': 92}, new=1)
  with pytest.raises(run_folder.RunFolderError) as refusal:
    opened(tmp_path, other)
  message = str(refusal.value)
  assert 'seed: 3 -> 4' in message
  assert 'schedule_kw.low: 46 -> 48' in message
  assert 'new: (absent) -> 1' in message
  assert 'high' not in message
  assert '--allow_change=seed,schedule_kw.low,new' in message
  assert (tmp_path / 'config.json').read_bytes() == before


def test_an_attempt_that_never_starts_leaves_no_settings(tmp_path):
  opened(tmp_path, changed(seed=4)).close()
  begun(tmp_path)


def test_a_free_setting_may_differ(tmp_path):
  begun(tmp_path)
  begun(tmp_path, changed(writers=()), free=('writers',))
  assert json.loads((tmp_path / 'config.json').read_text())['writers'] == []


def test_a_name_allows_changes_below_it_and_no_others(tmp_path):
  begun(tmp_path)
  other = changed(schedule_kw={'low': 40, 'high': 80})
  begun(tmp_path, other, allow_change=('schedule_kw',))
  with pytest.raises(run_folder.RunFolderError, match='task_kw'):
    opened(tmp_path, {**other, 'task_kw': {'n': 1}}, allow_change=('task',))


def test_settings_of_a_checkpoint_are_compared_like_the_folders(
  tmp_path,
):
  with opened(tmp_path, changed(seed=4)) as folder:
    told = r'has checkpoints of other settings:\n  seed: 3 -> 4\n.*_change=seed'
    with pytest.raises(run_folder.RunFolderError, match=told):
      folder.refuse_settings(CONFIG, 'has checkpoints of')
  with opened(tmp_path, changed(seed=4), allow_change=('seed',)) as folder:
    changes = folder.refuse_settings(CONFIG, 'has checkpoints of')
    assert changes == [('seed', 3, 4)]


def test_a_run_may_grow_longer_but_not_shorter(tmp_path):
  begun(tmp_path)
  begun(tmp_path, changed(total_steps=20))
  with pytest.raises(run_folder.RunFolderError, match='total_steps: 20 -> 10'):
    opened(tmp_path)


def test_an_allowed_change_is_an_event(tmp_path):
  begun(tmp_path)
  begun(tmp_path, changed(seed=4), allow_change=('seed',))
  (event,) = files.read_records(tmp_path / 'events.jsonl')
  assert event['kind'] == 'settings_changed'
  assert event['changes'] == [['seed', 3, 4]]


# RUN.json.


def test_run_json_describes_the_run_and_the_machine(tmp_path):
  with opened(tmp_path, overrides={'seed': 3}) as folder:
    folder.start(0)
  info = json.loads((tmp_path / 'RUN.json').read_text())
  assert info['id'].startswith(f'{tmp_path.name}-')
  assert (info['config'], info['arg']) == ('configs/a.py', 'constant')
  assert (info['overrides'], info['seed']) == ({'seed': 3}, 3)
  assert info['argv'] == sys.orig_argv
  assert info['host'] == socket.gethostname()
  assert info['versions']['numpy'] == np.__version__
  assert info['versions']['python'] == sys.version.split()[0]
  (attempt,) = info['attempts']
  assert attempt['step'] == 0
  datetime.datetime.fromisoformat(attempt['started'])


def test_a_later_attempt_lists_where_it_starts_and_what_differs(tmp_path):
  for step, overrides in ((0, {}), (7, {'total_steps': 20})):
    with opened(tmp_path, overrides=overrides) as folder:
      folder.start(step)
  info = json.loads((tmp_path / 'RUN.json').read_text())
  first, second = info['attempts']
  assert set(first) == {'started', 'step'}
  assert second.pop('started')
  assert second == {'step': 7, 'overrides': {'total_steps': 20}}
  assert info['overrides'] == {}


def git(folder, *words):
  who = ('-c', 'user.name=a', '-c', 'user.email=a@b')
  command = ['git', '-C', str(folder), *who, *words]
  return subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.mark.skipif(not shutil.which('git'), reason='git is not installed')
def test_run_json_has_the_commit_and_whether_it_was_changed(tmp_path):
  assert provenance.commit(tmp_path) == {}
  git(tmp_path, 'init')
  (tmp_path / 'a').write_text('a')
  git(tmp_path, 'add', 'a')
  git(tmp_path, 'commit', '-m', 'a')
  sha = git(tmp_path, 'rev-parse', 'HEAD').stdout.strip()
  assert provenance.commit(tmp_path) == {'sha': sha, 'dirty': False}
  (tmp_path / 'a').write_text('b')
  assert provenance.commit(tmp_path) == {'sha': sha, 'dirty': True}
  inside = tmp_path / 'site-packages'
  inside.mkdir()
  assert provenance.commit(inside) == {}, 'an installed copy has no commit'


# Records.


def test_a_record_is_a_line_of_strict_json_in_the_given_order(folder):
  record = {'step': 1, 'b': float('nan'), 'a': np.float32(0.5), 'c': -np.inf}
  folder.append('metrics', record)
  folder.append('metrics', {'step': 2, 'ids': np.arange(3), 'x': (1.5, None)})
  assert (folder.path / 'metrics.jsonl').read_text() == (
    '{"step": 1, "b": null, "a": 0.5, "c": null}\n'
    '{"step": 2, "ids": [0, 1, 2], "x": [1.5, null]}\n'
  )


def test_a_record_is_in_the_file_as_soon_as_it_is_appended(folder):
  folder.append('eval', {'step': 0})
  assert files.read_records(folder.path / 'eval.jsonl') == [{'step': 0}]


def with_steps(folder, steps, torn=''):
  for step in steps:
    folder.append('metrics', {'step': step, 'loss': step / 7})
  path = folder.path / 'metrics.jsonl'
  path.write_text(path.read_text() + torn)
  return path


def test_a_reader_skips_an_incomplete_last_line(folder):
  path = with_steps(folder, (0, 1), torn='{"step": 2, "lo')
  assert [r['step'] for r in files.read_records(path)] == [0, 1]


def test_opening_removes_an_incomplete_last_line(tmp_path):
  with opened(tmp_path) as folder:
    path = with_steps(folder, (0, 1), torn='{"step": 2, "lo')
  with opened(tmp_path) as folder:
    folder.append('metrics', {'step': 2})
  assert [r['step'] for r in files.read_records(path)] == [0, 1, 2]


@pytest.mark.parametrize('torn', ['', '{"step": 4}', '{"st', '\0\0', 'x\n'])
def test_rewinding_restores_the_bytes_of_that_step(folder, torn):
  then = with_steps(folder, range(3)).read_bytes()
  path = with_steps(folder, (3,), torn)
  folder.rewind('metrics', 2)
  assert path.read_bytes() == then
  folder.rewind('metrics', -1)
  assert path.read_bytes() == b''


def test_rewinding_a_missing_file_does_nothing(folder):
  folder.rewind('eval', 0)
  assert not (folder.path / 'eval.jsonl').exists()


def test_an_interrupted_rewind_leaves_the_records(folder, monkeypatch):
  path = with_steps(folder, range(4))
  before = path.read_bytes()

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'replace', full)
  with pytest.raises(OSError, match=r"No space left.*metrics\.jsonl'"):
    folder.rewind('metrics', 1)
  assert path.read_bytes() == before
  assert [p for p in folder.path.iterdir() if 'draft' in p.name] == []


def test_damage_before_the_last_line_is_named_by_file_and_line(folder):
  path = with_steps(folder, (0,), torn='{"step": \n{"step": 2}\n')
  with pytest.raises(ValueError, match=r'metrics\.jsonl:2 is not a JSON obj'):
    files.read_records(path)


# Rollouts, and the clock.


def test_rollouts_are_read_back_as_they_were(folder):
  rows = [{'text': 'wait \u2014 \ud83d', 'ids': [1, 2]}, {'reward': 1.0}]
  folder.write_rollouts(20, iter(rows))
  with gzip.open(folder.path / 'rollouts/000020.jsonl.gz', 'rt') as file:
    assert [json.loads(line) for line in file] == rows


def test_rollouts_are_the_same_bytes_at_any_hour(folder, monkeypatch):
  written = []
  for hour in (0, -3600, 3600):
    now = time.time() + hour
    monkeypatch.setattr(time, 'time', lambda now=now: now)
    folder.write_rollouts(0, [{'text': 'a'}])
    path = folder.path / 'rollouts' / '000000.jsonl.gz'
    written.append(path.read_bytes())
  assert written[0] == written[1] == written[2]


def test_events_are_in_order(folder):
  folder.event('resumed', step=5)
  folder.event('skipped', step=6, why='loss is nan')
  events = files.read_records(folder.path / 'events.jsonl')
  assert [e['kind'] for e in events] == ['resumed', 'skipped']
  assert events[1]['why'] == 'loss is nan'


def test_an_evaluations_samples_are_under_its_step_and_set(folder):
  folder.write_evaluation(27, 'held_out', [{'text': 'a', 'correct': True}])
  path = folder.path / 'eval/000027/held_out.jsonl.gz'
  with gzip.open(path, 'rt') as file:
    assert json.load(file) == {'text': 'a', 'correct': True}


@pytest.mark.parametrize(
  ('name', 'begins'),
  [('schedule=cosine,seed=0', 'schedule-cosine-seed-0-'), ('.läuft', 'l-uft-')],
)
def test_a_runs_id_may_name_a_push_whatever_its_folder_is_called(
  tmp_path, name, begins
):
  with opened(tmp_path / name) as folder:
    folder.start(0)
  found = json.loads((tmp_path / name / 'RUN.json').read_text())['id']
  assert found.startswith(begins)
  assert weight_reader.NAME.fullmatch(f'{found}-000640')


@pytest.mark.parametrize('name', ['RUN.json', 'config.json'])
@pytest.mark.parametrize(
  'content',
  [
    *(b'', b'{"id": ', b'[1]', b'\xff\xfe', b'null'),
    *(b'{"n": 1%s}' % (b'0' * 5000), b'[' * 100_000),
  ],
  ids=range(7),
)
def test_a_damaged_file_is_named(tmp_path, name, content):
  opening = dict(source='configs/a.py', overrides={})
  run_folder.RunFolder(tmp_path, {'seed': 0}, **opening).close()
  (tmp_path / name).write_bytes(content)
  with pytest.raises(run_folder.RunFolderError, match=f'{name} is damaged'):
    run_folder.RunFolder(tmp_path, {'seed': 0}, **opening)


@pytest.mark.parametrize(
  ('info', 'told'),
  [
    ({'id': 5}, 'id is 5'),
    ({'id': '../other'}, "id is '../other'"),
    ({'attempts': 3}, 'attempts is 3'),
    ({'attempts': None}, 'attempts is None'),
  ],
)
def test_what_a_run_cannot_be_in_run_json_is_named(tmp_path, info, told):
  (tmp_path / 'RUN.json').write_text(json.dumps(info))
  with pytest.raises(run_folder.RunFolderError) as refusal:
    opened(tmp_path)
  path = tmp_path / 'RUN.json'
  assert str(refusal.value) == f'{path} is damaged: {told}'


def test_a_folder_with_a_backslash_is_refused_before_it_is_made(tmp_path):
  with pytest.raises(run_folder.RunFolderError, match='backslash'):
    run_folder.RunFolder(
      tmp_path / r'a$\frac{1$b',
      {'seed': 0},
      source='configs/a.py',
      overrides={},
    )
  assert list(tmp_path.iterdir()) == []


def test_a_folder_within_one_with_a_backslash_is_refused_too(
  tmp_path, monkeypatch
):
  within = tmp_path / r'a\b'
  within.mkdir()
  (tmp_path / 'link').symlink_to(within)
  monkeypatch.chdir(within)
  for path in ('run', tmp_path / 'link/run'):
    with pytest.raises(run_folder.RunFolderError, match='backslash'):
      opened(path)
  with pytest.raises(ValueError, match='backslash'):
    checkpoint.CheckpointManager('warm_start', keep=1)
  with pytest.raises(ValueError, match='backslash'):
    weight_sync.WeightPublisher('p', 'r', None, push_secs=1.0, sleeps=False)
  assert list(within.iterdir()) == []


@pytest.mark.parametrize(
  ('names', 'part'),
  [
    (('ablation.json', 'logs/a.txt'), 'the folder of an ablation'),
    (('model.safetensors',), 'something else: it has model.safetensors'),
    (('run/RUN.json',), 'something else: it has run and no RUN.json'),
    (('slurm-12.out', '.lock', 'evaluations/start/a'), None),
    (('RUN.json', 'notes.md'), None),
  ],
)
def test_a_folder_with_other_things_is_not_made_a_runs(tmp_path, names, part):
  for name in names:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('')
  if part is None:
    run_folder.refuse_foreign(tmp_path)
  else:
    with pytest.raises(run_folder.RunFolderError, match=part) as error:
      run_folder.refuse_foreign(tmp_path)
    assert '--workdir' in str(error.value)


def test_a_folder_that_does_not_exist_may_be_made_a_runs(tmp_path):
  run_folder.refuse_foreign(tmp_path / 'new')
