"""The public API, as a notebook uses it."""

import json
import os
import re
import subprocess
import sys

import launch
import numpy as np
import pytest
from huggingface_hub import constants

import siri_jax
from siri_jax import main
from siri_jax.runtime import exit_status
from tests.helpers import tiny

TINY = 'tests/helpers/tiny.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory, cache):
  """A tiny run under a stair schedule, trained through the API."""
  folder = tmp_path_factory.mktemp('api') / 'run'
  config = siri_jax.load_config(TINY, schedule='stair', cache_dir=str(cache))
  return siri_jax.train(config, folder)


def test_a_schedule_without_settings_gets_them():
  config = siri_jax.load_config(TINY, schedule='stair', seed=1)
  assert (config.schedule, config.seed) == ('stair', 1)
  assert config.schedule_kw.first == 'low'


def test_a_nested_setting_changes_and_its_neighbours_stay():
  before = siri_jax.load_config(TINY)
  config = siri_jax.load_config(TINY, schedule_kw={'period': 8})
  assert config.schedule_kw.period == 8
  assert config.schedule_kw.high == before.schedule_kw.high


def test_numbers_of_numpy_are_taken():
  config = siri_jax.load_config(TINY, learning_rate=np.float32(0.5))
  assert config.learning_rate == 0.5


def test_another_plug_in_keeps_no_settings_of_the_one_before():
  config = siri_jax.load_config(
    TINY, schedule='constant', schedule_kw={'cap': 7}
  )
  assert config.schedule_kw.to_dict() == {'cap': 7}


def test_all_faults_are_in_one_exception():
  with pytest.raises(ValueError, match='lerning_rate') as error:
    siri_jax.load_config(TINY, lerning_rate=1.0, schedule='cosin')
  assert 'cosin' in str(error.value)


def test_a_name_outside_the_api_is_an_attribute_error():
  with pytest.raises(AttributeError, match='trian'):
    siri_jax.trian  # noqa: B018
  assert {'train', 'plot'} <= set(dir(siri_jax))


def test_a_plug_in_may_be_the_function_itself():
  config = siri_jax.load_config(TINY, reward=tiny.brevity)
  assert config.reward == 'tests.helpers.tiny:brevity'


@pytest.mark.parametrize('made', [lambda batch: batch.length, dict().get])
def test_a_function_that_no_name_leads_to_is_refused(made):
  with pytest.raises(ValueError, match='define it there by def'):
    siri_jax.load_config(TINY, reward=made)


