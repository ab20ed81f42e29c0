"""Reading of run folders: branches with their past, damaged files."""

import json
import shutil

import numpy as np
import pytest
from made_runs import POINTS, evaluation, make, sample

from siri_jax.analysis import dataframes, runs, seeds
from siri_jax.runtime import files


def branched(path, parent, step, **changes):
  """A branch of a run's checkpoint after `step` updates."""
  make(path, steps=0, evals=[], **changes)
  info = json.loads((path / 'RUN.json').read_text())
  info['branched_from'] = {'folder': str(parent), 'step': step}
  (path / 'RUN.json').write_text(json.dumps(info))
  with open(path / 'metrics.jsonl', 'w') as file:
    for done in range(step, step + 4):
      file.write(
        json.dumps({'step': done, 'cap': 50, 'phase': 'expand'}) + '\n'
      )
  point = evaluation(step + 4, 'end', 0.9, 33.0)
  (path / 'eval.jsonl').write_text(json.dumps(point) + '\n')
  return path


# Branches.


def test_a_branch_has_its_parents_steps_before_and_points_up_to_it(tmp_path):
  make(tmp_path / 'parent', steps=16)
  run = runs.read(branched(tmp_path / 'child', '../parent', 8))
  np.testing.assert_array_equal(run.column('step'), np.arange(12))
  assert list(run.column('cap')[6:10]) == [69, 85, 50, 50]
  assert [r['step'] for r in run.evals] == [0, 4, 8, 12]
  assert run.notes == ()


def test_a_branch_of_a_branch_has_both_pasts(tmp_path):
  make(tmp_path / 'old', steps=16)
  branched(tmp_path / 'middle', tmp_path / 'old', 8)
  run = runs.read(branched(tmp_path / 'new', '../middle', 10))
  np.testing.assert_array_equal(run.column('step'), np.arange(14))
  assert [(p.folder.name, p.step) for p in run.past] == [
    ('old', 8),
    ('middle', 10),
  ]


def test_a_branch_without_its_parent_is_read_alone_with_a_note(tmp_path):
  run = runs.read(branched(tmp_path / 'child', '../gone', 8))
  np.testing.assert_array_equal(run.column('step'), np.arange(8, 12))
  (note,) = run.notes
  assert 'child is drawn from step 8 on' in note
  assert 'gone' in note


def test_a_branch_of_itself_is_refused(tmp_path):
  branched(tmp_path / 'a', '../a', 8)
  with pytest.raises(ValueError, match=r'RUN\.json: .*circle'):
    runs.read(tmp_path / 'a')


def test_a_branchs_samples_are_its_parents_up_to_where_it_begins(tmp_path):
  made = [make(tmp_path / 'old'), branched(tmp_path / 'new', '../old', 8)]
  for path, steps in zip(made, [(0, 8, 12), (12, 16)], strict=True):
    for step in steps:
      rows = [sample(step=step, why=path.name)]
      (path / f'eval/{step:06d}').mkdir(parents=True)
      text = ''.join(files.to_json(row) + '\n' for row in rows)
      target = path / f'eval/{step:06d}/held_out.jsonl.gz'
      target.write_bytes(runs.gzip.compress(text.encode()))
  found = dataframes.samples([runs.read(made[1])])
  assert list(zip(found.step, found.why, strict=True)) == [
    (0, 'old'),
    (8, 'old'),
    (12, 'new'),
    (16, 'new'),
  ]


# Faults.


def test_all_folders_that_cannot_be_read_are_named_at_once(tmp_path):
  make(tmp_path / 'good')
  broken = make(tmp_path / 'broken')
  (broken / 'config.json').write_text('{')
  with pytest.raises(ValueError, match=r'none.*RUN\.json') as error:
    runs.read_all([tmp_path / name for name in ('good', 'none', 'broken')])
  assert 'broken/config.json' in str(error.value)
  assert 'good' not in str(error.value)


