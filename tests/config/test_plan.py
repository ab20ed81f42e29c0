"""Plans: bad configs are refused with all faults, good ones derived."""

import numpy as np
import pytest

from configs import cosine640
from siri_jax import types
from siri_jax.config import plan
from tests.helpers import tiny


def faults_of(**changes):
  with pytest.raises(plan.ConfigError) as refusal:
    plan.make(tiny.changed(**changes))
  assert str(refusal.value) == '\n'.join(f'  {f}' for f in refusal.value.faults)
  return refusal.value.faults


TARGET = dict(
  low=2, high=6, note='{target}', most_note='{target}', most_share=0.0
)


def too_much(problem, cap, uniforms):
  return [types.Budget(cap=cap + 1)] * len(uniforms)


# Changed settings, and parts of the message: the setting and allowed values.
BAD = [
  ({'seed': -1}, 'seed=-1', '0 or more'),
  ({'seed': 1.5}, 'seed=1.5', 'whole number'),
  ({'total_steps': 0}, 'total_steps=0', '1 or more'),
  ({'cache_dir': ''}, "cache_dir=''", 'folder'),
  ({'text_rewards': 'think_format'}, "text_rewards='think_format'", 'tuple'),
  ({'text_rewards': ('formt',)}, "unknown text_rewards 'formt'", 'format'),
  ({'text_rewards': ('a:b',)}, "text_rewards='a:b'", 'cannot be imported'),
  ({'text_rewards_kw.judge': {}}, 'text_rewards_kw.judge', 'add its function'),
  (
    {'text_rewards': ('think_format',)},
    'text_rewards_kw.think_format is missing',
    'dict(weight=..., close=..., answer=...)',
  ),
  (
    {'text_rewards': ('math:cos',), 'text_rewards_kw.cos': {'weight': 'big'}},
    "text_rewards_kw.cos.weight='big'",
    'a finite number',
  ),
  (
    {
      'text_rewards': ('difflib:unified_diff',),
      'text_rewards_kw.unified_diff': {'weight': 1.0},
    },
    'text_rewards: difflib:unified_diff',
    'keyword-only',
  ),
  (
    {'text_rewards': ('tests.helpers.tiny:brevity',)},
    'two rewards are called brevity',
    'rename',
  ),
  ({'writers': 'tensorboard'}, "writers='tensorboard'", 'tuple'),
  ({'writers': ('csv',)}, "unknown writer 'csv'", 'tensorboard'),
  ({'prompts_per_step': True}, 'prompts_per_step=True', 'whole number'),
  ({'group_size': 1}, 'group_size=1', '2 or more'),
  ({'temperature': 0.0}, 'temperature=0.0', 'above 0'),
  ({'temperature': float('nan')}, 'temperature=nan', 'above 0'),
  ({'top_p': 1.5}, 'top_p=1.5', 'up to 1'),
  ({'top_k': -1}, 'top_k=-1', '0 or more'),
  ({'learning_rate': -1e-3}, 'learning_rate=-0.001', '0 or more'),
  ({'learning_rate': float('inf')}, 'learning_rate=inf', 'number'),
  ({'optimizer_kw.b2': 1.0}, 'optimizer_kw.b2=1.0', 'below 1'),
  ({'optimizer_kw.clip_norm': 0.0}, 'optimizer_kw.clip_norm=0.0', 'above 0'),
  ({'limits_kw.max_skipped': 0}, 'limits_kw.max_skipped=0', '1 or more'),
  ({'checkpoint_kw.keep': 0}, 'checkpoint_kw.keep=0', '1 or more'),
  ({'eval_kw.every': -5}, 'eval_kw.every=-5', '0 or more'),
  ({'grader_kw.secs': 0.0}, 'grader_kw.secs=0.0', 'above 0'),
  ({'policy': 'frehs'}, "policy='frehs'", 'fresh'),
  ({'compute_dtype': 'float16'}, "compute_dtype='float16'", 'bfloat16'),
  ({'update_kw.remat': 'some'}, "update_kw.remat='some'", 'full'),
  (
    {'update_kw.attention': 'flash'},
    "update_kw.attention='flash'",
    'reference',
  ),
  ({'cap_at': 'nowhere'}, "cap_at='nowhere'", 'sampler, reward'),
  ({'learning_rat': 1.0}, 'learning_rat', 'learning_rate'),
  ({'model_kw.layers': 0}, 'model_kw.layers=0', '1 or more'),
  ({'model_kw.headz': 2}, 'model_kw.headz', 'model_kw.heads'),
  ({'model_kw.heads': 3, 'model_kw.kv_heads': 2}, 'heads=3', 'multiple'),
  ({'model_kw.head_dim': 9}, 'head_dim=9', 'odd'),
  ({'uncapped_length_kw.mean': 5.0}, 'uncapped_length_kw.mean=5', 'median'),
  (
    {'uncapped_length_kw.median': 1.0},
    'uncapped_length_kw.median=1',
    'above 1',
  ),
  ({'mesh_kw.data': 0}, 'mesh_kw.data=0', '1 or more'),
  ({'mesh_kw.fsdp': 8}, 'update_kw.micro_batch_rows=4', '8 devices'),
  ({'engine_kw.max_concurrent': 0}, 'engine_kw.max_concurrent=0', '1 or more'),
  (
    {'engine_kw.concurrent': 4},
    'engine_kw.concurrent',
    'max_concurrent, decode_steps',
  ),
  ({'minibatches': 3}, 'minibatches=3', '16 samples'),
  ({'eval_kw.samples': 17}, 'eval_kw.samples=17', '16 samples'),
  (
    {'off_policy_steps': 1, 'server_kw.sleep': 1},
    'off_policy_steps=1',
    'server_kw.sleep=1',
  ),
  ({'policy': 'pretrained'}, "policy='pretrained'", 'model_path'),
  ({'model_path': 'here'}, "model_path='here'", "policy='pretrained'"),
  ({'policy': 'sft'}, "policy='sft'", 'sft_kw'),
  ({'sft_kw': {'steps': 3}}, 'sft_kw', "policy='sft'"),
  ({'update_kw.row_tokens': 30}, 'update_kw.row_tokens=30', '31'),
  (
    {'grading_rule_kw.kind': 'sequel'},
    "grading_rule_kw.kind='sequel'",
    'continuation',
  ),
  ({'schedule': 'cosin'}, "unknown schedule 'cosin'", "mean 'cosine'"),
  ({'schedule': 'no.such:one'}, "schedule='no.such:one'", 'import'),
  ({'schedule_kw.low': 9}, 'low=9', 'high=8'),
  ({'schedule_kw.period': 5}, 'period=5', 'odd'),
  ({'schedule_kw.perod': 4}, 'schedule_kw.perod', 'low, high, period, phase'),
  ({'schedule_kw': {'low': 4, 'high': 8, 'period': 4}}, 'phase', 'missing'),
  ({'advantage_kw.eps': float('nan')}, 'advantage_kw.eps=nan', 'finite'),
  ({'loss_kw': {'low': 0.2}}, 'loss_kw.high', 'missing'),
  (
    {'loss': 'dual_clip', 'loss_kw.bound': 0.5},
    'bound=0.5',
    'not above 1',
  ),
  (
    {'aggregation': 'constant_denominator', 'aggregation_kw': {'tokens': 0}},
    'tokens=0',
    'not above 0',
  ),
  (
    {'reward': 'overlong_buffer', 'reward_kw': {'buffer': 0, 'factor': 1.0}},
    'buffer=0',
    '1 token',
  ),
  (
    {'reward': 'overlong_buffer', 'reward_kw': {'buffer': 5, 'factor': 1.0}},
    'reward_kw.buffer=5',
    'the lowest cap of the run, 4',
  ),
  (
    {
      'reward': 'siri_jax.algorithm.rewards:overlong_buffer',
      'reward_kw': {'buffer': 100, 'factor': 1.0},
      'cap_at': 'reward',
    },
    'reward_kw.buffer=100',
    'the lowest cap of the run, 4',
  ),
  (
    {'collect': 'dynamic', 'collect_kw': {'max_rounds': 0}},
    'max_rounds=0',
    'below 1',
  ),
  (
    {'budget': 'length_target', 'budget_kw': dict(TARGET, low=9)},
    'budget_kw of length_target: low=9 to high=6',
    'range',
  ),
  (
    {'budget': 'cap_in_prompt', 'budget_kw': {'system': 'short', 'note': ''}},
    'budget_kw of cap_in_prompt',
    '{cap}',
  ),
  (
    {'budget': 'tests.config.test_plan:too_much'},
    "budget='tests.config.test_plan:too_much'",
    'a cap of 5 tokens where the step has 4',
  ),
  (
    {'reward': 'lcpo_exact', 'reward_kw': {'alpha': 0.1}},
    "reward='lcpo_exact'",
    "budget='length_target'",
  ),
]


