"""TensorBoard and Weights & Biases: values, and steps after a resume."""

import struct
import sys
import time

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from siri_jax.runtime import writers

INFO = {'id': 'run-1a2b3c4d', 'attempts': [{'step': 0}]}
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


def points(events):
  return [
    (event.step, value.tag, value.simple_value)
    for event in events
    for value in event.summary.value
  ]


def test_tensorboard_gets_every_finite_number_at_its_step(folder):
  views = writers.open_writers(('tensorboard',), folder, INFO, 0)
  record = {'step': 0, 'cap': 92, 'phase': 'compress', 'length_wrong': None}
  views.write(0, {**record, 'loss': np.float32(0.5), 'grad_norm': np.nan})
  views.write(1, {'cap': 91})
  views.close()
  (events,) = event_files(folder).values()
  assert points(events) == [(0, 'cap', 92), (0, 'loss', 0.5), (1, 'cap', 91)]


def test_a_resume_hides_the_steps_that_it_repeats(folder, monkeypatch):
  # Both attempts in one second: the second must not overwrite the first.
  now = time.time()
  monkeypatch.setattr(time, 'time', lambda: now)
  for info, first in ((INFO, 0), (RESUMED, 2)):
    views = writers.open_writers(('tensorboard',), folder, info, first)
    for step in (first, first + 1, first + 2):
      views.write(step, {'cap': step})
    views.close()
  files = event_files(folder)
  assert [step for step, _, _ in points(files['.1'])] == [0, 1, 2]
  assert [step for step, _, _ in points(files['.2'])] == [2, 3, 4]
  restarts = [e.step for e in files['.2'] if e.session_log.status == 1]
  assert restarts == [2]


def test_without_writers_nothing_is_written(folder):
  views = writers.open_writers((), folder, INFO, 0)
  views.write(0, {'cap': 92})
  views.close()


def test_every_unknown_writer_is_listed_at_once(monkeypatch):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  first, second = writers.faults(('tensorbord', 'tensorboard', 'wandb'))
  assert "unknown writer 'tensorbord'; choose from tensorboard, wandb" in first
  assert "'wandb'" in second
  assert 'pip install wandb' in second


def test_a_missing_package_is_named_before_a_file_is_written(
  folder, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'wandb', None)
  with pytest.raises(ValueError, match='pip install wandb'):
    writers.open_writers(('tensorboard', 'wandb'), folder, INFO, 0)
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
  views = writers.open_writers(('wandb',), folder, INFO, 0)
  views.write(0, {'cap': 92})
  views.close()
  (data,) = folder.glob(f'wandb/offline-run-*/*{INFO["id"]}.wandb')
  deadline = time.monotonic() + 20  # Another process writes the file.
  while b'seed' not in data.read_bytes():
    assert time.monotonic() < deadline, 'the settings go with it'
    time.sleep(0.1)