@pytest.mark.parametrize(
  ('file', 'line', 'what'),
  [
    ('metrics', {'step': 3, 'cap': 'high'}, r"metrics\.jsonl:4: cap is 'high'"),
    ('metrics', {'cap': 3}, r'metrics\.jsonl:4: step is None'),
    ('eval', {'step': 9, 'kind': 'end'}, r'eval\.jsonl:4: set is None'),
    ('eval', {**POINTS[0], 'set': 7}, r'eval\.jsonl:4: set is 7'),
    ('eval', {**POINTS[0], 'set': 'a\ud800'}, r'eval\.jsonl:4: set is'),
  ],
)
def test_a_record_that_cannot_be_drawn_is_named_by_its_line(
  tmp_path, file, line, what
):
  path = make(tmp_path, steps=3)
  with open(path / f'{file}.jsonl', 'a') as out:
    out.write(json.dumps(line) + '\n')
  with pytest.raises(ValueError, match=what):
    runs.read(path)


@pytest.mark.parametrize(
  ('row', 'what'),
  [
    (sample(length='9'), "2: length is '9'"),
    ([1], r'2 is not a JSON object: \[1\]'),
  ],
)
def test_an_invalid_sample_is_named_by_its_line(tmp_path, row, what):
  lines = [files.to_json(r) for r in (sample(), row)]
  path = tmp_path / 'held_out.jsonl.gz'
  path.write_bytes(runs.gzip.compress('\n'.join(lines).encode()))
  with pytest.raises(ValueError, match=rf'held_out\.jsonl\.gz:{what}'):
    runs.read_samples(path)


def test_a_config_that_is_not_a_runs_is_refused(tmp_path):
  (make(tmp_path) / 'config.json').write_text('{"seed": 0, "task": "x"}')
  with pytest.raises(ValueError, match=r'config\.json: lacks schedule;'):
    runs.read(tmp_path)


# Groups.


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path):
  made = [make(tmp_path / f's{seed}', seed=seed) for seed in range(3)]
  made.append(make(tmp_path / 'other', schedule='constant'))
  found = seeds.of(runs.read_all(made))
  assert [(g.label, len(g.runs)) for g in found] == [
    ('cosine', 3),
    ('constant', 1),
  ]


def test_a_copy_of_a_run_is_no_second_seed(tmp_path):
  made = [make(tmp_path / name, seed=n) for n, name in enumerate('ab')]
  made += [tmp_path / name for name in ('copy', 'old/a')]
  for copy in made[2:]:
    shutil.copytree(made[0], copy)
  found = seeds.of(runs.read_all(made))
  names = [[run.name for run in group.runs] for group in found]
  assert names == [['a', 'b'], ['copy'], ['a']]
  assert [group.label for group in found] == [
    f'cosine ({tmp_path.name}/a)',
    'cosine (copy)',
    'cosine (old/a)',
  ]
  assert seeds.spread(found, 'bars').startswith('Means over 2 seeds')
  alone = seeds.of(runs.read_all(made[::2]))
  assert 'seeds' not in seeds.spread(alone, 'bars')


def test_a_run_that_is_named_twice_is_read_once(tmp_path):
  made = make(tmp_path / 'a')
  (tmp_path / 'link').symlink_to(made)
  named = [made, f'{made}/', tmp_path / 'link', tmp_path / 'link/../a']
  (found,) = runs.read_all(named)
  assert found.name == 'a'


def test_settings_that_change_nothing_learned_make_no_other_group(tmp_path):
  made = [
    make(tmp_path / f's{seed}', seed=seed, server_kw={'port': seed})
    for seed in range(2)
  ]
  assert len(seeds.of(runs.read_all(made))) == 1


def test_labels_of_one_schedule_name_the_settings_that_differ(tmp_path):
  kw = {'low': 46, 'high': 92, 'phase': 0}
  made = [
    make(tmp_path / f'p{period}', schedule_kw={**kw, 'period': period})
    for period in (8, 16)
  ]
  labels = [group.label for group in seeds.of(runs.read_all(made))]
  assert labels == ['cosine, period 8', 'cosine, period 16']


def test_an_ablations_arms_have_their_own_names(tmp_path):
  arms = [{'name': f's{seed}', 'arm': 'short cycle'} for seed in range(2)]
  (tmp_path / 'ablation.json').write_text(json.dumps({'runs': arms}))
  made = [make(tmp_path / f's{seed}', seed=seed) for seed in range(2)]
  assert [g.label for g in seeds.of(runs.read_all(made))] == ['short cycle']


