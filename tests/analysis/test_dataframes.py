"""A run's folder as arrays, picture and table."""

import math
import subprocess
import sys

import numpy as np
import pytest
from made_runs import COSINE, POINTS, evaluation, make

from siri_jax.analysis import run_table, runs
from siri_jax.analysis.figures import overview, panels
from siri_jax.commands import figures, table
from siri_jax.runtime import exit_status

# Reading.


def test_a_run_is_read_as_it_was_written(tmp_path):
  run = runs.read(make(tmp_path / 'a'))
  assert run.name == 'a'
  assert run.config['schedule_kw'] == COSINE
  assert run.info['config'] == 'configs/a.py'
  assert run.sets == ['held_out']
  assert run.evals == POINTS
  np.testing.assert_array_equal(run.metrics['step'], np.arange(16))
  assert run.metrics['step'].dtype == np.int64
  assert run.metrics['accuracy'].dtype == np.float64
  assert list(run.metrics['phase'][:5]) == [*4 * ['compress'], 'expand']


def test_a_missing_value_of_a_step_is_nan(tmp_path):
  run = runs.read(make(tmp_path, steps=3))
  np.testing.assert_array_equal(run.metrics['length_wrong'], [38, np.nan, 38])
  np.testing.assert_array_equal(run.column('unheard_of'), 3 * [np.nan])


def test_a_run_that_is_writing_is_read_up_to_its_last_complete_step(
  tmp_path,
):
  path = make(tmp_path, steps=3)
  with open(path / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 3, "cap')
  assert list(runs.read(path).metrics['step']) == [0, 1, 2]


def test_a_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'RUN\.json'):
    runs.read(tmp_path)


# The picture.


def test_compression_is_from_its_first_step_to_the_first_of_expansion(tmp_path):
  run = runs.read(make(tmp_path / 'whole', steps=16))
  assert panels.compressed_spans(run) == [(0, 4), (8, 12)]
  run = runs.read(make(tmp_path / 'part', steps=10, evals=[]))
  assert panels.compressed_spans(run) == [(0, 4), (8, 10)]


def test_a_constant_cap_has_no_phases(tmp_path):
  run = runs.read(make(tmp_path, schedule='constant'))
  assert panels.compressed_spans(run) == []


@pytest.mark.parametrize('steps', [0, 1, 2, 3, 16])
def test_a_picture_has_units_on_every_axis_from_the_first_step_on(
  tmp_path, steps
):
  fig = overview.draw(runs.read(make(tmp_path, steps, evals=POINTS[:steps])))
  tokens, accuracy, entropy = fig.axes
  assert 'tokens' in tokens.get_ylabel()
  assert '%' in accuracy.get_ylabel()
  assert 'nats' in entropy.get_ylabel()
  assert entropy.get_xlabel() == 'step'
  assert tokens.get_shared_x_axes().joined(tokens, entropy)


def test_the_curves_are_the_numbers_and_nothing_is_cut_off(tmp_path):
  run = runs.read(make(tmp_path))
  tokens, accuracy, _ = overview.draw(run).axes
  curves = {
    line.get_label(): line for ax in (tokens, accuracy) for line in ax.lines
  }
  cap = curves['cap'].get_ydata()[:-1]  # It ends at the end of the last step.
  np.testing.assert_array_equal(cap, run.metrics['cap'])
  held_out = curves['held-out problems']
  np.testing.assert_array_equal(held_out.get_xdata(), [0, 4, 8])
  np.testing.assert_allclose(held_out.get_ydata(), [50, 60, 75])
  bottom, top = tokens.get_ylim()
  assert bottom == 0
  assert top > run.metrics['cap'].max()


def test_compressed_and_expanded_points_have_markers_of_their_own(tmp_path):
  axes = overview.draw(runs.read(make(tmp_path))).axes[1]
  legend = {line.get_label(): line for line in axes.lines}
  markers = [legend[kind].get_marker() for kind in ('compressed', 'expanded')]
  drawn = {line.get_marker() for line in axes.lines} - {'', 'None', '_', None}
  assert len({*markers}) == 2
  assert drawn == {*markers, 'o'}


def test_saving_puts_a_png_into_the_folder_and_touches_no_window(tmp_path):
  path = make(tmp_path)
  code = (
    'import sys\n'
    'from siri_jax.analysis.figures import overview\n'
    'overview.save(sys.argv[1])\n'
    'assert "matplotlib.pyplot" not in sys.modules\n'
  )
  subprocess.run([sys.executable, '-c', code, str(path)], check=True)
  assert (path / 'picture.png').read_bytes().startswith(b'\x89PNG')


# The table.


def test_the_mean_of_sets_is_taken_of_their_ratios(tmp_path):
  records = [
    evaluation(0, 'start', 0.2, 100.0, name='hard'),
    evaluation(0, 'start', 0.8, 50.0, name='easy'),
    evaluation(8, 'expanded', 0.3, 50.0, name='hard'),
    evaluation(8, 'expanded', 0.7, 50.0, name='easy'),
  ]
  run = runs.read(make(tmp_path, evals=records))
  means = run_table.mean_over_sets(
    [run_table.evaluations(run, name) for name in run.sets]
  )
  # Accuracy 1.5 times at half of the length; and equal accuracy.
  assert means[8]['efficiency'] == pytest.approx((0.5 / 0.5 + 0) / 2)
  assert means[8]['accuracy'] == pytest.approx(0.5)
  assert means[8]['accuracy_se'] == pytest.approx(0.01 / math.sqrt(2))


