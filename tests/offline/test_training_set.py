"""Offline runs of the tiny policy: rows, card, losses, killed and resumed."""

import numpy as np
import pytest

from siri_jax.analysis import runs
from siri_jax.config import plan
from siri_jax.offline import presample, training_set
from siri_jax.runtime import files, run_folder
from tests.helpers import tiny
from tools import soak

slow = pytest.mark.slow

STEPS = 5
BASE = dict(
  total_steps=STEPS,
  schedule='constant',
  schedule_kw=dict(cap=8),
  group_size=2,
  prompts_per_step=4,
  minibatches=1,
  reward='recorded',
  advantage='unchanged',
  advantage_kw={},
  presample_kw=dict(samples=4, problems=12, folder=''),
  **{'update_kw.row_tokens': 0, 'record_kw.rollouts_every': 1},
)
SET = dict(used=2, alpha=2.0, low=-2.0, high=4.0)
O1_PRUNER = dict(
  BASE,
  training_set='o1_pruner',
  training_set_kw=SET,
  loss='sequence_ratio',
  loss_kw=dict(low=0.2, high=0.2),
)
# An untrained policy is never right, so that DAST has pairs of wrong responses.
DAST = dict(
  BASE,
  training_set='dast',
  training_set_kw=dict(drop=0.0),
  loss='simpo',
  loss_kw=dict(beta=2.0, gamma=1.0),
)
DPO = dict(DAST, loss='dpo', loss_kw=dict(beta=0.1))
RUNS = {'o1_pruner': O1_PRUNER, 'dpo': DPO}


@pytest.fixture(scope='module', params=RUNS)
def trained(request, tmp_path_factory, cache):
  """A finished run: its folder and settings."""
  path = tmp_path_factory.mktemp(request.param) / 'run'
  tiny.train(path, cache, **RUNS[request.param])
  return path, RUNS[request.param]


def metrics(path):
  return files.read_records(path / 'metrics.jsonl')


def rows_of(path):
  return runs.read_samples(path / 'training_set/rows.jsonl.gz')


@slow
def test_a_run_learns_from_its_training_set_alone(trained):
  path, _ = trained
  known = {
    (row['problem_id'], row['index']): (row['response_ids'], row['weight'])
    for row in rows_of(path)
  }
  read = runs.read(path)
  assert read.complete
  for paths in read.sample_files('rollouts').values():
    for row in runs.read_samples(paths[0]):
      ids, weight = known[row['problem_id'], row['index']]
      assert row['response_ids'] == ids
      assert row['advantage'] == row['reward'] == pytest.approx(weight)
  records = metrics(path)
  assert len({record['compile_count'] for record in records}) == 1
  assert all(record['grad_norm'] > 0 for record in records)
  samples = presample.samples_in(path / 'presample')
  tokens = sum(row['length'] for rows in samples for row in rows)
  sampled = [record['sampled_tokens'] for record in records]
  assert sampled == [tokens, *[0] * (STEPS - 1)]