def test_a_notebooks_function_cannot_go_to_the_processes_of_an_ablation(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(tiny.brevity, '__module__', '__main__')
  monkeypatch.setattr('__main__.brevity', tiny.brevity, raising=False)
  with pytest.raises(ValueError, match=r'my_plugins\.py'):
    siri_jax.ablate(TINY, {'reward': [tiny.brevity]}, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


NOTEBOOK = """
import siri_jax, sys

def half(batch):
  return batch.correct * {worth}

def words(batch):
  return [len(text.split()) for text in batch.completions]

config = siri_jax.load_config(
  'tests/helpers/tiny.py', total_steps=int(sys.argv[3]), cache_dir=sys.argv[2],
  reward={reward}, text_rewards=[words], checkpoint_kw={{'every': 1}})
siri_jax.train(config, sys.argv[1])
"""


@pytest.mark.slow
def test_a_notebooks_function_trains_and_is_found_again_by_its_source(
  tmp_path, cache
):
  def train(steps, worth=0.5, reward='half'):
    script = tmp_path / 'cells.py'
    script.write_text(NOTEBOOK.format(worth=worth, reward=reward))
    words = [script, tmp_path / 'run', cache, steps]
    done = subprocess.run(
      [sys.executable, *map(str, words)],
      capture_output=True,
      text=True,
      env={**os.environ, 'PYTHONPATH': str(launch.ROOT)},
      cwd=launch.ROOT,
    )
    return done.returncode, done.stderr

  status, said = train(1)
  assert status == 0, said
  info = json.loads((tmp_path / 'run' / 'RUN.json').read_text())
  name, _, digest = info['plugins']['reward'].partition(' ')
  assert (name, len(digest)) == ('__main__:half', 64)
  assert info['plugins']['text_rewards.words'].startswith('__main__:words ')
  # The same function in another process, another one of that name, and none.
  assert train(2)[0] == 0
  status, said = train(3, worth=0.25)
  assert status != 0
  assert 'other contents of reward' in said
  done = launch.here(tmp_path / 'run', cache, '--config.reward=__main__:half')
  assert done == exit_status.REFUSED


@pytest.mark.slow
def test_a_run_shows_itself_as_a_table(trained):
  assert len(trained.metrics['length_mean']) == trained.config['total_steps']
  assert 'compressed' in trained._repr_html_()
  assert re.fullmatch(r'Run\(\S+: (\d+) of \1 steps\)', repr(trained))
  assert set(trained.evaluations['set']) == {'held_out'}


@pytest.mark.slow
@pytest.mark.parametrize(
  ('kind', 'column'),
  [
    ('steps', 'cap'),
    ('evaluations', 'kind'),
    ('samples', 'problem_id'),
    ('rollouts', 'reward'),
  ],
)
def test_a_run_gives_its_tables(trained, kind, column):
  frame = siri_jax.table(trained, kind)
  assert set(frame['run']) == {'run'}
  assert len(frame[column].dropna()) == len(frame) > 0


def test_a_table_that_there_is_not_names_those_that_there_are():
  with pytest.raises(ValueError, match=r"no table 'step'; choose from steps,"):
    siri_jax.table([], 'step')


def test_caps_and_costs_come_before_a_run():
  config = siri_jax.load_config(TINY)
  # A cosine from 8 down to 4 over 4 steps and up again.
  assert siri_jax.caps(config).tolist() == [8, 6, 4, 6, 8, 6]
  found = siri_jax.costs(config).set_index('schedule')
  assert found.loc['cosine *', 'mean_cap'] == 6
  assert found.loc['constant', 'tokens_share'] == 1
  assert found.loc['cosine *', 'tokens_share'] < 1
  assert found.loc['cosine *', 'wait_share'] == pytest.approx(0.75, abs=0.01)


@pytest.mark.slow
def test_the_api_and_the_command_train_the_same_bits(trained, tmp_path):
  words = [
    f'--config={TINY}',
    '--config.schedule=stair',
    f'--config.schedule_kw={trained.config["schedule_kw"]}',
    f'--config.cache_dir={trained.config["cache_dir"]}',
    f'--workdir={tmp_path / "run"}',
  ]
  assert main.main(words) == exit_status.DONE
  again = siri_jax.load_run(tmp_path / 'run')
  for name in ('loss', 'grad_norm', 'length_mean'):
    assert np.array_equal(again.metrics[name], trained.metrics[name])


@pytest.mark.slow
def test_a_run_can_be_branched_drawn_and_measured(trained, tmp_path):
  config = siri_jax.branch(
    trained.path, 2, tmp_path / 'branch', schedule='cosine'
  )
  run = siri_jax.train(config, tmp_path / 'branch')
  assert run.past[0].step == 2
  assert 'training' in siri_jax.plot([trained.path, run.path])
  assert siri_jax.plot(run, 'training').axes
  with pytest.raises(ValueError, match="no figure 'trainig'; choose from"):
    siri_jax.plot(run, 'trainig')
  table = siri_jax.evaluate(
    config, run.path, weights=['start', 'newest'], samples=1
  )
  assert list(table['done']) == [0, config.total_steps]


def test_a_dry_run_of_the_paper_without_a_cache_or_network_names_its_files(
  monkeypatch, tmp_path
):
  monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
  text = siri_jax.dry_run(siri_jax.load_config('configs/cosine640.py'))
  assert text.count('not in the cache; the Hub was not reached') == 6
  for name in ('DeepSeek-R1-Distill-Qwen-1.5B@', 'aime_2024@', 'MATH-500@'):
    assert name in text
  assert '16,384 │•' in text
  assert 'Cost on 8 * H100' in text
