"""The lookup of plug-ins, and the faults in their settings."""

import importlib

import pytest

from siri_jax import plugins
from siri_jax.algorithm import losses, schedules

COSINE = dict(low=4, high=8, period=4, phase=0)


@pytest.mark.parametrize('family', plugins.FAMILIES)
def test_every_family_has_modules_with_plugins(family):
  for name in plugins.FAMILIES[family]:
    module = importlib.import_module(name)
    assert module.__doc__.startswith('PLUG-IN')
    own = [plugins.function(family, n) for n in plugins.names(family)]
    assert name in {function.__module__ for function in own}


def test_names_are_the_public_functions_defined_there_in_order():
  names = plugins.names('schedule')
  assert names[:2] == ['constant', 'stair']
  assert not [n for n in names if n.startswith('_')]
  assert 'check' not in plugins.names('loss')  # Imported, not defined.


def test_a_plugin_is_found_by_its_name():
  assert plugins.function('loss', 'clip_higher') is losses.clip_higher


def test_a_misspelt_name_suggests_the_nearest():
  with pytest.raises(ValueError, match=r"did you mean 'cosine'\?"):
    plugins.function('schedule', 'cosin')


def test_a_private_function_is_not_a_plugin():
  with pytest.raises(ValueError, match=r"unknown loss '_surrogate'"):
    plugins.function('loss', '_surrogate')


def test_a_plugin_from_elsewhere_is_named_with_its_module():
  found = plugins.function('schedule', 'siri_jax.algorithm.schedules:cosine')
  assert found is schedules.cosine


@pytest.mark.parametrize('name', ['no_such:f', 'math:no_such', ':f', 'math:'])
def test_a_plugin_that_cannot_be_imported_is_named(name):
  with pytest.raises(ValueError, match=f"reward='{name}' cannot be imported"):
    plugins.function('reward', name)


def test_settings_are_the_keyword_only_arguments():
  assert plugins.settings_of(schedules.cosine) == [
    *('low', 'high', 'period', 'phase')
  ]


def test_find_binds_the_settings():
  cap = plugins.find('schedule', 'cosine', COSINE)
  assert [int(cap(t)) for t in range(4)] == [8, 6, 4, 6]


def test_missing_and_unknown_settings_are_listed_at_once():
  settings = dict(low=4, hihg=8)
  found = plugins.faults('schedule', 'constant', settings)
  assert found == [
    'schedule_kw.cap is missing; constant needs it',
    'schedule_kw.low is not a setting of constant; choose from cap',
    'schedule_kw.hihg is not a setting of constant; choose from cap',
  ]
  with pytest.raises(ValueError, match=r'(?s)cap is missing.*low.*hihg'):
    plugins.find('schedule', 'constant', settings)


def test_an_unknown_name_is_a_fault_like_the_others():
  (fault,) = plugins.faults('advantage', 'mean', {})
  assert fault.startswith("unknown advantage 'mean'; ")


def test_an_argument_of_the_caller_is_not_a_setting():
  settings = dict(low=0.2, high=0.28, beta=0.1)
  assert not plugins.faults('loss', 'grpo_kl', settings, ('ref_logp',))
  (fault,) = plugins.faults('loss', 'grpo_kl', settings)
  assert fault == 'loss_kw.ref_logp is missing; grpo_kl needs it'
  (fault,) = plugins.faults(
    'loss', 'grpo_kl', {**settings, 'ref_logp': 1}, ('ref_logp',)
  )
  assert 'ref_logp is not a setting' in fault