@slow
def test_an_epoch_has_each_group_once(trained):
  path, settings = trained
  size = settings['prompts_per_step']
  groups = len(rows_of(path)) // 2
  steps = runs.read(path).sample_files('rollouts')
  seen = [
    row['problem_id']
    for step in range(groups // size)
    for row in runs.read_samples(steps[step][0])[::2]
  ]
  assert len(set(seen)) == len(seen) == groups // size * size


@slow
def test_the_card_counts_problems_and_those_left_out(trained):
  path, settings = trained
  text = (path / 'training_set/README.md').read_text()
  rows = rows_of(path)
  used = len({row['problem_id'] for row in rows})
  assert text.startswith(f'# Training set: {settings["training_set"]}')
  assert f'- problems used: {used}, in {len(rows) // 2} groups of 2' in text
  left = 12 - used
  assert (f'- left out: {left}, equal scores' if left else 'none') in text


class KilledError(BaseException):
  """Simulates a kill: no code of the program catches it."""


def dying(call, at):
  """A function that is killed at one of its calls."""
  calls = []

  def instead(*given):
    calls.append(given)
    if len(calls) == at:
      raise KilledError
    return call(*given)

  return instead


@slow
@pytest.mark.parametrize('trained', ['dpo'], indirect=True)
@pytest.mark.parametrize(
  ('method', 'at'),
  [('write_rollouts', 5), ('append', 3)],
  ids=['presampling', 'training'],
)
def test_a_run_killed_anywhere_goes_on_to_the_same_bits(
  trained, tmp_path, cache, monkeypatch, method, at
):
  path, settings = trained
  with monkeypatch.context() as patch:
    call = getattr(run_folder.RunFolder, method)
    patch.setattr(run_folder.RunFolder, method, dying(call, at))
    with pytest.raises(KilledError):
      tiny.train(tmp_path / 'run', cache, **settings)
  tiny.train(tmp_path / 'run', cache, **settings)
  assert outcome(tmp_path / 'run') == outcome(path)


def outcome(path):
  """What a kill must not change, with the card but for the folder's name."""
  found = soak.outcome(path)
  for record in found['metrics']:
    record.pop('compile_count')  # A resumed run samples nothing.
  text = (path / 'training_set/README.md').read_text()
  return {**found, 'card': text.replace(str(path), '')}


@slow
def test_the_first_step_starts_at_the_reference(trained):
  path, settings = trained
  first, *_, last = metrics(path)
  if settings['loss'] == 'dpo':
    assert first['loss'] == pytest.approx(np.log(2), rel=1e-5)
    assert first['margin'] == pytest.approx(0, abs=1e-5)
    assert last['ranked'] > 0.5
  else:
    assert first['ratio_max'] == pytest.approx(1, rel=1e-5)
    assert last['ratio_max'] > 1.001


@slow
@pytest.mark.parametrize('trained', ['dpo'], indirect=True)
def test_simpo_learns_from_samples_of_another_folder(trained, tmp_path, cache):
  path, settings = trained
  there = dict(settings['presample_kw'], folder=str(path / 'presample'))
  learning = {**DAST, 'presample_kw': there}
  tiny.train(tmp_path, cache, **learning)
  assert not (tmp_path / 'presample').exists()
  bare = [{**row, 'old_logp': None} for row in rows_of(path)]
  assert [{**row, 'old_logp': None} for row in rows_of(tmp_path)] == bare
  assert not any('old_logp' in row for row in rows_of(tmp_path))
  margins = [record['margin'] for record in metrics(tmp_path)]
  assert margins[-1] > margins[0]
  (tmp_path / 'training_set/rows.jsonl.gz').unlink()
  with pytest.raises(training_set.TrainingSetError, match='is gone'):
    tiny.train(tmp_path, cache, **{**learning, 'total_steps': STEPS + 1})


def refusal(tmp_path, cache, **changes):
  with pytest.raises(training_set.TrainingSetError) as refused:
    tiny.train(tmp_path, cache, **{**DAST, **changes})
  return str(refused.value)


@slow
@pytest.mark.parametrize('trained', ['dpo'], indirect=True)
def test_what_cannot_be_learned_from_is_refused(trained, tmp_path, cache):
  path, _ = trained
  folder = dict(samples=4, problems=12, folder=str(path / 'presample'))
  message = refusal(
    tmp_path / 'a', cache, presample_kw=dict(folder, folder='none')
  )
  assert "presample_kw.folder='none' cannot be learned from" in message
  seeds = dict(tiny.get_config().task_kw, seed=1)
  message = refusal(tmp_path / 'b', cache, presample_kw=folder, task_kw=seeds)
  assert 'it is of other problems' in message
  message = refusal(
    tmp_path / 'c',
    cache,
    presample_kw=folder,
    training_set='overthink',
    training_set_kw=dict(keep=2),
  )
  assert 'has 0 groups of 12 problems (left out: 12 no right sample)' in message


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(group_size=4), "loss='simpo' compares the two samples of a group"),
    (
      {'update_kw.row_tokens': 40},
      'below twice (max_prompt_tokens + the highest cap)',
    ),
    (dict(minibatches=8), 'minibatches=8 cuts a pair apart'),
    (dict(off_policy_steps=1), 'off_policy_steps=1 has no meaning there'),
    (dict(reward='length_capped'), "set reward='recorded' and advantage="),
    (dict(training_set='', training_set_kw={}), 'name one by training_set'),
    (dict(training_set=''), 'is not used; name a training_set'),
    (dict(training_set='dats'), "did you mean 'dast'?"),
  ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
  with pytest.raises(plan.ConfigError) as refused:
    plan.make(tiny.changed(**{**DAST, **changes}))
  assert message in str(refused.value)