@pytest.mark.parametrize(
  ('changes', 'setting', 'right'), BAD, ids=[str(b[0]) for b in BAD]
)
def test_a_bad_config_is_refused_with_the_allowed_values(
  changes, setting, right
):
  (fault,) = faults_of(**changes)
  assert setting in fault
  assert right in fault


def test_a_buffer_of_the_lowest_cap_or_of_a_run_that_ends_above_it_is_taken():
  buffered = {'reward': 'overlong_buffer'}
  buffered['reward_kw'] = {'buffer': 4, 'factor': 1.0}
  plan.make(tiny.changed(**buffered))
  buffered['reward_kw'] = {'buffer': 8, 'factor': 1.0}
  plan.make(tiny.changed(**buffered, total_steps=1))  # It never falls.


def test_a_buffer_and_a_row_that_caps_do_not_fit_are_named_at_once():
  buffered = {'buffer': 9, 'factor': 1.0}
  faults = faults_of(
    reward='overlong_buffer',
    reward_kw=buffered,
    **{'update_kw.row_tokens': 16},
  )
  assert [fault.split('=')[0] for fault in faults] == [
    'reward_kw.buffer',
    'update_kw.row_tokens',
  ]


def test_all_faults_come_at_once_whatever_kind_they_are_of():
  faults = faults_of(
    **{
      'seed': -1,
      'colour': 'red',
      'writers': ('csv',),
      'minibatches': 3,
      'schedule_kw.period': 5,
      'loss_kw.lo': 0.1,
      'reward': 'overlong_buffer',
    }
  )
  for part in (
    'seed=-1',
    'colour is not a setting',
    "'csv'",
    'minibatches=3',
    'period=5',
    'loss_kw.lo is not',
    'reward_kw.buffer is missing',
    'reward_kw.factor is missing',
  ):
    assert sum(part in fault for fault in faults) == 1, part
  assert len(faults) == 8


