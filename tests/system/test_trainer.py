"""The loop and its checks, on a run that takes seconds."""

import types as std

import builders
import launch
import numpy as np
import optax
import pytest

from siri_jax import trainer, types
from siri_jax.grading.verdict import Verdict
from siri_jax.rollout import engines, graded
from siri_jax.runtime import checkpoint, exit_status, files
from tests.helpers import tiny
from tools import soak


def group(number, *samples, correct=None):
  verdicts = [Verdict(bool(v), 'x', '') for v in correct or [1] * len(samples)]
  texts = ['x'] * len(samples)
  return types.Group(
    builders.make_problem(number), list(samples), verdicts, texts
  )


def make_sample(length, **changes):
  return builders.make_sample(response=range(length), **changes)


# Invalid samples.


def refused(*samples, n=2, cap=8, version=5):
  sampling = engines.SamplingParams(n, cap, 1.0, 1.0, 0, (0, 0, 0))
  with pytest.raises(ValueError, match='cannot be used') as refusal:
    graded.check_samples([group(0, *samples)], sampling, version=version)
  return str(refusal.value)


def fresh(index, length=3, version=5):
  return make_sample(length, index=index, spans=((version, 0, length),))


def test_samples_that_were_asked_for_pass():
  sampling = engines.SamplingParams(2, 8, 1.0, 1.0, 0, (0, 0, 0))
  whole = [group(0, fresh(0), fresh(1, 8)), group(1, fresh(1), fresh(0))]
  graded.check_samples(whole, sampling, version=5)


def test_samples_of_stale_weights_are_refused():
  message = refused(fresh(0), fresh(1, version=4))
  assert '1 not written by weight version 5' in message


def test_a_sample_that_two_versions_wrote_is_refused():
  mixed = make_sample(4, index=1, spans=((5, 0, 2), (6, 2, 4)))
  assert '1 not written by' in refused(fresh(0), mixed)


@pytest.mark.parametrize('length', [0, 9])
def test_samples_that_are_too_long_or_empty_are_refused(length):
  assert '1 longer than 8 tokens or empty' in refused(
    fresh(0), fresh(1, length)
  )


def test_an_index_twice_and_groups_of_another_size_are_refused():
  assert '2 in groups that are not of 2' in refused(fresh(0), fresh(0))
  assert '3 in groups that are not of 2' in refused(
    fresh(0), fresh(1), fresh(2)
  )


def test_every_kind_of_invalid_sample_is_named_at_once():
  message = refused(fresh(0, 9), fresh(0, version=1))
  assert message.count(';') == 2


# Updates that are not finite.


def diverging(in_row, most=3):
  """A context and a state after skipped updates, and the events."""
  noted = []
  ctx = std.SimpleNamespace(
    plan=std.SimpleNamespace(c=tiny.changed(**{'limits_kw.max_skipped': most})),
    run_folder=std.SimpleNamespace(
      event=lambda kind, **what: noted.append(what)
    ),
    terminal=std.SimpleNamespace(say=noted.append),
  )
  return ctx, std.SimpleNamespace(step=7, skipped_in_row=in_row), noted


def test_a_finite_update_is_not_recorded():
  ctx, state, noted = diverging(in_row=0)
  trainer.check_divergence(ctx, state)
  assert noted == []


def test_a_skipped_update_is_recorded_and_the_run_continues():
  ctx, state, noted = diverging(in_row=2)
  trainer.check_divergence(ctx, state)
  assert noted[0] == {'step': 6, 'in_row': 2}
  assert noted[1].startswith('step 6: loss or gradient not finite')


@pytest.mark.parametrize('in_row', [3, 4])
def test_too_many_in_a_row_end_the_run(in_row):
  ctx, state, _ = diverging(in_row)
  with pytest.raises(trainer.DivergedError, match=r'limits_kw\.max_skipped=3'):
    trainer.check_divergence(ctx, state)


# Whole steps.


def records(ctx, name='metrics'):
  return files.read_records(ctx.run_folder.path / f'{name}.jsonl')


def untimed(found):
  return [
    {k: v for k, v in record.items() if not k.endswith(('_secs', 'per_sec'))}
    for record in found
  ]


@pytest.fixture(scope='module')
def plain(tmp_path_factory, cache):
  """The records of the unchanged config, and the digest at the end."""
  with tiny.opened(tmp_path_factory.mktemp('run'), cache) as parts:
    ctx, state, _ = parts
    start = soak.digest(state.params)
    state = trainer.train(*parts)
    assert soak.digest(state.params) != start
    assert int(state.skipped) == 0
    return records(ctx), soak.digest(state.params)


