"""The program: command line, exit status and run folder."""

import gzip
import json
import re
import shlex

import launch
import numpy as np
import pytest

from siri_jax import main
from siri_jax.algorithm import metrics
from siri_jax.config import command_line
from siri_jax.runtime import exit_status
from tools import soak


def broken(rewards):
  """An advantage that is always NaN."""
  return rewards * np.nan


# The folder of a run.


def test_a_run_writes_the_documented_files(whole):
  assert {p.name for p in whole.iterdir()} == {
    '.lock',
    'RUN.json',
    'config.json',
    'metrics.jsonl',
    'eval.jsonl',
    'rollouts',
    'checkpoints',
    'eval',
    'tensorboard',
    'picture.png',
  }
  info = json.loads((whole / 'RUN.json').read_text())
  assert info['overrides']['total_steps'] == launch.STEPS
  assert info['seed'] == 0
  assert len(info['attempts']) == 1
  config = json.loads((whole / 'config.json').read_text())
  assert config['schedule_kw'] == {'high': 8, 'low': 4, 'period': 8, 'phase': 0}


def test_a_record_of_a_step_has_its_keys_in_one_order(whole):
  found = launch.records(whole, 'metrics')
  assert [r['step'] for r in found] == list(range(launch.STEPS))
  for record in found:
    assert tuple(record)[: len(metrics.ORDER)] == metrics.ORDER
    assert {'skipped', 'tokens_so_far'} < set(record)
    parts = [
      record[f'{p}_secs'] for p in ('rollout', 'grade', 'update', 'push')
    ]
    assert sum(parts) <= record['step_secs']
  assert found[-1]['tokens_so_far'] == sum(r['tokens'] for r in found)


def test_the_cap_is_not_part_of_a_compiled_shape(whole):
  found = launch.records(whole, 'metrics')
  assert {r['cap'] for r in found} == {4, 6, 7, 8}
  assert len({r['compile_count'] for r in found}) == 1


def test_a_run_is_evaluated_at_start_and_extrema(whole):
  found = launch.records(whole, 'eval')
  assert [(r['step'], r['kind']) for r in found] == [
    (0, 'start'),
    (4, 'compressed'),
    (8, 'expanded'),
    (12, 'compressed'),
  ]
  tokens = [r['tokens'] for r in launch.records(whole, 'metrics')]
  assert [r['tokens'] for r in found] == [
    sum(tokens[: r['step']]) for r in found
  ]


def rows_of(path):
  return [json.loads(line) for line in gzip.open(path, 'rt')]


def test_rollouts_are_kept_with_their_texts(whole):
  folder = whole / 'rollouts'
  kept = sorted(int(path.name[:6]) for path in folder.iterdir())
  # Every other step, and those that end at an extremum.
  assert kept == [0, 2, 3, 4, 6, 7, 8, 10, 11]
  rows = rows_of(folder / '000002.jsonl.gz')
  assert len(rows) == 16
  (record,) = [
    r for r in soak.untimed(whole / 'metrics.jsonl') if r['step'] == 2
  ]
  assert sum(row['length'] for row in rows) == record['tokens']
  assert np.mean([row['reward'] for row in rows]) == pytest.approx(
    record['reward_mean'], rel=1e-5
  )
  assert len(rows_of(whole / 'eval' / '000004' / 'held_out.jsonl.gz')) == 8


def test_the_newest_checkpoints_are_kept_and_those_at_extrema(whole):
  kept = {p.name for p in (whole / 'checkpoints').glob('[0-9]' * 6)}
  assert kept == {f'{n:06d}' for n in (4, 8, 11, 12)}


def test_a_complete_run_is_not_changed(whole, cache, capsys):
  before = soak.outcome(whole)
  assert launch.here(whole, cache) == exit_status.DONE
  said = capsys.readouterr().out
  assert f'folder: {whole}, {launch.STEPS} steps, ' in said
  assert 'is complete' in said
  assert soak.outcome(whole) == before


def test_a_run_begins_with_its_model_device_folder_and_commands(
  whole, cache, capsys
):
  assert launch.here(whole, cache) == exit_status.DONE
  said = capsys.readouterr().out.splitlines()
  assert said[0].startswith('task: running sums of digits. ')
  model, devices, folder, watch, stop, again, resumed, *_ = said[3:]
  assert re.fullmatch(
    r'model: [\d.]+k parameters \(\w+\), \d layers of width \d+', model
  )
  assert devices == 'devices: 8 * cpu'
  python = command_line.typed('siri_jax', [])
  assert folder.endswith('evaluations of held_out; to watch it:')
  assert watch == f'  {python}.commands.report {whole} --follow'
  assert stop == 'to stop: Ctrl-C, which saves; to resume:'
  command = shlex.join(launch.arguments(whole, cache))
  assert again == f'  {python}.main {command}'
  assert resumed == f'resuming from step {launch.STEPS} of {whole}'


# Refusals: exit status 2.


