"""The rules of single settings, and contradictions."""

import pytest

from configs import base, quickstart
from siri_jax.config import schema
from siri_jax.runtime import run_folder
from tests.helpers import tiny


@pytest.fixture
def c():
  return tiny.get_config()


def test_exactly_the_settings_of_base_have_rules():
  c = base.get_config()
  assert set(schema.RULES) == set(c)
  for key, rules in schema.INNER.items():
    assert set(rules) == set(c[key])


def test_the_values_of_base_are_valid_except_model_path():
  (fault,) = schema.faults(base.get_config())
  assert 'model_path' in fault


def test_a_sound_config_has_no_faults(c):
  assert schema.faults(c) == []


def test_a_misspelt_setting_suggests_the_right_one(c):
  c.learning_rat = 1e-3
  c.model_kw.head = 4
  assert schema.faults(c) == [
    'learning_rat is not a setting; did you mean learning_rate?',
    'model_kw.head is not a setting; did you mean model_kw.heads?',
  ]


@pytest.mark.parametrize(
  ('name', 'ours'),
  [
    ('lr', 'learning_rate'),
    ('num_generations', 'group_size'),
    ('max_completion_length', 'schedule_kw.high'),
    ('batch_size', 'prompts_per_step'),
    ('kl_coef', 'loss_kw.beta with --config.loss=grpo_kl'),
    ('clip_norm', 'optimizer_kw.clip_norm'),
  ],
)
def test_a_name_of_other_trainers_suggests_the_one_here(c, name, ours):
  c[name] = 1
  assert schema.faults(c) == [f'{name} is not a setting; did you mean {ours}?']


def test_no_name_of_other_trainers_is_a_setting():
  own = base.get_config().to_dict()
  known = {**own, **run_folder.flatten(own)}
  assert set(schema.OTHER_NAMES) & set(known) == set()
  more = {'loss_kw.beta', 'loss_kw.bonus', '--workdir'}
  ours = {text.split(' with ')[0] for text in schema.OTHER_NAMES.values()}
  assert ours - set(known) - more == set()


def test_a_missing_setting_is_named_with_the_allowed_values(c):
  del c.group_size, c.model_kw.mlp
  assert schema.faults(c) == [
    'group_size is missing; set it to a whole number of 2 or more',
    'model_kw.mlp is missing; set it to a whole number of 1 or more',
  ]


def test_every_fault_of_the_sft_settings_is_listed():
  c = quickstart.get_config()
  assert schema.faults(c) == []
  del c.sft_kw.rounds
  c.sft_kw.gate = dict(copied=0.99)
  (fault,) = schema.faults(c)
  assert "policy='sft': sft_kw.rounds is missing" in fault
  assert "sft_kw.gate={'copied': 0.99} is not dict(copied=" in fault


@pytest.mark.parametrize('value', [True, 2.0, '2', None, -1, float('nan')])
def test_a_whole_number_is_nothing_else(c, value):
  with c.ignore_type():
    c.prompts_per_step = value
  (fault,) = schema.faults(c)
  assert (
    fault == f'prompts_per_step={value!r} is not a whole number of 1 or more'
  )


@pytest.mark.parametrize('value', [float('nan'), float('inf'), 0.0, -1.0])
def test_a_temperature_is_a_finite_number_above_zero(c, value):
  c.temperature = value
  (fault,) = schema.faults(c)
  assert fault == f'temperature={value!r} is not a number above 0'


def test_a_plug_ins_number_must_be_finite(c):
  c.advantage_kw.eps = float('nan')
  assert schema.faults(c) == ['advantage_kw.eps=nan is not finite']


@pytest.mark.parametrize(
  ('hosts', 'devices', 'told'),
  [
    (dict(count=2, coordinator='a:1'), 2, 'go together'),
    (dict(count=2, index=1), 2, 'go together'),
    (dict(count=2, coordinator='a:1', index=2), 2, 'does not fit'),
    (dict(coordinator='a:1', index=0), 2, 'does not fit'),
    (dict(count=2), 1, 'the 1 devices of mesh_kw do not divide'),
    (dict(count=2, coordinator='a:1', index=1), 2, ''),
    (dict(count=2), 2, ''),
  ],
)
def test_coordinator_and_index_are_set_together(c, hosts, devices, told):
  c.hosts_kw.update(hosts)
  c.mesh_kw.fsdp = c.update_kw.micro_batch_rows = devices
  found = schema.faults(c)
  assert len(found) == bool(told)
  assert told in ''.join(found)


def test_only_valid_settings_are_checked_for_contradictions(c):
  c.prompts_per_step = 0  # 0 samples must not contradict minibatches.
  c.model_kw.heads = 3  # Odd, but a multiple of 1.
  c.model_kw.head_dim = 7
  assert schema.faults(c) == [
    'prompts_per_step=0 is not a whole number of 1 or more',
    'model_kw.head_dim=7 is odd; use an even one',
  ]


def test_all_faults_come_at_once(c):
  c.seed = -1
  c.optimizer_kw.b1 = 1.0
  c.minibatches = 3
  c.mesh_kw.data = 3
  faults = schema.faults(c)
  assert len(faults) == 4
  for part in (
    'seed=-1',
    'optimizer_kw.b1=1.0',
    'minibatches=3',
    'update_kw.micro_batch_rows=4',
  ):
    assert any(fault.startswith(part) for fault in faults), part


def test_addresses_of_servers_are_judged_before_a_run(c):
  c.server_kw.urls = ('http://n7:8000', 'http://n8:8000/v1', 'https://n7:8000')
  assert schema.faults(c) == []
  c.server_kw.urls = ('n7:8000', 'http://a b:1', 'http://n7:port', 'http://n:1')
  (fault,) = schema.faults(c)
  assert fault.startswith("server_kw.urls: 'n7:8000' is not a server address; ")
  assert "'http://a b:1' is not a server address" in fault
  assert "'http://n7:port' is not a server address" in fault
  assert "'http://n:1'" not in fault


@pytest.mark.parametrize('place', ['a', 'http://a:1', 'a b:1', 'a:x', 7])
def test_the_place_of_the_first_process_is_judged_too(c, place):
  c.hosts_kw.update(count=2, index=0)
  c.mesh_kw.fsdp = c.update_kw.micro_batch_rows = 2
  for good in ('node7:1234', '10.0.0.1:80', '[fe80::1]:9'):
    c.hosts_kw.coordinator = good
    assert schema.faults(c) == []
  with c.ignore_type():
    c.hosts_kw.coordinator = place
  (fault,) = schema.faults(c)
  assert fault == f"hosts_kw.coordinator={place!r} is not HOST:PORT, or ''"


def test_a_server_that_is_named_twice_is_told(c):
  c.server_kw.urls = ('http://n7:8000', 'HTTP://N7:8000/v1')
  (fault,) = schema.faults(c)
  assert fault == "server_kw.urls: 'http://n7:8000' is there twice"


@pytest.mark.parametrize(
  'urls',
  [('http://me:hush@n:1',), ('http://me:hush@n:1', 3), ('http://a@hush@n',)],
)
def test_a_password_of_an_address_is_in_no_message(c, urls):
  c.server_kw.urls = urls
  (fault,) = schema.faults(c)
  assert 'hush' not in fault
  assert '***@n' in fault
