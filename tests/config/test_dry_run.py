"""The report of --dry_run."""

import builders
import pytest
from huggingface_hub import constants
from ml_collections import ConfigDict

from configs import (
  cosine640,
  cosine640_7b,
  quickstart,
  qwen3_1p7b,
  r1_llama_8b,
)
from siri_jax.config import dry_run, forecast, memory, plan, plugin_defaults
from siri_jax.data import workload
from tests.helpers import tiny
from tools.benchmarks import full_size


def work_of(train=64, shape=None, **evals):
  """Work of a tiny policy with these numbers of problems."""
  shape = shape or builders.tiny_shape()
  return forecast.Workload(shape, 5.0, train, 0, evals)


def planned(**changes):
  return plan.make(tiny.changed(**changes))


def test_what_differs_from_the_defaults_stands_first_with_its_meaning():
  text = dry_run.text(planned(), work_of())
  title, *lines = text.partition('\n\n')[0].splitlines()
  shown = [line.split(maxsplit=1) for line in lines if line[2] != ' ']
  assert title.startswith(f'{len(shown)} settings differ from ')
  shown = {words[0]: words[1:] for words in shown}
  assert shown['schedule_kw.period=4'] == ['Steps of a cycle']
  assert 'schedule=' not in ''.join(shown)  # It is the default.


def test_every_setting_is_shown_if_asked_for():
  text = dry_run.text(planned(), work_of(), verbose=True)
  lines = text.partition('\nSettings\n')[2].splitlines()
  shown = dict(line.split(maxsplit=1) for line in lines if line[2] != ' ')
  assert shown['schedule'] == "'cosine'"
  assert shown['model_kw.tied'] == 'False'
  assert set(tiny.get_config()) <= {name.split('.')[0] for name in shown} | {
    'budget_kw',  # Without settings,
    'collect_kw',
    'reward_kw',
    'text_rewards_kw',
    'aggregation_kw',
    'sft_kw',
    'training_set_kw',
  }
  assert 'Estimated memory of one device in an update, MB' in text
  assert 'A cycle, 4 steps' in text


def test_the_plan_is_derived():
  made = planned(total_steps=7, minibatches=2, **{'eval_kw.every': 3})
  work = work_of(easy=10, hard=1000)._replace(dropped=3)
  assert dry_run.problems(made, work) == {
    'problems': '64 (3 too long), 0.44 epochs of 16 steps',
    'held out': 'easy 10, hard 1,000',
  }
  assert dry_run.facts(made) == {
    # Caps of 8 6 4 6 8 6 4, 16 samples each.
    'samples a step': '16 (4 prompts * 4), at most 128 tokens',
    'optimiser steps': '14, of 8 samples each',
    'cap': '4 to 8, mean 6.0 tokens',
    'row': '32 tokens',
    'turns': '2 compressed, 4 expanded, 6 compressed',
    'evaluations': '0, 2, 3, 4, 6, 7',
    'checkpoints': '1, 2, 3, 4, 5, 6, 7',
  }


def test_a_long_list_is_cut():
  facts = dry_run.facts(planned(total_steps=40))
  assert facts['checkpoints'] == '1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ' + (
    '... 28 more'
  )


def test_a_range_of_times_has_one_unit():
  assert dry_run.between((30, 90)) == '30 to 90 seconds'
  assert dry_run.between((66, 200)) == '1.1 to 3.3 minutes'
  assert dry_run.between((3600, 7200)) == '1 to 2 hours'
  assert dry_run.between((86_400, 1234 * 86_400)) == '1 to 1,200 days'


def test_a_report_is_no_wider_than_a_terminal():
  for c in (tiny.get_config(), quickstart.get_config()):
    text = dry_run.text(plan.make(c), work_of(held=9), verbose=True)
    assert max(map(len, text.splitlines())) <= 80


def test_the_schedule_is_plotted_with_its_turns():
  assert dry_run.plot(planned(total_steps=8)).splitlines() == [
    'Cap, tokens (v: end of compression, ^: end of expansion)',
    '8 │•   •',
    '  │',
    '  │',
    '  │',
    '  │',
    '  │ • • • •',
    '  │',
    '  │',
    '  │',
    '  │',
    '  │',
    '4 │  •   •',
    '  └────────',
    '     v ^ v^',
    '   0      8 steps',
  ]


