"""Hub names: what is fetched, from a server on this machine, and refusals."""

import os
import re
import subprocess
import sys

import fake_hub
import pytest

from configs import cosine640, cosine640_7b
from siri_jax.data import hub_names
from siri_jax.models.hf import hub

ASK = """
import sys
from siri_jax.models.hf import hub
name = hub.parse(sys.argv[1])
try:
  if sys.argv[2:] == ['list']:
    print([tuple(file) for file in hub.listed(name, hub.MODEL)])
  elif sys.argv[2:]:
    import huggingface_hub
    print(huggingface_hub.hf_hub_download(name.repo, sys.argv[2]))
  else:
    print(hub.in_cache(name, hub.MODEL), hub.folder(sys.argv[1]).name)
except hub.HubError as error:
  print('refused:', error)
"""
PAPERS = cosine640.get_config(), cosine640_7b.get_config()
WEIGHTS = 24_000_000  # Bytes: more than is received before it is written.


@pytest.fixture
def server(tmp_path):
  """A Hub with a model and a gated one."""
  for repo in ('me/tiny', 'gated/tiny'):
    folder = tmp_path / 'hub/models' / repo
    folder.mkdir(parents=True)
    (folder / 'config.json').write_text('{}')
    (folder / 'model.safetensors').write_bytes(bytes(WEIGHTS))
    (folder / 'pytorch_model.bin').write_text('pickled')
    (folder / 'modeling.py').write_text('raise SystemExit("it was run")')
  with fake_hub.FakeHub(tmp_path / 'hub').serving() as server:
    yield server


@pytest.fixture
def ask(tmp_path, server):
  """Asks for a name in a process of its own; returns what it prints."""

  def run(*words, **settings):
    given = {'HF_HUB_OFFLINE': '0', 'HF_ENDPOINT': server.url, **settings}
    home = {'HF_HOME': str(tmp_path / 'home')}
    done = subprocess.run(
      [sys.executable, '-c', ASK, *words],
      env={**os.environ, **home, **given},
      capture_output=True,
      text=True,
      check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()

  return run


@pytest.mark.parametrize(
  ('text', 'name'),
  [
    ('me/tiny', ('me/tiny', 'main', '')),
    ('me/tiny@v1.0', ('me/tiny', 'v1.0', '')),
    ('me/sums@c0ffee:data/test', ('me/sums', 'c0ffee', 'data/test')),
  ],
)
def test_a_name_has_an_owner_a_revision_and_a_split(text, name):
  assert hub.parse(text) == name


@pytest.mark.parametrize(
  'text',
  [
    *('', 'tiny', '/me/tiny', './me/tiny', '../tiny', '~/tiny', 'a/b/c'),
    *('tests/', 'data/train.jsonl', 'data/train.parquet', 'tests/models'),
  ],
)
def test_other_texts_are_paths(text):
  assert hub.parse(text) is None


def test_the_papers_names_are_pinned_to_commits():
  names = [need.name for c in PAPERS for need in hub_names.needs(c)]
  assert len(names) == 2 * (1 + 1 + 4)
  assert {len(name.revision) for name in names} == {40}


@pytest.mark.slow
def test_only_weights_tokenizer_and_config_are_fetched_and_only_once(
  ask, server
):
  assert ask('me/tiny') == f'False {fake_hub.COMMIT}'
  assert sorted(server.fetched()) == ['config.json', 'model.safetensors']
  assert ask('me/tiny') == f'True {fake_hub.COMMIT}'
  assert len(server.fetched()) == 2


@pytest.mark.slow
def test_a_folder_of_some_files_is_completed(ask, server):
  ask('me/tiny', 'config.json')  # As other programs fetch single files.
  assert ask('me/tiny') == f'False {fake_hub.COMMIT}'
  assert server.fetched() == ['config.json', 'model.safetensors']


@pytest.mark.slow
def test_a_listing_has_the_sizes_and_fetches_nothing(ask, server):
  files = [('config.json', 2), ('model.safetensors', WEIGHTS)]
  assert ask('me/tiny', 'list') == str([(*file, False) for file in files])
  assert server.fetched() == []
  ask('me/tiny')
  assert ask('me/tiny', 'list') == str([(*file, True) for file in files])


@pytest.mark.slow
def test_a_connection_cut_in_the_middle_is_resumed(ask, server):
  server.cuts.append('*/model.safetensors')
  assert ask('me/tiny') == f'False {fake_hub.COMMIT}'
  ranges = [asked for _, _, asked in server.asked if asked]
  assert len(ranges) == 1
  assert ranges[0] not in (None, 'bytes=0-')


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('gated/tiny', 'gives this model only to those .* set HF_TOKEN'),
    ('me/none', r'\(HF_ENDPOINT\) has no model of this name: .* HF_TOKEN'),
    ('me/tiny@v2', 'no such revision; name another'),
  ],
)
@pytest.mark.parametrize('words', [(), ('list',)])
def test_what_the_hub_refuses_is_one_message(ask, name, message, words):
  printed = ask(name, *words)
  assert len(printed.splitlines()) == 1
  assert re.search(f"refused: '{name}.*' is no path .*{message}", printed)


@pytest.mark.slow
@pytest.mark.parametrize(
  'settings',
  [{'HF_HUB_OFFLINE': '1'}, {'HF_ENDPOINT': 'http://127.0.0.1:9'}],
)
def test_without_a_network_a_warm_cache_goes_on_and_a_cold_one_is_refused(
  ask, settings
):
  assert 'does not have it whole' in (cold := ask('me/tiny', **settings))
  assert len(cold.splitlines()) == 1
  assert next(iter(settings)) in cold
  ask('me/tiny')
  assert ask('me/tiny', **settings) == f'True {fake_hub.COMMIT}'
