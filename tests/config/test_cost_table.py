"""The cost table of --dry_run, and the source of its lengths."""

import gzip
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from siri_jax import plugins
from siri_jax.algorithm import schedule_presets
from siri_jax.analysis import runs
from siri_jax.config import cost_model, cost_table, plan
from siri_jax.data import workload
from siri_jax.runtime import files, terminal
from tests.helpers import tiny

SETTING = dict(samples=16, prompt=5.0, forward=(100.0, 1.0), passes=3, epochs=1)


def planned(**changes):
  c = tiny.get_config()
  for name, value in changes.items():
    c[name] = ConfigDict(value) if isinstance(value, dict) else value
  return plan.make(c)


def rows_of(text):
  """The cells of each table in a text: a list of {name: cells}."""
  found = [{}]
  for line in text.splitlines():
    name, *cells = line.replace(' *', '*').split()[:8] or ['']
    if len(cells) == 7 and cells[-1].replace('.', '').isdigit():
      found[-1][name] = cells
    elif found[-1]:
      found.append({})
  return [tables for tables in found if tables]


def text_of(made, run=''):
  sampled = runs.sampled_lengths(run) if run else None
  return cost_table.text(made, workload.of(made.c), sampled)


def test_every_schedule_of_the_family_is_in_the_table():
  tables = rows_of(text_of(planned()))
  assert len(tables) == 2  # A cycle, and the run.
  for table in tables:
    assert [name.rstrip('*') for name in table] == plugins.names('schedule')
    assert [name for name in table if '*' in name] == ['cosine*']


def test_a_schedule_needs_only_its_function_and_its_line(monkeypatch):
  before = schedule_presets.presets

  def more(low, high, period):
    return {**before(low, high, period), 'builtins:lowest': dict(cap=low)}

  monkeypatch.setattr(schedule_presets, 'presets', more)
  monkeypatch.setattr(
    'builtins.lowest', lambda step, *, cap: cap, raising=False
  )
  for table in rows_of(text_of(planned())):
    assert table['builtins:lowest'][0] == '4'


def test_costs_are_relative_to_a_constant_highest_cap():
  for table in rows_of(text_of(planned())):
    assert table['constant'][2::2] == ['100.0'] * 3
    shares = np.float64([cells[2::2] for cells in table.values()])
    assert shares.max() == 100
    assert shares.min() > 50


def test_a_table_is_no_wider_than_a_terminal():
  assert max(map(len, text_of(planned()).splitlines())) <= 80


def test_settings_without_a_preset_have_a_row():
  kw = dict(low=4, high=8, period=4, phase=1)
  first, _ = rows_of(text_of(planned(schedule_kw=kw)))
  assert next(iter(first)) == 'cosine*'
  assert 'cosine' in first


def test_a_constant_cap_has_no_other_schedules():
  made = planned(schedule='constant', schedule_kw={'cap': 8})
  for table in rows_of(text_of(made)):
    assert list(table) == ['constant*']


def test_with_cap_at_reward_no_schedule_saves_anything():
  text = text_of(planned(cap_at='reward'))
  assert 'samples all responses to the highest cap' in text
  for table in rows_of(text):
    assert {tuple(cells[2::2]) for cells in table.values()} == {('100.0',) * 3}


def test_a_run_shorter_than_a_cycle_has_the_whole_cycles_caps():
  kw = dict(low=4, high=8, period=32, phase=0)
  text = text_of(planned(schedule_kw=kw, total_steps=3))
  assert 'A cap of 4 tokens' in text
  assert 'A cycle, 32 steps' in text
  assert 'The run, 3 steps' in text


def test_the_cells_are_the_costs_by_hand():
  lengths = cost_model.kaplan_meier([2, 4, 9], [False, False, False])
  caps = {'mine': np.int32([4, 4])}
  (table,) = rows_of(cost_table.table(caps, lengths, 9, **SETTING))
  tokens, most = 2 * 16 * 10 / 3, 2 * 16 * 15 / 3
  assert table['mine'][:3] == [
    '4',
    f'{tokens:.3g}',
    f'{100 * tokens / most:.1f}',
  ]


def test_numbers_have_three_digits():
  told = [terminal.short(x) for x in (0, 7, 999.4, 999.6, 1_756_000, 8.95e19)]
  assert told == ['0', '7', '999', '1k', '1.76M', '89.5E']


def test_the_assumed_lengths_have_the_means_that_the_papers_table_states():
  # Original on AMC, at 16,384: tokens of the 1.5B and of the 7B.
  for name, stated in (('base', 8449), ('cosine640_7b', 6740)):
    module = __import__(f'configs.{name}', fromlist=['get_config'])
    lengths, words = cost_table.natural(module.get_config().uncapped_length_kw)
    assert cost_model.capped(lengths, 16_384) == pytest.approx(stated, rel=2e-3)
    assert 'uncapped_length_kw' in words


def folder_of(path, rows):
  """A run's folder with one file of samples: (length, finish reason) each."""
  folder = path / 'run'
  (folder / 'rollouts').mkdir(parents=True)
  config = tiny.get_config().to_dict()
  (folder / 'config.json').write_text(files.to_json(config))
  (folder / 'RUN.json').write_text('{}')
  with gzip.open(folder / 'rollouts/000000.jsonl.gz', 'wt') as file:
    for length, reason in rows:
      file.write(json.dumps({'length': length, 'finish_reason': reason}) + '\n')
  return folder


def test_a_runs_sample_lengths_say_which_were_cut(tmp_path):
  run = folder_of(tmp_path, [(3, 'stop'), (8, 'length'), (5, 'stop')])
  lengths, words = cost_table.natural(None, runs.sampled_lengths(run))
  np.testing.assert_array_equal(lengths.tokens, [3, 5, 8, np.inf])
  np.testing.assert_allclose(lengths.share, [1 / 3, 1 / 3, 0, 1 / 3])
  assert '3 samples' in words
  assert '33.3 % of them were cut' in words


def test_a_run_without_samples_is_refused_by_its_name(tmp_path):
  with pytest.raises(FileNotFoundError, match=f'{tmp_path} is not a run'):
    runs.sampled_lengths(tmp_path)
  with pytest.raises(ValueError, match='run/rollouts has no samples'):
    runs.sampled_lengths(folder_of(tmp_path, []))


@pytest.mark.parametrize(
  ('damage', 'says'),
  [
    (lambda data: gzip.compress(b'{"id": 3}\n'), 'has no valid samples'),
    (lambda data: data[:-9], 'cannot be read'),
  ],
)
def test_samples_that_cannot_be_read_are_named(tmp_path, damage, says):
  run = folder_of(tmp_path, [(3, 'stop')])
  path = run / 'rollouts/000000.jsonl.gz'
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(ValueError, match=f'{path} {says}'):
    runs.sampled_lengths(run)


def test_the_estimate_from_a_runs_samples_matches_the_run(whole):
  lengths = cost_model.kaplan_meier(*runs.sampled_lengths(whole)[:2])
  records = files.read_records(whole / 'metrics.jsonl')
  caps = [record['cap'] for record in records]
  taken = sum(record['tokens'] for record in records)
  found = cost_model.estimate_cost(lengths, caps, **SETTING)
  assert found.tokens == pytest.approx(taken, rel=0.1)
  # Its caps alone would give more tokens.
  assert 16 * sum(caps) > 1.1 * taken
  assert runs.read(whole).config['uncapped_length_kw']['median'] == 7434