@pytest.mark.slow
def test_every_step_trains_on_samples_of_its_own_weights(plain):
  found, _ = plain
  assert [r['step'] for r in found] == list(range(6))
  assert [r['weight_version'] for r in found] == list(range(6))
  assert [r['cap'] for r in found] == [8, 6, 4, 6, 8, 6]
  for record in found:
    assert record['length_mean'] <= record['cap']
    assert record['grad_norm'] > 0
    assert 0 < record['entropy'] < np.log(22)
    assert record['tokens'] == 16 * record['length_mean']


@pytest.mark.slow
def test_off_policy_trains_on_samples_one_update_old(plain, tmp_path, cache):
  with tiny.opened(tmp_path, cache, off_policy_steps=1) as parts:
    trainer.train(*parts)
    found = records(parts[0])
  assert [r['weight_version'] for r in found] == [0, 0, 1, 2, 3, 4]
  assert [r['cap'] for r in found] == [r['cap'] for r in plain[0]]
  # The first step is equal; then old weights sample, so ratios differ.
  same = ('length_mean', 'reward_mean', 'tokens')
  assert [found[0][name] for name in same] == [
    plain[0][0][name] for name in same
  ]
  assert max(r['ratio_max'] for r in found) > 1 + 1e-3


@pytest.mark.slow
def test_programs_are_compiled_in_the_first_step_and_never_again(plain):
  counts = [r['compile_count'] for r in plain[0]]
  assert counts == [counts[0]] * 6


@pytest.mark.slow
def test_a_run_is_a_function_of_its_config(plain, tmp_path, cache):
  with tiny.opened(tmp_path, cache) as parts:
    state = trainer.train(*parts)
    assert untimed(records(parts[0])) == untimed(plain[0])
    assert soak.digest(state.params) == plain[1]


@pytest.mark.slow
def test_neither_rows_nor_their_batches_change_the_first_update(
  plain, tmp_path, cache
):
  changes = {
    'total_steps': 1,
    'update_kw.micro_batch_rows': 2,
    'update_kw.row_tokens': 64,
    'update_kw.logprob_chunk_tokens': 16,
  }
  with tiny.opened(tmp_path, cache, **changes) as parts:
    trainer.train(*parts)
    (first,) = records(parts[0])
  for key in ('loss', 'grad_norm', 'entropy'):
    np.testing.assert_allclose(first[key], plain[0][0][key], rtol=1e-5)


@pytest.mark.slow
def test_a_rate_that_is_far_too_high_diverges_and_leaves_finite_weights(
  tmp_path, cache
):
  changes = dict(learning_rate=1e30, total_steps=20)
  with tiny.opened(tmp_path, cache, **changes) as (ctx, state, done):
    with pytest.raises(trainer.DivergedError, match='learning_rate'):
      trainer.train(ctx, state, done)
    assert 2 <= len(records(ctx)) < 20


@pytest.mark.slow
def test_a_kl_term_is_to_the_policy_that_the_run_started_from(tmp_path, cache):
  def run(name, steps):
    kw = dict(low=0.2, high=0.28, beta=0.1)
    changes = dict(loss='grpo_kl', loss_kw=kw, total_steps=steps, minibatches=1)
    with tiny.opened(tmp_path / name, cache, **changes) as parts:
      params = trainer.train(*parts).params
      return records(parts[0]), params

  found, params = run('unbroken', steps=4)
  assert found[0]['kl'] == pytest.approx(0.0, abs=1e-6)  # It is the start.
  assert 1e-3 < found[1]['kl'] < found[3]['kl']
  # A resumed run still has the KL to the start.
  run('broken', steps=2)
  _, resumed = run('broken', steps=4)
  assert soak.digest(resumed) == soak.digest(params)


@pytest.mark.slow
def test_an_entropy_bonus_keeps_the_policy_uncertain(plain, tmp_path, cache):
  kw = dict(low=0.2, high=0.28, bonus=10.0)
  with tiny.opened(tmp_path, cache, loss='entropy_bonus', loss_kw=kw) as parts:
    trainer.train(*parts)
    found = records(parts[0])
  assert found[0]['entropy'] == pytest.approx(plain[0][0]['entropy'], abs=0.1)
  assert found[-1]['entropy'] > plain[0][-1]['entropy'] + 0.1


