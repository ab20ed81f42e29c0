"""TensorBoard and Weights & Biases: values, and steps after a resume."""

import contextlib
import json
import sqlite3
import struct
import sys
import time

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from siri_jax.runtime import writers

INFO = {'id': 'run-1a2b3c4d', 'attempts': [{'step': 0}]}
KW = {'project': 'siri_jax', 'entity': '', 'group': '', 'tags': ('fast',)}
RESUMED = {**INFO, 'attempts': [{'step': 0}, {'step': 2}]}


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'config.json').write_text('{"seed": 3}')
  return tmp_path


def event_files(folder):
  """Each TensorBoard file of a run as a list of events, by its suffix."""
  files = {}
  for path in (folder / 'tensorboard').iterdir():
    data, events = path.read_bytes(), []
    while data:  # Length, its checksum, the event, its checksum.
      size = struct.unpack('<Q', data[:8])[0]
      events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
      data = data[16 + size :]
    files[path.suffix] = events
  return files


def opened(name, folder, info=INFO, first=0):
  return writers.open_writers((name,), folder, info, first, **KW)


def points(events):
  return [
    (event.step, value.tag, value.simple_value)
    for event in events
    for value in event.summary.value
    if value.HasField('simple_value')
  ]


def test_tensorboard_gets_every_finite_number_at_its_step(folder):
  views = opened('tensorboard', folder)
  record = {'step': 0, 'cap': 92, 'phase': 'compress', 'length_wrong': None}
  views.write(0, {**record, 'loss': np.float32(0.5), 'grad_norm': np.nan})
  views.write(1, {'cap': 91})
  views.close()
  (events,) = event_files(folder).values()
  assert points(events) == [
    (0, 'rollout/cap', 92),
    (0, 'train/loss', 0.5),
    (1, 'rollout/cap', 91),
  ]


@pytest.mark.parametrize(
  ('name', 'tag'),
  [
    ('loss', 'train/loss'),
    ('my_own_metric', 'train/my_own_metric'),
    ('length_mean', 'rollout/length_mean'),
    ('update_secs', 'time/update_secs'),
    ('tokens_per_sec', 'time/tokens_per_sec'),
    ('grader_timeouts', 'grader/timeouts'),
    ('sampler_gap', 'sampler/gap'),
    ('eval/held_out/accuracy', 'eval/held_out/accuracy'),
  ],
)
def test_a_tag_has_the_group_of_its_metric(name, tag):
  assert writers.tag(name) == tag


def test_tensorboard_ends_with_the_settings_and_the_last_evaluations(folder):
  views = opened('tensorboard', folder)
  for step, accuracy in ((0, 0.5), (8, 0.75)):
    views.write(step, {'eval/held_out/accuracy': accuracy})
  views.close()
  (events,) = event_files(folder).values()
  summaries = [v for event in events for v in event.summary.value]
  plugin = {
    value.tag: value.metadata.plugin_data.content.decode(errors='replace')
    for value in summaries
    if value.metadata.plugin_data.plugin_name == 'hparams'
  }
  assert set(plugin) == {
    f'_hparams_/{part}'
    for part in ('experiment', 'session_start_info', 'session_end_info')
  }
  assert 'eval/held_out/accuracy' in plugin['_hparams_/experiment']
  assert 'seed' in plugin['_hparams_/session_start_info']


def test_a_run_of_an_ablation_is_in_its_group_unless_another_is_named(tmp_path):
  run = tmp_path / 'shapes' / 'seed=0'
  run.mkdir(parents=True)
  assert writers.group_of(run, KW) == ''
  (tmp_path / 'shapes/ablation.json').write_text('{}')
  assert writers.group_of(run, KW) == 'shapes'
  assert writers.group_of(run, {**KW, 'group': 'mine'}) == 'mine'


def test_the_command_that_opens_the_metrics_is_told():
  names = 'tensorboard', 'trackio'
  assert writers.commands(names, 'runs/here', 'sums') == [
    'tensorboard --logdir=runs',
    'trackio show --project sums',
  ]


