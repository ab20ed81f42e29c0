"""The runs of a grid: names, settings, and all faults at once."""

import json

import pytest

from siri_jax.experiments import grid

BASE = 'configs/quickstart.py'


def configs(axes, base=BASE, **overrides):
  """Each run's config by its name."""
  found = grid.runs(base, axes, 'out', overrides)
  return {run.name: run.config for run in found}


def test_the_runs_are_the_product_of_the_axes_the_last_one_fastest():
  found = grid.runs(BASE, {'group_size': [4, 8], 'seed': [0, 1]}, 'out', {})
  names = ['group_size=4,seed=0', 'group_size=4,seed=1', 'group_size=8,seed=0']
  assert [run.name for run in found] == [*names, 'group_size=8,seed=1']
  assert [(r.config.group_size, r.config.seed) for r in found] == [
    (4, 0),
    (4, 1),
    (8, 0),
    (8, 1),
  ]
  assert str(found[0].folder) == 'out/group_size=4,seed=0'
  # Repeats of an arm differ only in their seed.
  assert [run.arm for run in found] == ['4', '4', '8', '8']


def test_a_run_is_a_command_line():
  (run,) = grid.runs(BASE, {'seed': [7]}, 'out', {'total_steps': 12})
  assert run.arguments == [
    '--config=configs/quickstart.py',
    '--config.total_steps=12',
    '--config.seed=7',
    '--workdir=out/seed=7',
  ]


def test_a_schedule_without_settings_gets_its_preset_with_the_bases_caps():
  found = configs({'schedule': ['cosine', 'stair', 'constant', 'piecewise']})
  cosine, stair, constant, piecewise = found.values()
  cycle = {'low': 46, 'high': 92, 'period': 54, 'phase': 0}
  assert cosine.schedule_kw.to_dict() == cycle
  assert stair.schedule_kw.to_dict() == {
    **cycle,
    'low_share': 0.5,
    'first': 'low',
  }
  assert constant.schedule_kw.to_dict() == {'cap': 92}
  assert piecewise.schedule_kw.to_dict() == {
    'caps': (46, 92),
    'starts': (0, 27),
    'phase': 0,
  }


def test_an_arm_may_have_a_config_file_of_its_own():
  axes = {
    'method': {
      'SIRI': {'total_steps': 8},
      'DAPO': {'config': 'recipes/dapo_16k:laptop', 'minibatches': 2},
    }
  }
  siri, dapo = configs(axes, learning_rate=1e-3).values()
  assert (siri.reward, siri.total_steps) == ('length_capped', 8)
  assert dapo.reward == 'overlong_buffer'
  assert (dapo.total_steps, dapo.minibatches) == (20, 2)
  assert dapo.learning_rate == siri.learning_rate == 1e-3
  run = grid.runs(BASE, axes, 'out', {})[1]
  assert run.arguments[0] == '--config=recipes/dapo_16k:laptop'
  wrong = {'method': {'x': {'config': 'recipes/dappo'}}}
  with pytest.raises(ValueError, match=r'method=x: .*did you mean'):
    configs(wrong)


def test_a_preset_follows_the_period_and_can_be_changed():
  axes = {
    'arm': {
      'a': {'schedule': 'stair', 'schedule_kw.low_share': 0.25},
      'b': {'schedule': 'constant'},
    }
  }
  stair, constant = configs(axes, **{'schedule_kw.period': 48}).values()
  assert (stair.schedule_kw.period, stair.schedule_kw.low_share) == (48, 0.25)
  assert constant.schedule_kw.to_dict() == {'cap': 92}


def test_complete_settings_are_kept():
  kw = {'low': 40, 'high': 80, 'period': 10, 'phase': 5}
  axes = {'arm': {'a': {'schedule': 'stair_cosine', 'schedule_kw': kw}}}
  (config,) = configs(axes).values()
  assert config.schedule_kw.to_dict() == kw


def test_every_fault_of_every_run_is_listed_before_anything_runs():
  axes = {
    'schedule': ['cosine', 'cosin'],
    'group_size': [8, 1],
    'learning_rat': [0.1],
  }
  with pytest.raises(ValueError, match='learning_rat') as error:
    grid.runs(BASE, axes, 'out', {})
  told = str(error.value).splitlines()
  first = 'schedule=cosine,group_size=8,learning_rat=0.1: '
  assert any(line.startswith(first) for line in told)
  assert any("unknown schedule 'cosin'" in line for line in told)
  assert any(
    'group_size=1' in line and 'whole number of 2' in line for line in told
  )


@pytest.mark.parametrize(
  ('axes', 'words'),
  [
    ({}, 'a grid is a dict of axes'),
    ({'seed': 3}, 'grid.seed=3 is not a list of values'),
    ({'seed': []}, 'is not a list of values'),
    ({'arm': {'a': 3}}, 'grid.arm.a=3 is not a dict of settings'),
    ({'seed': [1, 1.5]}, 'seed=1.5: .*seed=1.5 is not a whole number'),
    ({'seed': [0], 'arm': {'a b': {}, 'a_b': {}}}, 'two runs have this name'),
  ],
)
def test_an_invalid_grid_is_refused(axes, words):
  with pytest.raises(ValueError, match=words):
    grid.runs(BASE, axes, 'out', {})


def test_an_axis_is_read_from_a_command_line():
  assert grid.axis('seed=0,1,2') == ('seed', [0, 1, 2])
  assert grid.axis('schedule=cosine,stair') == ('schedule', ['cosine', 'stair'])
  pairs = grid.axis('schedule_kw.caps=(46,92),(50,92)')
  assert pairs == ('schedule_kw.caps', [(46, 92), (50, 92)])
  for text in ('seed', 'seed=', '=1'):
    with pytest.raises(ValueError, match='is not NAME=VALUE'):
      grid.axis(text)


def test_a_grid_is_read_from_a_file_whose_faults_name_it(tmp_path):
  file = tmp_path / 'grid.json'
  file.write_text(json.dumps({'seed': [0, 1]}))
  assert grid.read(file) == {'seed': [0, 1]}
  for text in ('{"seed": ', '{"seed": 1}', '[]'):
    file.write_text(text)
    with pytest.raises(ValueError, match=r'grid\.json'):
      grid.read(file)
  with pytest.raises(ValueError, match='nowhere'):
    grid.read(tmp_path / 'nowhere.json')


def test_words_that_are_not_settings_are_all_named():
  words = ['--config.group_size=16', '--confg.seed=1', 'stray']
  with pytest.raises(ValueError, match='stray') as error:
    grid.overrides(words)
  assert '--confg.seed=1' in str(error.value)
  assert grid.overrides(words[:1]) == {'group_size': 16}


def test_an_axis_that_is_given_twice_has_the_values_of_both():
  found = grid.axes(['seed=0', 'schedule=cosine', 'seed=1,2'])
  assert found == {'seed': [0, 1, 2], 'schedule': ['cosine']}


@pytest.mark.parametrize('name', ['table1', 'table1_laptop'])
def test_the_arms_of_table_1_are_configs_of_their_own(name):
  axes = {**grid.read(f'configs/{name}.json'), 'seed': [3]}
  found = grid.runs('cosine640', axes, 'runs/table1', {})
  assert [run.arm for run in found][-2:] == ['O1-Pruner', 'SIRI']
  for run in found:
    changes = dict(axes['system'][run.arm], seed=3)
    own = grid.single(changes.pop('config'), changes, 'runs')
    assert run.config == own.config
    assert run.config.seed == 3