@pytest.mark.slow
def test_the_ratio_changes_in_later_passes_over_a_batch(tmp_path, cache):
  changes = dict(epochs=3, total_steps=1)
  with tiny.opened(tmp_path, cache, **changes) as parts:
    state = trainer.train(*parts)
    (record,) = records(parts[0])
  assert record['ratio_max'] > 1.01
  assert int(state.step) == 1
  # 2 mini-batches in 3 passes.
  assert int(optax.tree.get(state.opt_state, 'count')) == 6


def fails_at_step_3(batch, memory):
  if batch.step == 3:
    raise KeyError('level')
  return FRESH_WORDS(batch, memory)


FRESH_WORDS = tiny.fresh_words


@pytest.mark.slow
def test_a_faulty_text_reward_ends_the_run_saved_and_a_correct_one_resumes_it(
  plain, tmp_path, cache, monkeypatch, capsys
):
  name = 'text_rewards.fresh_words'
  words = (
    '--config.total_steps=6',
    '--config.schedule_kw.period=4',
    '--config.text_rewards=tests.helpers.tiny:fresh_words',
    '--config.text_rewards_kw.fresh_words.weight=0.0',
  )
  monkeypatch.setattr(tiny, 'fresh_words', fails_at_step_3)
  run = tmp_path / 'run'
  assert launch.here(run, cache, *words) == exit_status.REFUSED
  told = ' '.join(capsys.readouterr().out.split())
  assert "text reward fresh_words raised KeyError('level') at" in told
  assert f'--allow_change={name}' in told
  assert launch.records(run, 'events')[-1]['kind'] == 'reward_failed'
  assert checkpoint.finished(run / 'checkpoints')[-1] == 3
  monkeypatch.setattr(tiny, 'fresh_words', FRESH_WORDS)
  allowed = f'--allow_change={name}'
  assert launch.here(run, cache, *words, allowed) == exit_status.DONE
  # A weight of 0 reports the reward, and changes no bit of the plain run.
  found = launch.records(run, 'metrics')
  parts = ('rewards/brevity', 'rewards/fresh_words')
  assert all(0 < record[part] < 1 for record in found for part in parts)
  for record in found:
    assert record['rewards/brevity'] == record['reward_mean']
  other = {*parts, 'compile_count', 'grader_cached'}  # Begin anew, if resumed.
  bare = [
    [{k: v for k, v in record.items() if k not in other} for record in run]
    for run in (untimed(found), untimed(plain[0]))
  ]
  assert bare[0] == bare[1]
  params = checkpoint.read_parameters(run / 'checkpoints', 6)
  assert soak.digest(params) == plain[1]
  memory = checkpoint.read_facts(run / 'checkpoints', 6)['memory']
  assert len(memory['fresh_words']) == 6 * 4


@pytest.mark.slow
def test_a_cap_at_the_reward_samples_to_the_highest_cap(plain, tmp_path, cache):
  with tiny.opened(tmp_path, cache, cap_at='reward') as parts:
    trainer.train(*parts)
    found = records(parts[0])
  assert [r['cap'] for r in found] == [8, 6, 4, 6, 8, 6]
  assert found[2]['length_mean'] > 4
  # The first cap is the highest, so the first step is equal.
  first, other = untimed(found)[0], untimed(plain[0])[0]
  # Tests before this one may share the programs of the unchanged config.
  del first['compile_count'], other['compile_count']
  assert first == other


@pytest.mark.slow
def test_dynamic_collection_keeps_the_size_of_a_step(tmp_path, cache):
  changes = dict(
    collect='dynamic', collect_kw=dict(max_rounds=3), total_steps=2
  )
  with tiny.opened(tmp_path, cache, **changes) as parts:
    ctx, _, _ = parts
    asked = []
    sample = ctx.engine.sample

    def counted(prompts, *rest):
      asked.append([p.problem_id for p in prompts])
      return sample(prompts, *rest)

    ctx.engine.sample = counted
    trainer.train(*parts)
    found = records(ctx)
  # No answer is ever right: all rounds are used, without repeated problems.
  rounds = [names for names in asked if len(names) == 4]
  assert len(rounds) == 6
  first = [name for names in rounds[:3] for name in names]
  assert len(set(first)) == 12
  assert [r['tokens'] for r in found] == [16 * r['length_mean'] for r in found]


@pytest.mark.slow
def test_the_embedded_sampler_and_the_trainer_agree(plain):
  assert max(r['sampler_gap'] for r in plain[0]) < 1e-4
