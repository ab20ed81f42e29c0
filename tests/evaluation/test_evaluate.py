"""Evaluation: known results of known answers, and resuming."""

import itertools
import json
import os
import shutil
import signal

import launch
import numpy as np
import pytest
import tiny_tokenizer

from siri_jax.analysis import runs
from siri_jax.commands import evaluate as evaluate_command
from siri_jax.runtime import exit_status, run_folder
from tests.helpers import scripted


@pytest.fixture(autouse=True)
def forget():
  scripted.asked.clear()


def run(folder, cache, *more, config='tests/helpers/scripted.py'):
  """The exit status of a command that evaluates a run's start."""
  return evaluate_command.main(
    [
      f'--config={config}',
      f'--workdir={folder}',
      f'--config.cache_dir={cache}',
      '--weights=start',
      *more,
    ]
  )


def results(folder, name, weights='start'):
  path = folder / 'evaluations' / weights / name / 'results.json'
  return json.loads(path.read_text())


# Known answers.


def script(name, cap=scripted.CAP):
  """For each problem of a set, its samples' (answer, tokens, whether cut)."""
  for number in range(scripted.SIZES[name]):
    samples = []
    for index in range(4):
      words = scripted.response(number, index)
      kept = words[:cap]
      said = [w for w in kept if w.isdigit()]
      answer = ''.join(said) if '</think>' in kept else ''
      samples.append((answer, len(kept), len(words) > cap))
    yield str(number), samples


def mean_over_problems(values):
  values = np.array(values, float)
  return [values.mean(), values.std(ddof=1) / len(values) ** 0.5]


def told(record, name):
  return [record[name], record[f'{name}_se']]


@pytest.fixture(scope='module')
def measured(tmp_path_factory, cache):
  folder = tmp_path_factory.mktemp('measured') / 'run'
  assert run(folder, cache) == exit_status.DONE
  return folder


@pytest.mark.parametrize('name', scripted.SIZES)
def test_known_answers_give_the_known_accuracy_length_and_share_cut(
  measured, name
):
  problems, found = list(script(name)), results(measured, name)
  accuracy = [np.mean([a == gold for a, _, _ in s]) for gold, s in problems]
  length = [np.mean([n for _, n, _ in s]) for _, s in problems]
  cut = [np.mean([c for _, _, c in s]) for _, s in problems]
  assert told(found, 'accuracy') == pytest.approx(mean_over_problems(accuracy))
  assert told(found, 'length') == pytest.approx(mean_over_problems(length))
  assert told(found, 'truncated_frac') == pytest.approx(mean_over_problems(cut))
  assert 0 < found['accuracy'] < 1
  assert 0 < found['truncated_frac'] < 1
  assert (found['problems'], found['samples']) == (scripted.SIZES[name], 4)


def most_frequent(answers, gold):
  votes = {a: answers.count(a) for a in answers if a}
  best = [a for a in votes if votes[a] == max(votes.values())]
  return (gold in best) / max(len(best), 1)


@pytest.mark.parametrize('k', [2, 4])
def test_known_answers_give_the_known_pass_and_majority_of_k(measured, k):
  passes, majorities = [], []
  for gold, samples in script('hard'):
    draws = list(itertools.combinations([a for a, _, _ in samples], k))
    passes.append(np.mean([gold in draw for draw in draws]))
    majorities.append(np.mean([most_frequent(draw, gold) for draw in draws]))
  found = results(measured, 'hard')
  assert told(found, f'pass@{k}') == pytest.approx(mean_over_problems(passes))
  assert told(found, f'maj@{k}') == pytest.approx(
    mean_over_problems(majorities)
  )


@pytest.mark.parametrize('name', scripted.SIZES)
def test_prefixes_give_the_accuracy_under_each_lower_cap(measured, name):
  found = results(measured, name)
  assert found['caps'] == list(range(1, scripted.CAP + 1))
  right_under = [
    np.mean([a == g for g, s in script(name, cap) for a, _, _ in s])
    for cap in found['caps']
  ]
  assert found['accuracy_at'] == pytest.approx(right_under)
  assert found['accuracy_at'][-1] == pytest.approx(found['accuracy'])
  whole = np.trapezoid([0, *right_under], [0, *found['caps']])
  assert found['area'] == pytest.approx(whole / scripted.CAP)
  enough = [
    c
    for c, a in zip(found['caps'], right_under, strict=True)
    if a >= 0.95 * right_under[-1]
  ]
  assert found['cap_for_95'] == enough[0]