def test_less_accuracy_has_no_efficiency_and_half_the_length_doubles_it():
  assert run_table.efficiency(0.4, 10, 0.5, 20) == 0
  assert run_table.efficiency(0.6, 20, 0.5, 20) == pytest.approx(0.2)
  assert run_table.efficiency(0.6, 10, 0.5, 20) == pytest.approx(0.4)
  assert math.isnan(run_table.efficiency(0.6, 10, 0.0, 20))


def rows(text):
  """The lines of a text with single spaces."""
  return [' '.join(line.split()) for line in text.splitlines()]


def test_the_table_has_each_point_with_its_errors(tmp_path):
  found = rows(run_table.text([make(tmp_path)]))
  assert '0 start cosine 50.0 ± 1.0 50.0 ± 0.5 0' in found
  assert '4 compressed cosine 60.0 ± 1.0 30.0 ± 0.5 40k 0.33' in found
  assert '8 expanded cosine 75.0 ± 1.0 40.0 ± 0.5 80k 0.62' in found


def test_evaluations_between_extrema_are_not_in_the_table(tmp_path):
  between = evaluation(6, 'cadence', 0.66, 33.3)
  text = run_table.text([make(tmp_path, evals=[*POINTS, between])])
  assert '33.3' not in text


def other_run(folder, name, accuracy, **changes):
  """A run with a constant cap, evaluated at its cadence."""
  evals = [
    evaluation(0, 'start', 0.50, 50.0),
    evaluation(4, 'cadence', 0.61, 55.0),
    evaluation(8, 'cadence', accuracy, 52.0),
  ]
  changes = {
    'source': f'configs/a.py:{name}',
    'schedule': 'constant',
    **changes,
  }
  return make(folder / f'a-{name}', evals=evals, **changes)


def test_other_runs_are_shown_at_the_first_runs_steps(tmp_path):
  other = other_run(tmp_path, 'long', 0.80)
  found = rows(run_table.text([make(tmp_path / 'a'), other]))
  at = found.index('4 compressed cosine 60.0 ± 1.0 30.0 ± 0.5 40k 0.33')
  assert found[at + 1] == 'long 61.0 ± 1.0 55.0 ± 0.5 40k 0.20'


def test_a_difference_within_two_standard_errors_is_marked(tmp_path):
  for accuracy, shown in ((0.52, '~ +2.0 ± 1.4'), (0.53, '+3.0 ± 1.4')):
    evals = [*POINTS[:2], {**POINTS[2], 'accuracy': accuracy}]
    found = rows(run_table.text([make(tmp_path / shown[0], evals=evals)]))
    # 2 points at an error of 1.41 are noise; 3 are not.
    assert f'8 expanded its start {shown} -10.0 ± 0.7' in found


def test_a_difference_from_another_run_of_one_seed_has_no_error(tmp_path):
  folders = [make(tmp_path / 'a'), other_run(tmp_path, 'even', 0.77)]
  found = run_table.text(folders)
  assert 'even -2.0 -12.0' in rows(found)
  assert 'no interval' in found


def test_differing_settings_are_listed(tmp_path):
  folders = [
    make(tmp_path / 'a'),
    other_run(tmp_path, 'long', 0.8, seed=1, schedule_kw={'cap': 92}),
  ]
  told = 'long differs from cosine in: seed, schedule, schedule_kw.'
  assert told in run_table.text(folders)


def test_an_unknown_error_is_left_out_and_marks_nothing(tmp_path):
  evals = [POINTS[0], {**POINTS[1], 'accuracy_se': None, 'accuracy': 0.5}]
  found = rows(run_table.text([make(tmp_path, evals=evals)]))
  assert '4 compressed cosine 50.0 30.0 ± 0.5 40k 0.00' in found
  assert '4 compressed its start +0.0 -20.0 ± 0.7' in found


def test_several_sets_have_a_table_each_and_one_of_their_mean(tmp_path):
  evals = [
    evaluation(step, kind, accuracy, 40.0, name=name)
    for name, gain in (('easy', 0.2), ('hard', 0.1))
    for step, kind, accuracy in (
      (0, 'start', 0.5),
      (4, 'compressed', 0.5 + gain),
    )
  ]
  found = rows(run_table.text([make(tmp_path, evals=evals)]))
  assert [row for row in found if row in ('easy', 'hard')] == ['easy', 'hard']
  assert '4 compressed cosine 65.0 ± 0.7 40.0 ± 0.4 40k 0.30' in found


def test_a_run_without_evaluations_says_so(tmp_path):
  assert 'no evaluation yet' in run_table.text([make(tmp_path, evals=[])])


def test_the_table_fits_a_terminal_of_80_columns(tmp_path):
  real = [{**p, 'length': 300 * p['length'], 'length_se': 51} for p in POINTS]
  folders = [make(tmp_path / 'a', evals=real)]
  folders += [
    other_run(tmp_path, name, 0.7)
    for name in ('constant', 'short', 'short_then_long')
  ]
  assert max(map(len, run_table.text(folders).splitlines())) <= 80


def test_markdown_is_a_style(tmp_path):
  assert '| compressed | cosine' in run_table.text([make(tmp_path)], 'github')


def test_runs_with_equal_names_show_their_folders(tmp_path):
  folders = [
    make(tmp_path / 'one'),
    make(tmp_path / 'two', seed=1),
    other_run(tmp_path, 'long', 0.8),
  ]
  found = run_table.labels([runs.read(folder) for folder in folders])
  assert found == ['one', 'two', 'long']


@pytest.mark.parametrize('command', [figures, table])
def test_a_command_names_a_folder_that_it_cannot_read(
  command, tmp_path, capsys
):
  status = command.main([str(tmp_path / 'absent')])
  assert status == exit_status.REFUSED
  assert 'absent' in capsys.readouterr().err
