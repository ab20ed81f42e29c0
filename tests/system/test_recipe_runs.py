"""Whole runs with the parts of recipes: state, monitor passes, new losses."""

import functools

import pytest

from siri_jax import trainer
from siri_jax.analysis import runs
from siri_jax.data.arithmetic_words import ID
from siri_jax.rollout import engines
from siri_jax.runtime import checkpoint, files
from tests.helpers import tiny
from tools import soak

pytestmark = pytest.mark.slow

LASER = dict(weight=1.0, lowest=2, highest=8, interval=2, bonus=0.5)
MODES = dict(share=0.5, close='</think>', start='#1', short=3)
START = dict(weight=1.0, close='</think>', bonus=0.05)
PARTS = dict(
  # Each problem comes three times.
  task_kw=tiny.get_config().task_kw.to_dict() | dict(problems=8),
  max_prompt_tokens=24,  # With a forced first token.
  budget='forced_modes',
  budget_kw=MODES,
  text_rewards=('laser_de', 'against_start', 'tests.helpers.tiny:fresh_words'),
  text_rewards_kw=dict(
    laser_de=LASER, against_start=START, fresh_words=dict(weight=0.5)
  ),
  monitor_kw=dict(every=2, problems=8),
  advantage='difficulty_weighted',
  advantage_kw=dict(eps=1e-6, low=0.4, high=1.5, middle=0.75, steepness=10.0),
  loss='forced_first_ratio',
  loss_kw=dict(low=0.2, high=0.28, chance=0.5),
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
  assert len(passes[0][1]) == 8


def test_each_part_of_the_reward_is_a_metric(unbroken):
  path, _ = unbroken
  for record in files.read_records(path / 'metrics.jsonl'):
    parts = {k for k in record if k.startswith('rewards/')}
    names = ('brevity', 'laser_de', 'against_start', 'fresh_words')
    assert parts == {f'rewards/{name}' for name in names}
    assert record['reward_mean'] == pytest.approx(
      record['rewards/brevity']
      + record['rewards/laser_de']
      + record['rewards/against_start']
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
  assert len(ours['against_start']) == 9  # The problems, and '' for the pass.


def test_forced_first_tokens_are_trained_on_and_each_mode_has_its_cap(unbroken):
  path, _ = unbroken
  records = files.read_records(path / 'metrics.jsonl')
  for step in 0, 2, 4:
    rows = runs.read_rows(path / 'rollouts' / f'{step:06d}.jsonl.gz')
    for row in rows:
      none = row['index'] < 2
      first = ID['</think>' if none else '#1']
      assert row['response_ids'][0] == first
      assert row['length'] <= (3 if none else records[step]['cap'])
      assert (row.get('mode', 0), 'forced' in row) == (int(none), False)
    # Every token has a gradient, and the engine chose all but the first.
    assert records[step]['tokens'] == sum(row['length'] for row in rows)
    told = records[step]['tokens'] - len(rows)
    assert records[step]['sampler_told'] == told
