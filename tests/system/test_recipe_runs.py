"""Whole runs with the parts of recipes: state, monitor passes, new losses."""

import functools

import pytest

from siri_jax import trainer
from siri_jax.rollout import engines
from siri_jax.runtime import checkpoint, files
from tests.helpers import tiny
from tools import soak

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('no_picture')]

LASER = dict(weight=1.0, lowest=2, highest=8, interval=2, bonus=0.5)
PARTS = dict(
  task_kw=dict(problems=8, held_out=8),  # Each comes three times.
  text_rewards=('laser_de', 'tests.helpers.tiny:fresh_words'),
  text_rewards_kw=dict(laser_de=LASER, fresh_words=dict(weight=0.5)),
  monitor_kw=dict(every=2, problems=3),
  advantage='difficulty_weighted',
  advantage_kw=dict(eps=1e-6, low=0.4, high=1.5, middle=0.75, steepness=10.0),
  loss='sequence_ratio',
  loss_kw=dict(low=0.2, high=0.28),
)


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory, cache):
  """The folder of a run that nothing disturbed, and its monitor passes."""
  path, passes = tmp_path_factory.mktemp('unbroken'), []
  with tiny.opened(path, cache, **PARTS) as parts:
    ctx = parts[0]
    sample = ctx.engine.sample

    def counted(prompts, asked, progress):
      _, purpose, step = asked.seeds
      if purpose == engines.SeedPurpose.MONITORING:
        passes.append((step, [p.problem_id for p in prompts]))
      return sample(prompts, asked, progress)

    ctx.engine.sample = counted
    trainer.train(*parts)
  return path, passes


def test_a_monitor_pass_samples_the_same_problems_every_other_step(unbroken):
  _, passes = unbroken
  assert [step for step, _ in passes] == [0, 2, 4]
  assert len({tuple(ids) for _, ids in passes}) == 1
  assert len(passes[0][1]) == 3


def test_each_part_of_the_reward_is_a_metric(unbroken):
  path, _ = unbroken
  for record in files.read_records(path / 'metrics.jsonl'):
    parts = {k for k in record if k.startswith('rewards/')}
    names = ('brevity', 'laser_de', 'fresh_words')
    assert parts == {f'rewards/{name}' for name in names}
    assert record['reward_mean'] == pytest.approx(
      record['rewards/brevity']
      + record['rewards/laser_de']
      + 0.5 * record['rewards/fresh_words'],
      abs=1e-5,
    )


def test_no_step_compiles_a_program_anew(unbroken):
  records = files.read_records(unbroken[0] / 'metrics.jsonl')
  assert len({r['cap'] for r in records}) > 2
  assert len({r['compile_count'] for r in records}) == 1


def push_until(killed, push, params, version):
  """A push that fails after an update, before the step's record."""
  if version == killed:
    raise InterruptedError
  push(params, version)


def test_a_run_that_was_killed_has_the_same_state_bit_for_bit(
  unbroken, tmp_path, cache
):
  # Step 3 has no monitor pass of its own: it needs the memory of step 2.
  with tiny.opened(tmp_path, cache, **PARTS) as parts:
    parts[0].push = functools.partial(push_until, 4, parts[0].push)
    with pytest.raises(InterruptedError):
      trainer.train(*parts)
  with tiny.opened(tmp_path, cache, **PARTS) as parts:
    assert int(parts[1].step) == 3
    trainer.train(*parts)
  path, _ = unbroken
  assert soak.outcome(tmp_path) == soak.outcome(path)
  ours, theirs = (
    checkpoint.read_facts(each / 'checkpoints', 6)['memory']
    for each in (tmp_path, path)
  )
  assert ours == theirs
  assert set(ours['laser_de']['']) == {'high', 'medium', 'low'}
  assert len(ours['fresh_words']) == 8
