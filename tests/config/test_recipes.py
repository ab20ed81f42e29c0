"""Recipes: one config for each published method, at two sizes."""

import pytest

from siri_jax.commands import recipes
from siri_jax.config import base, catalog, command_line, plan, sizes

ALL = [recipe.name for recipe in catalog.recipes()]


def read(source, *words):
  asked = command_line.parse(
    [f'--config={source}', *words], command_line.define_run, ''
  )
  assert asked.faults == []
  return asked.config


@pytest.mark.parametrize('size', sizes.SIZES)
@pytest.mark.parametrize('name', ALL)
def test_a_recipe_is_a_valid_config_at_each_size(name, size):
  c, default = read(f'{name}:{size}'), base.get_config()
  assert set(c) == set(default)
  assert plan.faults(c) == []
  made = plan.make(c)
  assert made.highest <= made.c.eval_kw.cap or size == 'paper'


@pytest.mark.parametrize('name', ALL)
def test_a_laptop_run_is_as_short_as_the_quickstart(name):
  made = plan.make(read(f'{name}:laptop'))
  assert made.c.total_steps == sizes.LAPTOP_STEPS
  assert made.highest <= 92
  assert made.c.policy == 'sft'


@pytest.mark.parametrize('name', ALL)
def test_a_recipe_runs_under_a_schedule_that_is_one_override(name):
  c = read(name, '--config.schedule=cosine')
  made = plan.make(c)
  assert made.lowest < made.highest
  assert 'compressed' in made.turns.values()
  assert plan.faults(read(f'{name}:laptop', '--config.schedule=cosine')) == []


def test_a_schedule_after_a_constant_cap_falls_to_half_of_it_three_times():
  c = read(
    'quickstart:constant',
    '--config.schedule=cosine',
    '--config.total_steps=60',
  )
  assert c.schedule_kw.to_dict() == dict(low=46, high=92, period=20, phase=0)


def test_the_buffer_of_dapo_moves_with_the_cap():
  c = read('recipes/dapo_16k')
  assert plan.make(c).caps[[0, 319, 320]].tolist() == [8192, 8192, 16384]
  assert c.reward_kw.buffer == 4096


def test_the_checkout_and_the_package_have_the_same_recipes():
  for name in ALL:
    assert read(f'configs/{name}.py') == read(name)


def test_the_command_lists_every_recipe_with_its_facts(capsys):
  assert recipes.main([]) == 0
  shown = capsys.readouterr().out
  for recipe in catalog.recipes():
    assert f'{recipe.name}  {recipe.title}' in shown
  assert shown.count('    Needs: ') == len(ALL)
  assert recipes.main(['clip-higher']) == 0
  assert 'recipes/dapo_16k' in capsys.readouterr().out
  assert recipes.main(['no such recipe']) == 2


def test_an_unknown_recipe_or_size_is_refused_with_a_hint():
  with pytest.raises(ValueError, match='did you mean recipes/dapo_16k'):
    command_line.load('recipes/dapo_16')
  with pytest.raises(ValueError, match='choose from paper, laptop, l'):
    command_line.load('recipes/dapo_16k:phone')