def test_every_sample_is_kept_with_its_tokens(measured):
  files = sorted((measured / 'evaluations/start/hard/samples').iterdir())
  assert len(files) == 5
  rows = runs.read_rows(files[2])
  assert [row['index'] for row in rows] == [0, 1, 2, 3]
  assert [row['correct'] for row in rows] == [True, True, False, False]
  assert rows[0]['response'] == 'hm hm hm hm </think> 2'
  assert rows[0]['response_ids'] == [2, 2, 2, 2, 1, 5, 0]


def test_the_tables_are_written_in_three_formats_with_the_figure(measured):
  there = {p.name for p in (measured / 'evaluations').iterdir() if p.is_file()}
  assert there == {'table.txt', 'table.md', 'table.tex', 'caps.png'}
  assert '\\toprule' in (measured / 'evaluations/table.tex').read_text()


# Broken off.


class KilledError(BaseException):
  """Simulates a kill: no code of the program catches it."""


def contents(folder):
  """The results of an evaluation as bytes."""
  kept = ('results.json', 'samples')
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file() and kept[path.suffix == '.gz'] in path.parts
  }


@pytest.mark.parametrize('call', [1, 4, 8])
def test_a_killed_evaluation_continues_with_the_same_result(
  measured, tmp_path, cache, monkeypatch, call
):
  write, calls = run_folder.RunFolder.write_rows, []

  def dying(self, name, rows):
    calls.append(name)
    if len(calls) == call:
      raise KilledError
    write(self, name, rows)

  with monkeypatch.context() as patch:
    patch.setattr(run_folder.RunFolder, 'write_rows', dying)
    with pytest.raises(KilledError):
      run(tmp_path / 'run', cache)
  scripted.asked.clear()
  assert run(tmp_path / 'run', cache) == exit_status.DONE
  assert len(scripted.asked) == 8 - (call - 1)
  assert contents(tmp_path / 'run') == contents(measured)


def test_finished_problems_are_not_sampled_again(measured, cache, capsys):
  before = contents(measured)
  assert run(measured, cache) == exit_status.DONE
  assert scripted.asked == []
  assert contents(measured) == before
  assert 'dAcc/CR' in capsys.readouterr().out


def test_a_signal_ends_it_after_a_problem_and_the_command_continues(
  measured, tmp_path, cache, monkeypatch
):
  write = run_folder.RunFolder.write_rows

  def interrupted(self, name, rows):
    write(self, name, rows)
    os.kill(os.getpid(), signal.SIGINT)

  with monkeypatch.context() as patch:
    patch.setattr(run_folder.RunFolder, 'write_rows', interrupted)
    assert run(tmp_path / 'run', cache) == 128 + signal.SIGINT
  assert len(contents(tmp_path / 'run')) == 1
  assert run(tmp_path / 'run', cache) == exit_status.DONE
  assert contents(tmp_path / 'run') == contents(measured)


# What is asked for.


def test_sets_may_be_chosen_and_added_later(tmp_path, cache):
  assert run(tmp_path / 'run', cache, '--sets=hard') == exit_status.DONE
  assert {name.partition('-')[0] for name in scripted.asked} == {'hard'}
  scripted.asked.clear()
  assert run(tmp_path / 'run', cache, '--sets=easy,hard') == exit_status.DONE
  assert {name.partition('-')[0] for name in scripted.asked} == {'easy'}


def test_a_folder_is_refused_if_settings_that_affect_results_differ(
  measured, cache, capsys
):
  assert run(measured, cache, '--samples=2') == exit_status.REFUSED
  assert 'samples: 4 -> 2' in capsys.readouterr().err
  assert (
    run(measured, cache, '--config.grader_kw.workers=2') == exit_status.DONE
  )


def test_all_faults_of_a_command_come_at_once(tmp_path, cache, capsys):
  words = ['--weights=start,27,nowhere', '--against=no/folder']
  words += ['--config.eval_kw.cap=0', '--frobnicate=1']
  assert run(tmp_path / 'run', cache, *words[:2]) == exit_status.REFUSED
  error = capsys.readouterr().err
  assert '--weights=27: no such checkpoint in' in error
  assert 'unknown --weights=nowhere; write newest, start' in error
  assert '--against=no/folder: no evaluation' in error
  assert run(tmp_path / 'run', cache, *words[2:]) == exit_status.REFUSED
  error = capsys.readouterr().err
  assert 'eval_kw.cap=0 is not a whole number' in error
  assert 'frobnicate' in error
  assert run(tmp_path / 'run', cache, '--sets=easy,amc') == exit_status.REFUSED
  assert '--sets=amc: the config has files for easy, hard' in (
    capsys.readouterr().err
  )
  assert not (tmp_path / 'run').exists()


