"""The report of --dry_run."""

import builders
import pytest
from ml_collections import ConfigDict

from configs import cosine640, cosine640_7b
from siri_jax import types
from siri_jax.config import dry_run, plan, plugin_defaults
from tests.helpers import tiny
from tools.benchmarks import full_size


def task_of(problems, **evals):
  """A task with these numbers of training and held-out problems."""

  def some(count):
    return [types.Problem(f'p{i}', 'text', '1', 'made') for i in range(count)]

  return types.Task(
    train=some(problems),
    evals={name: some(count) for name, count in evals.items()},
    encode=lambda problem: [1],
    decode=lambda ids: '',
    eos_ids=(0,),
    vocab=8,
    fingerprints={},
  )


def planned(**changes):
  c = tiny.get_config()
  c.update(changes)
  return plan.make(c)


def test_every_setting_is_shown_with_its_value():
  text = dry_run.text(planned(), task_of(64), 0, builders.tiny_shape())
  lines = text.partition('\n\n')[0].splitlines()
  shown = dict(
    line.split(maxsplit=1) for line in lines if len(line.split()) > 1
  )
  assert shown['schedule'] == "'cosine'"
  assert shown['schedule_kw.period'] == '4'
  assert shown['model_kw.tied'] == 'False'
  assert set(tiny.get_config()) <= {name.split('.')[0] for name in shown} | {
    'collect_kw',  # Without settings,
    'reward_kw',
    'text_rewards_kw',
    'aggregation_kw',
    'sft_kw',
  }


def test_the_plan_is_derived():
  made = planned(total_steps=7, eval_kw={'every': 3}, minibatches=2)
  facts = dry_run.derived(made, task_of(64, easy=10, hard=1000), 3)
  assert facts == {
    'training problems': '64 (3 too long)',
    'held-out problems': 'easy 10, hard 1,000',
    'steps an epoch': '16 (0.44 epochs)',
    'samples a step': '16 (4 prompts * 4)',
    'samples an optimiser step': '8',
    'optimiser steps': '14',
    # Caps of 8 6 4 6 8 6 4: 42 in all, 16 samples each.
    'response tokens, at most': '128 a step, 672 in all',
    'cap': '4 to 8, mean 6.0 tokens',
    'row': '32 tokens',
    'turns': '2 compressed, 4 expanded, 6 compressed',
    'evaluations': '0, 2, 3, 4, 6, 7',
    'checkpoints': '1, 2, 3, 4, 5, 6, 7',
  }


def test_a_long_list_is_cut():
  facts = dry_run.derived(planned(total_steps=40), task_of(64), 0)
  assert facts['checkpoints'] == '1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ' + (
    '... 28 more'
  )


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


def test_the_papers_run_shows_its_extrema():
  c = cosine640.get_config()
  c.model_path = 'somewhere'
  shape = full_size.SHAPES['1.5b']
  text = dry_run.text(plan.make(c), task_of(40_000), 9, shape)
  assert 'A cycle, 640 steps' in text
  assert '320 compressed, 640 expanded, 960 compressed' in text
  assert '16,384 │•' in text
  assert '312 (6.15 epochs)' in text


@pytest.mark.parametrize(
  ('config', 'model', 'verdict'),
  [(cosine640, '1.5b', 'products'), (cosine640_7b, '7b', 'qkv')],
)
def test_the_papers_runs_fit_their_gpus_and_say_how(config, model, verdict):
  c = config.get_config()
  c.model_path = 'somewhere'
  lines = dry_run.needed(plan.make(c), full_size.SHAPES[model]).splitlines()
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
  assert lines[-1] == f'With remat={verdict!r} it fits.'


def test_a_policy_that_does_not_fit_is_reported():
  made = planned(device_gb=1e-4, remat='nothing')
  text = dry_run.needed(made, builders.tiny_shape())
  assert text.endswith("With remat='nothing' it does NOT fit.")
  assert {line.split()[-1] for line in text.splitlines()[10:-1]} == {'no'}


def test_a_closed_loop_is_shown_as_simulated():
  c = tiny.get_config()
  asked = plugin_defaults.settled(c, {'schedule': 'accuracy_turns'})
  c.schedule, c.schedule_kw = (
    asked['schedule'],
    ConfigDict(asked['schedule_kw']),
  )
  made = plan.make(c)
  facts = dry_run.of_plan(made)
  assert facts['response tokens, at most'] == '128 a step, 768 in all'
  assert facts['cap'].startswith('4 to 8, ')
  for name in ('cap', 'turns'):
    assert facts[name].endswith('(simulated)')
  for name in ('evaluations', 'checkpoints'):
    assert facts[name].endswith(', and every turn')