def test_a_resume_hides_the_steps_that_it_repeats(folder, monkeypatch):
  # Both attempts in one second: the second must not overwrite the first.
  now = time.time()
  monkeypatch.setattr(time, 'time', lambda: now)
  for info, first in ((INFO, 0), (RESUMED, 2)):
    views = opened('tensorboard', folder, info, first)
    for step in (first, first + 1, first + 2):
      views.write(step, {'cap': step})
    views.close()
  files = event_files(folder)
  assert [step for step, _, _ in points(files['.1'])] == [0, 1, 2]
  assert [step for step, _, _ in points(files['.2'])] == [2, 3, 4]
  restarts = [e.step for e in files['.2'] if e.session_log.status == 1]
  assert restarts == [2]


def test_without_writers_nothing_is_written(folder):
  views = writers.open_writers((), folder, INFO, 0, **KW)
  views.write(0, {'cap': 92})
  views.close()


def test_every_unknown_writer_is_listed_at_once(monkeypatch):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  first, second = writers.faults(('tensorbord', 'tensorboard', 'wandb'))
  assert (
    "unknown writer 'tensorbord'; choose from tensorboard, wandb, trackio"
    in first
  )
  assert "'wandb'" in second
  assert 'pip install wandb' in second


def test_a_missing_package_is_named_before_a_file_is_written(
  folder, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  with pytest.raises(ValueError, match='pip install wandb'):
    writers.open_writers(('tensorboard', 'wandb'), folder, INFO, 0, **KW)
  assert not (folder / 'tensorboard').exists()


def test_a_writer_that_fails_does_not_end_the_run():
  class View:
    def __init__(self):
      self.asked = []

    def write(self, step, scalars):
      self.asked.append(step)
      raise OSError('no space')

    def close(self):
      self.asked.append('close')
      raise OSError('no space')

  views = [View(), View()]
  both = writers.Writers(views)
  both.write(3, {'loss': 1.0})
  both.close()
  assert [view.asked for view in views] == [[3, 'close'], [3, 'close']]


@pytest.mark.slow
@pytest.mark.filterwarnings('default')  # Warnings of the library.
def test_wandb_keeps_an_offline_run_of_the_folders_id(folder, monkeypatch):
  pytest.importorskip('wandb')
  monkeypatch.setenv('WANDB_MODE', 'offline')
  monkeypatch.setenv('WANDB_SILENT', 'true')
  views = opened('wandb', folder)
  views.write(0, {'cap': 92})
  views.close()
  (data,) = folder.glob(f'wandb/offline-run-*/*{INFO["id"]}.wandb')
  deadline = time.monotonic() + 20  # Another process writes the file.
  while not all(word in data.read_bytes() for word in (b'seed', b'fast')):
    assert time.monotonic() < deadline, 'settings and tags go with it'
    time.sleep(0.1)


@pytest.mark.filterwarnings('default')  # Warnings of the library.
def test_trackio_keeps_one_run_of_the_folders_id(folder, monkeypatch):
  monkeypatch.setenv('TRACKIO_DIR', str(folder / 'trackio'))
  trackio = pytest.importorskip('trackio')
  for first, info in ((0, INFO), (2, RESUMED)):
    views = opened('trackio', folder, info, first)
    views.write(first, {'cap': 92 - first})
    views.close()
  (run,) = trackio.Api().runs('siri_jax')
  assert run.name == INFO['id']
  assert run.config['seed'] == 3
  (data,) = (folder / 'trackio').glob('*.db')
  with contextlib.closing(sqlite3.connect(data)) as base:
    rows = base.execute('select step, metrics from metrics').fetchall()
  values = [(step, json.loads(metrics)) for step, metrics in rows]
  assert values == [(0, {'rollout/cap': 92}), (2, {'rollout/cap': 90})]
