"""Branches: runs from another run's checkpoint."""

import json
import pathlib
import shlex
import sys

import jax
import launch
import numpy as np
import pytest

from siri_jax.analysis import runs
from siri_jax.commands import branch as command
from siri_jax.config import command_line, schema
from siri_jax.experiments import branch
from siri_jax.runtime import checkpoint, files
from tests.helpers import tiny

STEP = launch.PERIOD  # A turn, so that its checkpoint stays.


def arrays(folder, step):
  params = checkpoint.read_parameters(folder / 'checkpoints', step)
  return [np.asarray(x) for x in jax.tree.leaves(params)]


def bytes_of(folder):
  return {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.fixture(scope='module')
def made(whole, tmp_path_factory):
  """A branch of the undisturbed run, under a constant cap, and its command."""
  folder = tmp_path_factory.mktemp('branch') / 'run'
  before = bytes_of(whole)
  words = branch.branch(whole, STEP, {'schedule': 'constant'}, folder).arguments
  assert bytes_of(whole) == before
  return folder, words


def test_a_branch_has_the_checkpoint_and_names_its_origin(whole, made):
  folder, words = made
  for ours, theirs in zip(
    arrays(folder, STEP), arrays(whole, STEP), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  came = json.loads((folder / 'RUN.json').read_text())['branched_from']
  assert came['step'] == STEP
  assert (folder / came['folder']).resolve() == whole.resolve()
  # The schedule without settings got its preset, with the run's caps.
  config = json.loads((folder / 'config.json').read_text())
  assert config['schedule_kw'] == {'cap': 8}
  assert f'--config.total_steps={launch.STEPS}' in words
  assert words[-1] == f'--workdir={folder}'


def test_its_command_resumes_there_under_its_own_cap(whole, made):
  folder, words = made
  assert launch.main.main(words) == 0
  found, before = (
    launch.records(folder, 'metrics'),
    launch.records(whole, 'metrics'),
  )
  assert [r['step'] for r in found] == list(range(STEP, launch.STEPS))
  assert {r['cap'] for r in found} == {8}
  # The parent also had the cap of 8 at this step, so the step is equal.
  assert before[STEP]['cap'] == 8
  assert found[0]['reward_mean'] == before[STEP]['reward_mean']
  assert found[0]['tokens_so_far'] == before[STEP]['tokens_so_far']
  assert runs.read(folder).info['branched_from']['step'] == STEP


def test_an_impossible_branch_is_refused_and_leaves_nothing(
  whole, made, tmp_path, capsys
):
  out = tmp_path / 'new'
  for run, step, words in (
    (whole, 7, f'has no checkpoint 7; it has .*{STEP}'),
    (tmp_path / 'nowhere', STEP, 'nowhere is not the folder of a run'),
  ):
    with pytest.raises(ValueError, match=words):
      branch.branch(run, step, {}, out)
  with pytest.raises(ValueError, match="unknown schedule 'cosin'"):
    branch.branch(whole, STEP, {'schedule': 'cosin'}, out)
  with pytest.raises(ValueError, match='is not a branch of'):
    branch.branch(whole, launch.STEPS, {}, made[0])
  assert list(tmp_path.iterdir()) == []
  status = command.main([str(whole), f'--step={STEP}', f'--out={out}', 'stray'])
  assert status == 2
  assert 'stray is not --config.KEY=VALUE' in capsys.readouterr().err


# A run that was resumed with other settings, without its arrays.


def resumed(folder, started, *, edited=None, **later):
  """A run's folder: started so, and resumed so before its checkpoint 6."""
  first, second = tiny.get_config(), tiny.get_config()
  first.update_from_flattened_dict(started)
  second.update_from_flattened_dict({**started, **later})
  place = folder / 'checkpoints' / '000006'
  (place / 'facts').mkdir(parents=True)
  facts = {'config': second.to_dict(), 'tokens': 5}
  files.write_json(place / 'facts' / 'metadata', facts)
  files.write_json(
    checkpoint.manifest(place.parent, 6), checkpoint.checksums(place)
  )
  files.write_json(folder / 'config.json', edited or second.to_dict())
  info = dict(config='tests/helpers/tiny.py', arg='', overrides=started)
  files.write_json(folder / 'RUN.json', info)
  return folder


def changed(made):
  """Where a branch's settings are not those of the config's file."""
  start, found = tiny.get_config().to_dict(), made.config.to_dict()
  return {k: v for k, v in found.items() if start[k] != v}


def test_a_branch_has_the_settings_of_its_checkpoint_not_of_the_runs_start(
  tmp_path,
):
  started = {'learning_rate': 0.05, 'total_steps': 2, 'prompts_per_step': 8}
  now = {'learning_rate': 0.002, 'total_steps': 9, 'prompts_per_step': 4}
  run = resumed(tmp_path / 'run', started, **now)
  made = branch.branch(run, 6, {}, tmp_path / 'new')
  assert changed(made) == {'learning_rate': 0.002, 'total_steps': 9}
  assert '--config.learning_rate=0.002' in made.arguments
  written = json.loads((tmp_path / 'new/config.json').read_text())
  assert written == files.plain(made.config.to_dict())
  made = branch.branch(run, 6, {'learning_rate': 1.0}, tmp_path / 'newer')
  assert changed(made) == {'learning_rate': 1.0, 'total_steps': 9}


def test_settings_of_a_group_that_were_changed_since_are_the_checkpoints_too(
  tmp_path,
):
  started = {'loss': 'clip_higher', 'schedule_kw.low': 3}
  now = {'loss': 'supervised', 'loss_kw': {}, 'server_kw.urls': ('http://a:1',)}
  run = resumed(tmp_path / 'run', started, **now)
  made = branch.branch(run, 6, {'schedule_kw.high': 9}, tmp_path / 'new')
  found = changed(made)
  assert found.pop('schedule_kw') == dict(low=3, high=9, period=4, phase=0)
  assert found.pop('server_kw')['urls'] == ['http://a:1']
  assert found == {'loss': 'supervised', 'loss_kw': {}}
  assert not schema.faults(made.config)


def test_settings_of_a_run_that_went_on_are_not_those_of_its_older_checkpoint(
  tmp_path,
):
  edited = {**tiny.get_config().to_dict(), 'learning_rate': 3.0}
  run = resumed(tmp_path / 'run', {}, edited=edited)
  assert changed(branch.branch(run, 6, {}, tmp_path / 'new')) == {}


def test_a_branch_with_nothing_left_to_do_says_so(tmp_path, capsys):
  run = resumed(tmp_path / 'run', {})
  words = [str(run), '--step=6']
  assert command.main([*words, f'--out={tmp_path / "new"}']) == 0
  said = capsys.readouterr().out
  assert 'total_steps=6 are done: add --config.total_steps=N' in said
  more = [f'--out={tmp_path / "newer"}', '--config.total_steps=8']
  assert command.main([*words, *more]) == 0
  assert 'are done' not in capsys.readouterr().out


def test_a_branch_onto_one_with_other_settings_is_refused(tmp_path, capsys):
  run, out = resumed(tmp_path / 'run', {}), tmp_path / 'new'
  words = [str(run), '--step=6', f'--out={out}']
  stair = '--config.schedule=stair'
  assert command.main([*words, stair]) == 0
  assert f'Made {out}. To train it, run' in capsys.readouterr().out
  before = bytes_of(out)
  assert command.main(words) == 2
  said = capsys.readouterr().err
  assert f'{out} is this branch with other settings' in said
  assert 'schedule: stair -> cosine' in said
  # The same command again does no harm, and neither do more steps.
  for more in ((), ('--config.total_steps=99',)):
    assert command.main([*words, stair, *more]) == 0
    assert f'{out} exists already' in capsys.readouterr().out
  assert bytes_of(out) == before


def test_the_printed_command_has_a_short_flag_for_each_setting(
  tmp_path, capsys
):
  run = resumed(tmp_path / 'run', {})
  words = [str(run), '--step=6', f'--out={tmp_path / "new"}']
  assert command.main([*words, '--config.schedule=stair']) == 0
  line = capsys.readouterr().out.splitlines()[1]
  python, *typed = shlex.split(line)
  assert str(pathlib.Path.cwd() / python) == sys.executable
  assert '{' not in line
  assert {'--config.schedule=stair', '--config.schedule_kw.low=4'} < {*typed}
  made = command_line.parse(typed[2:], command_line.define_run, '').config
  written = json.loads((tmp_path / 'new/config.json').read_text())
  assert files.plain(made.to_dict()) == written


@pytest.mark.parametrize('text', ['', '[1]', '{"config": 1'])
@pytest.mark.parametrize(
  'name', ['RUN.json', 'checkpoints/000006/facts/metadata']
)
def test_a_damaged_file_of_the_run_is_named(tmp_path, capsys, name, text):
  run = resumed(tmp_path / 'run', {})
  (run / name).write_text(text)
  words = [str(run), '--step=6', f'--out={tmp_path / "new"}']
  assert command.main(words) == 2
  assert str(run / name) in capsys.readouterr().err
  assert not (tmp_path / 'new').exists()


def test_a_key_among_the_settings_of_a_branch_is_refused(tmp_path, capsys):
  run, key = resumed(tmp_path / 'run', {}), 'hf_' + 'aB3' * 12
  words = [str(run), '--step=6', f'--out={tmp_path / "new"}']
  assert command.main([*words, f'--config.cache_dir=runs/{key}']) == 2
  said = capsys.readouterr().err
  assert 'cache_dir holds what looks like a key' in said
  assert key not in said
  assert not (tmp_path / 'new').exists()


def test_a_branch_into_a_folder_with_a_backslash_is_refused(tmp_path, capsys):
  run = resumed(tmp_path / 'run', {})
  words = [str(run), '--step=6', rf'--out={tmp_path}/a\b']
  assert command.main(words) == 2
  assert 'a folder with a backslash' in capsys.readouterr().err
  assert [path.name for path in tmp_path.iterdir()] == ['run']
