"""The settings of plug-ins that are named without them."""

import pytest

from siri_jax import plugins
from siri_jax.config import command_line, plan

QUICK = '--config=configs/quickstart.py'


def read(*words):
  asked = command_line.parse([QUICK, *words], command_line.define_run, '')
  assert asked.faults == []
  return asked


def every():
  """(family, name) of each plug-in that runs without files or servers."""
  return [
    (family, name)
    for family in plugins.FAMILIES
    for name in plugins.names(family)
    if (family, name) != ('task', 'jsonl')
  ]


@pytest.mark.parametrize(('family', 'name'), every())
def test_a_plug_in_needs_no_settings_on_the_command_line(family, name):
  found = plan.faults(read(f'--config.{family}={name}').config)
  assert [x for x in found if f'{family}_kw' in x] == []


def test_a_schedule_alone_has_its_preset_at_the_caps_at_hand():
  asked = read('--config.schedule=stair', '--config.schedule_kw.low=40')
  assert asked.config.schedule_kw.to_dict() == dict(
    low=40, high=92, period=54, phase=0, low_share=0.5, first='low'
  )
  assert asked.overrides == {
    'schedule': 'stair',
    'schedule_kw': asked.config.schedule_kw.to_dict(),
  }


def test_the_order_of_the_words_does_not_matter():
  words = ('--config.schedule=stair', '--config.schedule_kw.low_share=0.25')
  kw = [read(*each).config.schedule_kw for each in (words, words[::-1])]
  assert kw[0].to_dict() == kw[1].to_dict()
  assert kw[0].low_share == 0.25


def test_the_settings_of_the_schedule_before_do_not_block_it():
  config = read('--config.schedule=constant').config
  assert config.schedule_kw.to_dict() == {'cap': 92}
  assert plan.faults(config) == []


def test_a_loss_keeps_the_clipping_of_the_one_before():
  words = ('--config.loss_kw.low=0.1', '--config.loss=dual_clip')
  config = read(*words, '--config.loss_kw.bound=4').config
  assert config.loss_kw.to_dict() == dict(low=0.1, high=0.28, bound=4.0)
  config = read('--config.loss=supervised').config
  assert config.loss_kw.to_dict() == {}


def test_a_buffer_and_a_denominator_follow_the_caps():
  words = ('--config.schedule=constant', '--config.schedule_kw.cap=80')
  config = read(*words, '--config.reward=overlong_buffer').config
  assert config.reward_kw.to_dict() == dict(buffer=20, factor=1.0)
  config = read('--config.aggregation=constant_denominator').config
  assert config.aggregation_kw.to_dict() == {'tokens': 92}


def test_text_rewards_alone_have_a_weight_and_their_settings():
  config = read('--config.text_rewards=repetition_penalty,my_lab:judge').config
  assert config.text_rewards == ('repetition_penalty', 'my_lab:judge')
  assert config.text_rewards_kw.to_dict() == dict(
    repetition_penalty=dict(weight=1.0, size=3), judge=dict(weight=1.0)
  )


@pytest.mark.parametrize('turn', [1, -1])
def test_a_setting_of_a_text_reward_is_one_flag(turn):
  words = (
    '--config.text_rewards=think_format,repetition_penalty',
    '--config.text_rewards_kw.think_format.weight=2',
    "--config.text_rewards_kw.think_format.answer='7'",
  )
  asked = read(*words[::turn])
  assert plan.faults(asked.config) == []
  assert asked.config.text_rewards_kw.think_format.to_dict() == dict(
    weight=2.0, close='</think>', answer='7'
  )
  assert asked.config.text_rewards_kw.repetition_penalty.weight == 1.0


def test_settings_that_are_given_as_a_whole_are_kept():
  kw = "{'low': 40, 'high': 80, 'period': 10, 'phase': 5}"
  words = ('--config.schedule=stair_cosine', f'--config.schedule_kw={kw}')
  assert read(*words).config.schedule_kw.period == 10


def test_another_policy_needs_no_settings_of_sft():
  assert plan.faults(read('--config.policy=fresh').config) == []


def test_an_unknown_plug_in_is_left_for_the_plan_to_refuse():
  (fault,) = plan.faults(read('--config.schedule=stairs').config)
  assert "did you mean 'stair'?" in fault
