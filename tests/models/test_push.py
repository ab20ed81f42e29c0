"""Uploads to the Hub: to a server on this machine."""

import fake_hub
import pytest
from huggingface_hub import constants

from siri_jax.models.hf import hub, push

FILES = {
  'README.md': b'---\nlibrary_name: transformers\n---\n',
  'config.json': b'{}',
  'model.safetensors': bytes(2000),
}

# huggingface_hub's, of its HTTP client.
pytestmark = pytest.mark.filterwarnings(
  "ignore:Use 'content:DeprecationWarning"
)


@pytest.fixture
def folder(tmp_path):
  folder = tmp_path / 'out'
  folder.mkdir()
  for name, data in FILES.items():
    (folder / name).write_bytes(data)
  return folder


@pytest.fixture
def server(tmp_path, monkeypatch):
  """A Hub on this machine, and a token that it accepts."""
  monkeypatch.setenv('HF_TOKEN', fake_hub.TOKEN)
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
  monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)
  with fake_hub.FakeHub(tmp_path / 'hub').serving() as server:
    monkeypatch.setattr(constants, 'ENDPOINT', server.url)
    yield server


def test_the_hub_has_every_file_after_a_push(folder, server):
  assert push.push(folder, 'me/new', private=True) == f'{server.url}/me/new'
  there = server.folder / 'models/me/new'
  assert {p.name: p.read_bytes() for p in there.iterdir()} == FILES
  assert server.private == ['me/new']


def test_a_second_push_updates_the_repository(folder, server):
  push.push(folder, 'me/new', private=False)
  (folder / 'config.json').write_text('{"other": 1}')
  push.push(folder, 'me/new', private=False)
  there = server.folder / 'models/me/new/config.json'
  assert there.read_text() == '{"other": 1}'
  assert server.private == []


@pytest.mark.parametrize(
  ('name', 'token', 'cut', 'told'),
  [
    ('me/new', 'hf_old', '', 'refuses the token (401); run `hf auth login`'),
    ('others/new', fake_hub.TOKEN, '', 'the token may not write there (403'),
    ('me/new', fake_hub.TOKEN, '/api/repos/create', 'check the connection'),
  ],
  ids=['401', '403', 'cut'],
)
def test_a_refused_push_says_why_and_how_to_repeat_it(
  folder, server, monkeypatch, name, token, cut, told
):
  monkeypatch.setenv('HF_TOKEN', token)
  server.cuts.append(cut)
  with pytest.raises(hub.HubError) as caught:
    push.push(folder, name, private=False)
  said = str(caught.value)
  assert told in said
  assert f'then run hf upload {name} {folder}' in said
  assert '\n' not in said
  assert token not in said
  assert {p.name: p.read_bytes() for p in folder.iterdir()} == FILES


@pytest.mark.parametrize(
  ('name', 'token', 'told'),
  [
    ('me/new', '', 'no token; run `hf auth login`, or set HF_TOKEN'),
    ('me//new', fake_hub.TOKEN, 'Write OWNER/NAME'),
  ],
)
def test_a_push_that_cannot_start_is_refused_without_a_request(
  server, monkeypatch, tmp_path, name, token, told
):
  monkeypatch.setenv('HF_TOKEN', token)
  monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(tmp_path / 'none'))
  with pytest.raises(hub.HubError) as caught:
    push.check(name)
  assert told in str(caught.value)
  assert server.asked == []