def test_a_plan_has_the_cap_and_the_phase_of_every_step():
  made = plan.make(tiny.changed(total_steps=6))
  np.testing.assert_array_equal(made.caps, [8, 6, 4, 6, 8, 6])
  compress, expand = 2 * ['compress'], 2 * ['expand']
  assert made.phases == [*compress, *expand, *compress]
  assert made.turns == {2: 'compressed', 4: 'expanded', 6: 'compressed'}


LOOP = dict(
  schedule='accuracy_turns',
  schedule_kw=dict(
    **dict(low=4, high=8, fall=1.0, rise=1.0, smoothing=1.0, least=2),
    **dict(drop=0.1, gain=0.01, patience=2),
  ),
)


def test_a_closed_loop_is_planned_by_its_bounds_and_simulated():
  # Natural lengths around 6 tokens, so that the cap cuts some of them.
  lengths = dict(mean=7.0, median=6.0)
  made = plan.make(
    tiny.changed(**LOOP, uncapped_length_kw=lengths, total_steps=12)
  )
  assert (made.lowest, made.highest, made.longest) == (4, 8, 8)
  assert (made.caps[0], made.caps[1]) == (8, 7)
  assert made.phases[:2] == ['compress', 'compress']
  assert 'expand' in made.phases
  # The run finds its turns; the plan has those of the simulation beside.
  assert made.turns == {}
  assert 'compressed' in made.simulated.values()
  assert made.evals == {0: 'start', 12: 'end'}


def stateful_without_bounds(step, state, seen, *, cap):
  return cap, state


def forgetful(step, state, seen, *, low, high):
  return low + high - high + step * 0, state.cap