@pytest.mark.parametrize('steps', [1, 65, 1000])
def test_a_plot_is_no_wider_than_a_terminal(steps):
  lines = dry_run.plot(planned(total_steps=steps)).splitlines()
  assert len(lines) == dry_run.HEIGHT + 4
  assert max(map(len, lines)) <= 80


def test_a_constant_cap_is_a_flat_line():
  c = tiny.get_config()
  c.schedule, c.schedule_kw = 'constant', {'cap': 8}
  lines = dry_run.plot(plan.make(c)).splitlines()
  assert sum('•' in line for line in lines) == 1


@pytest.mark.parametrize(
  ('config', 'gpus', 'remat'),
  [
    (cosine640, 8, 'products'),
    (cosine640_7b, 17, 'gate'),
    (qwen3_1p7b, 8, 'products'),
    (r1_llama_8b, 17, 'qkv'),
  ],
)
def test_the_papers_runs_are_forecast_before_anything_is_fetched(
  config, gpus, remat, monkeypatch, tmp_path
):
  monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
  c = config.get_config()
  text = dry_run.text(plan.make(c), workload.of(c))
  assert '16,384 │•' in text
  assert '320 compressed, 640 expanded, 960 compressed' in text
  assert '40,315, 6.11 epochs of 314 steps' in text
  assert 'aime24 30, aime25 30, amc 40, math500 500' in text
  place = f'{gpus} * H100 of 80 GB, which this machine does not have'
  assert f'Cost on {place}' in text
  assert f"update_kw.remat='{remat}'" in text
  assert ' GPU hours ' in text.replace('GPU hours  ', 'GPU hours ')
  assert 'sizes of the problem sets as published' in text


def test_a_model_of_which_nothing_is_known_has_no_cost_but_a_reason():
  c = cosine640.get_config()
  c.model_path = 'somebody/else'
  with pytest.raises(workload.UnknownError, match='hf download somebody/else'):
    workload.of(c)
  text = dry_run.text(plan.make(c), 'no memory and no cost: why')
  assert 'Cost' not in text
  assert 'no memory and no cost: why' in text


@pytest.mark.parametrize(
  ('config', 'model', 'verdict'),
  [(cosine640, '1.5b', 'products'), (cosine640_7b, '7b', 'gate')],
)
def test_the_papers_runs_fit_their_gpus_and_say_how(config, model, verdict):
  c = config.get_config()
  c.model_path = 'somewhere'
  made = plan.make(c)
  found = memory.of_plan(made, full_size.SHAPES[model])
  lines = dry_run.needed(made, found, 80.0).splitlines()
  assert '1 * 17,408 tokens at a time' in lines[1]
  shown = {line.split('  ')[1]: float(line.split()[-1]) for line in lines[2:8]}
  assert list(shown) == [
    *('parameters', 'optimiser', 'gradients', 'gathered weights'),
    *('rows', 'head'),
  ]
  # A quarter of 1.78 billion, an eighth of 7.62 billion; two moments for each.
  assert shown['parameters'] == {'1.5b': 1.78, '7b': 3.81}[model]
  assert shown['optimiser'] == pytest.approx(2 * shown['parameters'], abs=0.02)
  starred = [line for line in lines if line.startswith(f'{verdict} *')]
  assert [line.split()[-1] for line in starred] == ['yes']
  assert lines[-1] == f'With update_kw.remat={verdict!r} it fits.'


def test_a_policy_that_does_not_fit_is_reported():
  made = planned(**{'update_kw.device_gb': 1e-4, 'update_kw.remat': 'nothing'})
  found = memory.of_plan(made, builders.tiny_shape())
  text = dry_run.needed(made, found, 1e-4)
  assert text.endswith("With update_kw.remat='nothing' it does NOT fit.")
  assert {line.split()[-1] for line in text.splitlines()[10:-1]} == {'no'}


def test_a_closed_loop_is_shown_as_simulated():
  c = tiny.get_config()
  asked = plugin_defaults.settled(c, {'schedule': 'accuracy_turns'})
  c.schedule, c.schedule_kw = (
    asked['schedule'],
    ConfigDict(asked['schedule_kw']),
  )
  made = plan.make(c)
  facts = dry_run.facts(made)
  assert facts['samples a step'].endswith(', at most 128 tokens')
  assert facts['cap'].startswith('4 to 8, ')
  for name in ('cap', 'turns'):
    assert facts[name].endswith('(simulated)')
  for name in ('evaluations', 'checkpoints'):
    assert facts[name].endswith(', and every turn')