def test_weights_that_are_named_twice_are_measured_once(tmp_path, cache):
  words = ['--weights=start,start', '--sets=easy']
  assert run(tmp_path / 'run', cache, *words) == exit_status.DONE
  there = tmp_path / 'run' / 'evaluations'
  assert [p.name for p in there.iterdir() if p.is_dir()] == ['start']


@pytest.mark.parametrize('word', ['http://me:hush@n:1', 'me:hush@n:1'])
def test_a_password_in_an_address_is_refused_and_not_shown(
  tmp_path, cache, capsys, word
):
  for told in (f'--weights={word}', f'--config.server_kw.urls={word}'):
    assert run(tmp_path / 'run', cache, told) == exit_status.REFUSED
    out, error = capsys.readouterr()
    assert '***@n:1' in error
    assert 'hush' not in out + error
  assert not (tmp_path / 'run').exists()


# Real weights.


@pytest.mark.slow
def test_the_command_equals_the_evaluation_in_training(whole, tmp_path, cache):
  folder = tmp_path / 'run'
  shutil.copytree(whole, folder)
  words = launch.arguments(folder, cache, '--weights=0,4,newest', '--samples=1')
  assert evaluate_command.main(words) == exit_status.REFUSED  # None at 0.
  words[-2] = '--weights=4,newest'
  assert evaluate_command.main(words) == exit_status.DONE
  for done in (4, launch.STEPS):
    found = results(folder, 'held_out', f'{done:06d}')
    (record,) = [r for r in launch.records(whole, 'eval') if r['step'] == done]
    shared = set(record) & set(found) - {'set'}
    assert {'accuracy', 'accuracy_se', 'length', 'truncated_frac'} < shared
    assert {k: found[k] for k in shared} == {k: record[k] for k in shared}


def test_evaluation_does_not_change_the_run(whole, tmp_path, cache):
  folder = tmp_path / 'run'
  shutil.copytree(whole, folder)
  torn = folder / 'checkpoints' / '000099.orbax-checkpoint-tmp'
  torn.mkdir()  # As left by a process that is saving.

  def files():
    return {
      path.relative_to(folder): path.read_bytes()
      for path in folder.rglob('*')
      if path.is_file() and 'evaluations' not in path.parts
    }

  before = files()
  words = launch.arguments(folder, cache, '--samples=1')
  assert evaluate_command.main(words) == exit_status.DONE
  assert torn.exists()
  assert files() == before


def test_a_damaged_checkpoint_is_named(whole, tmp_path, cache, capsys):
  folder = tmp_path / 'run'
  shutil.copytree(whole, folder)
  (path,) = (folder / 'checkpoints/000004').rglob('_METADATA')
  path.write_bytes(b'')
  words = launch.arguments(folder, cache, '--weights=4', '--samples=1')
  assert evaluate_command.main(words) == exit_status.REFUSED
  assert 'checkpoints/000004 is damaged: ' in capsys.readouterr().err


CONFIG = """
from tests.helpers import tiny
def get_config():
  c = tiny.get_config()
  c.task = 'jsonl'
  c.task_kw = dict(
    train='', evals=dict(one={one!r}, two=''), tokenizer='',
    instruction='{{problem}}', template_kw={{}},
  )
  c.grading_rule = 'deepscaler'
  c.grading_rule_kw = dict(kind='continuation', verify_kw={{}})
  c.max_prompt_tokens, c.update_kw.row_tokens = 64, 0
  c.eval_kw.table_samples = 2
  return c
"""


@pytest.mark.slow
def test_a_model_folder_is_measured_with_its_own_tokenizer(tmp_path, cache):
  transformers = pytest.importorskip('transformers')
  pytest.importorskip('torch')
  model = tiny_tokenizer.write(tmp_path / 'model')
  sizes = dict(vocab_size=280, hidden_size=16, num_hidden_layers=1)
  sizes |= dict(num_attention_heads=2, num_key_value_heads=1)
  config = transformers.Qwen2Config(**sizes, intermediate_size=32)
  transformers.Qwen2ForCausalLM(config).save_pretrained(model)
  row = {'id': 'a', 'problem': '1+1', 'answer': '2', 'source': ''}
  (tmp_path / 'one.jsonl').write_text(json.dumps(row))
  file = tmp_path / 'config.py'
  file.write_text(CONFIG.format(one=str(tmp_path / 'one.jsonl')))
  words = dict(config=file, folder=tmp_path / 'run', cache=cache)
  assert (
    run(**words) == exit_status.REFUSED
  )  # A fresh policy, but no tokenizer.
  words = [f'--config={file}', f'--weights={model}']
  words += [f'--workdir={tmp_path / "run"}', f'--config.cache_dir={cache}']
  assert evaluate_command.main(words) == exit_status.DONE
  assert results(tmp_path / 'run', 'one', 'model')['samples'] == 2