def test_a_closed_loop_without_bounds_or_with_another_state_is_refused():
  here = 'tests.config.test_plan:'
  (fault,) = faults_of(
    schedule=f'{here}stateful_without_bounds', schedule_kw={'cap': 4}
  )
  assert 'needs the bounds of its cap, low and high' in fault
  kw = {'low': 4, 'high': 8}
  (fault,) = faults_of(schedule=f'{here}forgetful', schedule_kw=kw)
  assert 'returns a state of other arrays' in fault


def test_samples_and_rows_follow_from_the_settings():
  made = plan.make(
    tiny.changed(
      prompts_per_step=6,
      group_size=4,
      minibatches=3,
      **{'update_kw.row_tokens': 0},
    )
  )
  assert (made.samples, made.minibatch) == (24, 8)
  assert made.row_tokens == 128  # 23 + 8, rounded up.
  assert made.longest == 8
  assert plan.make(tiny.changed(**{'eval_kw.cap': 50})).longest == 50
  assert (
    plan.make(tiny.changed(**{'update_kw.row_tokens': 31})).row_tokens == 31
  )


def test_a_row_holds_a_chunk_and_as_many_rows_as_the_cap_asks_for():
  given = {'budget': 'in_chunks', 'update_kw.row_tokens': 0}
  each = dict(context=6, carried=4, head=1)
  made = plan.make(tiny.changed(**given, budget_kw=each, max_prompt_tokens=124))
  assert (made.longest, made.begun, made.most_chunks) == (6, 4, 2)
  assert made.row_tokens == 256  # 124 + 6, rounded up.
  assert made.chunks == (6, 4, 1)
  # The cap of 8 is within a context of 16: each response is one row.
  each = dict(context=16, carried=4, head=1)
  made = plan.make(tiny.changed(**given, budget_kw=each))
  assert (made.longest, made.most_chunks) == (8, 1)
  (fault,) = faults_of(**given, budget_kw=dict(context=4, carried=4, head=1))
  assert 'head=1, carried=4, context=4 do not rise from 0' in fault
  (fault,) = faults_of(**given, budget_kw=each, cap_at='reward')
  assert "samples a response in parts, so set cap_at='sampler'" in fault


def test_evaluations_are_at_start_extrema_cadence_and_end():
  made = plan.make(tiny.changed(total_steps=7, **{'eval_kw.every': 3}))
  assert list(made.evals.items()) == [
    (0, 'start'),
    (2, 'compressed'),
    (3, 'cadence'),
    (4, 'expanded'),
    (6, 'compressed'),  # An extremum has priority over the cadence.
    (7, 'end'),
  ]


def test_a_run_that_ends_at_an_extremum_is_evaluated_as_one():
  made = plan.make(tiny.changed(total_steps=4))
  assert made.evals[4] == 'expanded'


def test_checkpoints_are_at_extrema_cadence_and_end():
  made = plan.make(tiny.changed(total_steps=7, **{'checkpoint_kw.every': 3}))
  assert made.checkpoints == {2, 3, 4, 6, 7}
  never = plan.make(tiny.changed(total_steps=7, **{'checkpoint_kw.every': 0}))
  assert never.checkpoints == {2, 4, 6, 7}


def test_the_extras_that_a_loss_takes_are_found_in_its_signature():
  assert plan.make(tiny.changed()).extra == ()
  kl = plan.make(tiny.changed(**{'loss': 'grpo_kl', 'loss_kw.beta': 0.1}))
  assert kl.extra == ('ref_logp',)
  bonus = plan.make(
    tiny.changed(**{'loss': 'entropy_bonus', 'loss_kw.bonus': 0.1})
  )
  assert bonus.extra == ('entropy',)


def test_plug_ins_come_with_their_settings_bound():
  made = plan.make(tiny.changed())
  cap, state = made.find['schedule'](2, 'state', 'seen')
  assert (int(cap), state) == (4, 'state')
  assert set(made.find) == set(plan.PLUGINS)


def test_the_papers_run_has_the_papers_plan():
  c = cosine640.get_config()
  c.model_path = 'somewhere'
  made = plan.make(c)
  assert list(made.turns) == [320, 640, 960, 1280, 1600, 1920]
  assert (made.evals[1600], made.evals[1920]) == ('compressed', 'expanded')
  assert (made.caps[0], made.caps[160], made.caps[320]) == (16384, 12288, 8192)
  assert made.row_tokens == 1024 + 16384
  assert (made.samples, made.minibatch) == (1024, 512)