def test_a_bad_command_is_refused_before_anything_is_written(
  tmp_path, cache, capsys
):
  bad = (
    '--config.seed=-1',
    '--config.group_size=two',
    '--bogus',
    '--config.lr=1',
  )
  assert launch.here(tmp_path / 'run', cache, *bad) == exit_status.REFUSED
  said = capsys.readouterr().err
  for part in ('seed=-1', 'group_size=two', 'bogus', 'lr is not a setting'):
    assert part in said
  assert not (tmp_path / 'run').exists()


def test_without_a_config_it_prints_an_example(capsys):
  assert main.main([]) == exit_status.REFUSED
  assert '--config=configs/quickstart.py' in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_makes_no_folder(tmp_path, cache, capsys):
  assert launch.here(tmp_path / 'run', cache, '--dry_run') == exit_status.DONE
  said = capsys.readouterr().out
  assert 'schedule_kw.period' in said
  assert '4 compressed, 8 expanded' in said
  assert '8 │•' in said
  assert not (tmp_path / 'run').exists()


def test_a_dry_run_takes_natural_lengths_from_a_run(whole, cache, capsys):
  run = f'--natural_lengths={whole}'
  assert launch.here('none', cache, run, '--dry_run') == exit_status.DONE
  said = ' '.join(capsys.readouterr().out.split())
  assert f'samples in {whole}' in said
  assert (
    launch.here('none', cache, f'{run}/eval', '--dry_run')
    == exit_status.REFUSED
  )
  assert "eval is not a run's folder" in capsys.readouterr().err
  assert launch.here('none', cache, run) == exit_status.REFUSED
  assert '--natural_lengths needs --dry_run' in capsys.readouterr().err


def test_a_dry_run_in_a_folder_of_other_settings_is_refused_as_a_run_would_be(
  whole, cache, capsys
):
  words = '--config.temperature=0.5', '--dry_run'
  assert launch.here(whole, cache, *words) == exit_status.REFUSED
  out, err = capsys.readouterr()
  assert 'Cost on' in out
  assert 'temperature: 1.0 -> 0.5' in err
  free = '--allow_change=temperature'
  assert launch.here(whole, cache, *words, free) == exit_status.DONE


@pytest.mark.parametrize('dry', [(), ('--dry_run',)])
def test_missing_files_are_all_named(tmp_path, cache, capsys, dry):
  files = (
    '--config.task=jsonl',
    f"--config.task_kw={{'train': '{tmp_path}/none.jsonl', 'evals': {{}}, "
    f"'tokenizer': '{tmp_path}/none', 'instruction': '{{problem}}', "
    "'template_kw': {}}",
  )
  assert (
    launch.here(tmp_path / 'run', cache, *files, *dry) == exit_status.REFUSED
  )
  said = capsys.readouterr().err
  assert 'none.jsonl' in said
  assert 'task_kw.tokenizer' in said
  assert not (tmp_path / 'run').exists()


def test_more_prompts_than_problems_are_refused(tmp_path, cache, capsys):
  more = ('--config.task_kw.problems=3', '--dry_run')
  assert launch.here(tmp_path / 'run', cache, *more) == exit_status.REFUSED
  assert 'prompts_per_step=4' in capsys.readouterr().err


@pytest.mark.slow
def test_a_mesh_without_devices_leaves_no_settings_in_the_folder(
  tmp_path, cache, capsys
):
  wide = ('--config.mesh_kw.data=16', '--config.update_kw.micro_batch_rows=16')
  assert launch.here(tmp_path / 'run', cache, *wide) == exit_status.REFUSED
  assert '16 devices' in capsys.readouterr().err
  # The same folder with other settings.
  mended = ('--config.total_steps=1', '--config.seed=5')
  assert launch.here(tmp_path / 'run', cache, *mended) == exit_status.DONE


def test_other_settings_are_refused_until_they_are_allowed(
  whole, cache, capsys
):
  other = '--config.temperature=0.5'
  assert launch.here(whole, cache, other) == exit_status.REFUSED
  assert 'temperature: 1.0 -> 0.5' in capsys.readouterr().err
  free = '--config.checkpoint_kw.keep=9'
  assert launch.here(whole, cache, free) == exit_status.DONE


def test_other_problems_under_the_same_settings_are_refused(
  whole, cache, capsys, monkeypatch
):
  monkeypatch.setattr('siri_jax.data.arithmetic.CARRY', np.zeros((10, 8), int))
  assert launch.here(whole, cache) == exit_status.REFUSED
  said = capsys.readouterr().err
  assert 'other contents of data' in said
  assert '--allow_change=data' in said


@pytest.mark.slow
def test_a_run_that_diverges_ends_with_status_3(tmp_path, cache, capsys):
  more = ('--config.advantage=tests.system.test_main:broken',)
  more += ('--config.advantage_kw={}', '--config.limits_kw.max_skipped=3')
  assert launch.here(tmp_path / 'run', cache, *more) == exit_status.DIVERGED
  said = capsys.readouterr().out
  assert 'limits_kw.max_skipped=3' in said
  assert launch.lines(tmp_path / 'run', 'metrics') == 2  # Of two updates each.
