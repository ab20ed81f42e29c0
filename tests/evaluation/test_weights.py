"""What the words of --weights mean, and what it is called."""

import pytest

from siri_jax.evaluation import weights
from tests.helpers import tiny


def found(*words, workdir='runs/none'):
  """Names of the weights that these words mean, in order."""
  c = tiny.get_config()
  named = [weights.find(c, str(word), workdir) for word in words]
  return [each.name for each in weights.distinct(named)]


def test_weights_of_one_name_are_told_apart_by_where_they_lie(tmp_path):
  places = ('a/run/hf', 'b/run/hf', 'c/hf', 'start')
  one, two, three, start = (tmp_path / place for place in places)
  for folder in (one, two, three, start):
    folder.mkdir(parents=True)
  (tmp_path / 'link').symlink_to(one)
  assert found(one) == ['hf']
  assert found(one, three) == ['run-hf', 'c-hf']
  assert found(one, two) == ['a-run-hf', 'b-run-hf']
  assert found(one, f'{one}/', tmp_path / 'link', one / '../hf') == ['hf']
  assert found('start', start) == ['start', f'{tmp_path.name}-start']
  servers = ('http://n:1', 'HTTP://N:1/v1/', 'https://n:1', 'http://n:1/b')
  assert found(*servers) == ['http-n-1', 'https-n-1', 'b-n-1']
  assert found(*servers[:2]) == ['n-1']


def test_a_checkpoint_and_an_export_of_it_have_names_of_their_own(tmp_path):
  (tmp_path / 'checkpoints').mkdir()
  (tmp_path / 'checkpoints' / '000640.manifest.json').write_text('{}')
  export = tmp_path / 'export' / '000640'
  export.mkdir(parents=True)
  words = ('newest', 640, export, '0640')
  assert found(*words, workdir=tmp_path) == ['000640', 'export-000640']
  with pytest.raises(ValueError, match='no such checkpoint'):
    found('9' * 5000, workdir=tmp_path)


def test_weights_that_no_name_tells_apart_are_refused(tmp_path):
  folders = [tmp_path / f for f in ('a-b/c', 'q/c', 'a/b-c', 'q/b-c')]
  for folder in folders:
    folder.mkdir(parents=True)
  with pytest.raises(ValueError, match='have the name a-b-c; evaluate them'):
    found(*folders)


def test_a_hub_name_is_the_weights_of_a_model(monkeypatch, tmp_path):
  assert found('me/tiny') == ['tiny']
  assert found('me/tiny', 'me/tiny@v2') == ['tiny', 'tiny@v2']
  assert found('me/tiny', 'you/tiny') == ['me-tiny', 'you-tiny']
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'me/tiny').mkdir(parents=True)
  own = weights.find(tiny.get_config(), 'me/tiny', 'runs/none')
  assert own.c.model_path == str(tmp_path / 'me/tiny')