def test_a_branch_is_another_setting_than_the_run_from_the_start(tmp_path):
  made = [make(tmp_path / 'a')]
  made.append(branched(tmp_path / 'b', '../a', 8))
  labels = [group.label for group in seeds.of(runs.read_all(made))]
  assert labels == ['cosine', 'cosine from 8']


def test_a_band_is_the_mean_and_range_of_the_seeds_with_that_step(tmp_path):
  made = [make(tmp_path / 'a', steps=3), make(tmp_path / 'b', steps=2, seed=1)]
  path = made[1] / 'metrics.jsonl'
  path.write_text(path.read_text().replace('"entropy": 0.4', '"entropy": 0.6'))
  (group,) = seeds.of(runs.read_all(made))
  steps, mean, low, high = group.band('entropy')
  np.testing.assert_array_equal(steps, [0, 1, 2])
  np.testing.assert_allclose(mean, [0.5, 0.5, 0.4])
  np.testing.assert_allclose(low, [0.4, 0.4, 0.4])
  np.testing.assert_allclose(high, [0.6, 0.6, 0.4])
  _, mean, _, _ = group.band('length_wrong')  # No run has it at step 1.
  np.testing.assert_array_equal(mean, [38, np.nan, 38])


def test_a_point_is_over_the_seeds_that_have_it(tmp_path):
  higher = [{**POINTS[0], 'accuracy': 0.7}]
  made = [make(tmp_path / 'a'), make(tmp_path / 'b', seed=1, evals=higher)]
  (group,) = seeds.of(runs.read_all(made))
  start, compressed, _ = group.points('held_out')
  assert start.accuracy == pytest.approx((60, 50, 70))
  assert compressed.accuracy == pytest.approx((60, 59, 61))  # One's error.
  assert compressed.length == pytest.approx((30, 29.5, 30.5))


# Tables.


def test_tables_have_a_row_per_step_and_per_evaluation(tmp_path):
  made = [make(tmp_path / f's{seed}', steps=3, seed=seed) for seed in (0, 1)]
  read = runs.read_all(made)
  steps = dataframes.steps(read)
  assert list(steps.columns[:3]) == ['run', 'setting', 'seed']
  assert list(steps.seed) == [0, 0, 0, 1, 1, 1]
  assert list(steps.step) == [0, 1, 2, 0, 1, 2]
  evaluations = dataframes.evaluations(read)
  assert list(evaluations.accuracy) == 2 * [0.5, 0.6, 0.75]
  assert set(evaluations.setting) == {'cosine'}


def test_a_run_that_has_just_begun_has_empty_tables(tmp_path):
  read = [runs.read(make(tmp_path, steps=0, evals=[]))]
  for table in (dataframes.steps, dataframes.evaluations, dataframes.samples):
    assert len(table(read)) == 0


def test_a_cut_samples_length_is_the_cap_where_any_was_cut(tmp_path):
  path = make(tmp_path, steps=3)
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  cut = [
    {**json.loads(line), 'truncated_frac': s / 4}
    for s, line in enumerate(lines)
  ]
  text = ''.join(json.dumps(record) + '\n' for record in cut)
  (path / 'metrics.jsonl').write_text(text)
  found = dataframes.steps([runs.read(path)]).length_cut
  np.testing.assert_array_equal(found, [np.nan, 85, 69])


def test_a_nested_setting_that_does_not_change_the_result_makes_no_other_group(
  tmp_path,
):
  made = [
    make(tmp_path / 'a', seed=0, checkpoint_kw={'every': 20, 'keep': 3}),
    make(tmp_path / 'b', seed=1, checkpoint_kw={'every': 5, 'keep': 3}),
    make(tmp_path / 'c', seed=2, eval_kw={'cap': 92, 'every': 7}),
    make(tmp_path / 'd', seed=3, eval_kw={'cap': 46}),
  ]
  groups = seeds.of(runs.read_all(made))
  found = [[run.path.name for run in group.runs] for group in groups]
  assert found == [['a', 'b', 'c'], ['d']]
