"""A run from another run's checkpoint: what it takes along, what it says."""

import json

import jax
import launch
import numpy as np
import pytest

from siri_jax.analysis import runs
from siri_jax.commands import branch as command
from siri_jax.experiments import branch
from siri_jax.runtime import checkpoint

pytestmark = [
  # ml_collections loads a config in an old way.
  pytest.mark.filterwarnings('ignore:.*load_module'),
  pytest.mark.slow,
]
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


def test_a_branch_has_the_checkpoint_and_says_where_it_came_from(whole, made):
  folder, words = made
  for ours, theirs in zip(
    arrays(folder, STEP), arrays(whole, STEP), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  came = json.loads((folder / 'RUN.json').read_text())['branched_from']
  assert came['step'] == STEP
  assert (folder / came['folder']).resolve() == whole.resolve()
  # The schedule that was only named has its line, with the run's own caps.
  config = json.loads((folder / 'config.json').read_text())
  assert config['schedule_kw'] == {'cap': 8}
  assert f'--config.total_steps={launch.STEPS}' in words
  assert words[-1] == f'--workdir={folder}'


def test_its_command_goes_on_from_there_under_its_own_cap(whole, made):
  folder, words = made
  assert launch.main.main(['siri_jax', *words]) == 0
  found, before = (
    launch.records(folder, 'metrics'),
    launch.records(whole, 'metrics'),
  )
  assert [r['step'] for r in found] == list(range(STEP, launch.STEPS))
  assert {r['cap'] for r in found} == {8}
  # The parent had the cap of 8 at this step too: so it is the same step.
  assert before[STEP]['cap'] == 8
  assert found[0]['reward_mean'] == before[STEP]['reward_mean']
  assert found[0]['tokens_so_far'] == before[STEP]['tokens_so_far']
  assert runs.read(folder).info['branched_from']['step'] == STEP


def test_what_cannot_be_branched_off_from_is_refused_and_leaves_nothing(
  whole, made, tmp_path, capsys
):
  out = tmp_path / 'new'
  for run, step, words in (
    (whole, 7, f'has no checkpoint 7; it has .*{STEP}'),
    (tmp_path / 'nowhere', STEP, 'nowhere is not the folder of a run'),
  ):
    with pytest.raises(ValueError, match=words):
      branch.branch(run, step, {}, out)
  with pytest.raises(ValueError, match="schedule='cosin'"):
    branch.branch(whole, STEP, {'schedule': 'cosin'}, out)
  with pytest.raises(ValueError, match='is no branch of'):
    branch.branch(whole, launch.STEPS, {}, made[0])
  assert list(tmp_path.iterdir()) == []
  status = command.main([str(whole), f'--step={STEP}', f'--out={out}', 'stray'])
  assert status == 2
  assert 'stray is not --config.KEY=VALUE' in capsys.readouterr().err
