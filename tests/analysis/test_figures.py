"""The figures: counts, lags and marks, by hand."""

import math

import numpy as np
import pytest
from made_runs import evaluation, make, sample

from siri_jax import plugins
from siri_jax.algorithm import schedule_presets as shapes
from siri_jax.analysis import intervals, runs, validate
from siri_jax.analysis import seeds as groups
from siri_jax.analysis.figures import (
  accuracy_by_cap,
  catalog,
  overlay,
  pareto,
  schedule,
  style,
  words,
)
from siri_jax.commands import figures
from siri_jax.config import cost_model, cost_table
from siri_jax.runtime import files

LENGTHS = cost_model.lognormal(mean=52.0, median=43.0)


def keep(path, step, rows, kind='eval'):
  """Writes samples to a run's folder, as a run does."""
  name = f'eval/{step:06d}/held_out' if kind == 'eval' else f'{kind}/{step:06d}'
  target = path / f'{name}.jsonl.gz'
  target.parent.mkdir(parents=True, exist_ok=True)
  text = ''.join(files.to_json({'step': step, **row}) + '\n' for row in rows)
  target.write_bytes(runs.gzip.compress(text.encode()))


@pytest.fixture
def trained(tmp_path):
  """Two seeds of a cosine and a constant cap, with samples of evaluations."""
  made = [make(tmp_path / f's{seed}', seed=seed) for seed in range(2)]
  made.append(make(tmp_path / 'flat', schedule='constant'))
  for path in made:
    for step, waits in ((0, 3), (4, 1), (8, 2)):
      rows = [
        sample(problem_id=f'p{i}', correct=i > 0, response='wait ' * waits)
        for i in range(4)
      ]
      keep(path, step, rows)
  return runs.read_all(made)


# All of them.


# Two cycles are too short for a lag, which is tested below.
@pytest.mark.parametrize('name', sorted({*catalog.every()} - {'lag'}))
def test_a_figure_has_units_on_its_axes_and_letters_of_7_points(trained, name):
  fig = catalog.every()[name](trained)
  fig.draw_without_rendering()
  assert fig.get_figwidth() in (style.COLUMN, style.PAGE)
  shown = [ax for ax in fig.axes if ax.axison]
  for ax in shown:
    texts = [ax.xaxis.label, ax.yaxis.label, ax.title, *ax.get_xticklabels()]
    assert (
      min((t.get_fontsize() for t in texts if t.get_text()), default=7) >= 7
    )
  named = {ax.get_ylabel() for ax in shown if ax.get_ylabel()}
  units = ('token', '%', 'per response', 'reward', 'loss', 'norm', ', s')
  assert named
  assert all(any(unit in label for unit in units) for label in named)
  drawn = [*fig.legends, *(ax.get_legend() for ax in fig.axes)]
  sizes = [t.get_fontsize() for key in drawn if key for t in key.get_texts()]
  assert min(sizes, default=7) >= 7


@pytest.fixture(scope='module')
def twenty(tmp_path_factory):
  """Twenty settings, with learning rates that are not written as computed."""
  folder = tmp_path_factory.mktemp('twenty')
  return runs.read_all(
    make(folder / f'r{i}', learning_rate=i / 1000 + 1e-18) for i in range(20)
  )


def test_a_legend_of_many_settings_leaves_room_and_says_what_it_leaves_out(
  twenty,
):
  fig = pareto.draw(twenty)
  fig.draw_without_rendering()
  (legend,) = fig.legends
  names = [text.get_text() for text in legend.get_texts()]
  assert len(names) == style.NAMED + 1
  assert 'cosine, learning_rate 0.009' in names
  assert names[-1] == '... and 7 more, not named'  # 20, 2 kinds and the start.
  panels = max(ax.get_window_extent().y1 for ax in fig.axes)
  assert panels <= legend.get_window_extent().y0 + 1


def test_an_overlay_of_many_settings_names_each_above_its_cap(twenty):
  fig = overlay.draw(twenty)
  titles = [ax.get_title() for ax in fig.axes if ax.get_title()]
  assert len(titles) == style.NAMED
  assert titles[9] == 'cosine, learning_rate 0.009'
  assert 'Not drawn: 4 more settings.' in fig.get_supxlabel()


def test_an_overlay_needs_two_settings(trained):
  with pytest.raises(style.NothingToDrawError, match='one setting'):
    overlay.draw(trained[:2])


def test_a_legend_is_in_its_own_panel_and_names_each_colour_once(trained):
  fig = catalog.every()['training'](trained[:1])
  first, second = (
    [text.get_text() for text in ax.get_legend().get_texts()] for ax in fig.axes
  )
  assert first == ['compression', 'cap', 'mean length', '90th percentile']
  assert second[:2] == ['training, under the cap', 'held-out problems']
  colours = [line.get_color() for ax in fig.axes for line in ax.lines]
  labels = [line.get_label() for ax in fig.axes for line in ax.lines]
  named = dict(zip(labels, colours, strict=True))
  curves = [*first[1:], *second[:2]]
  assert len({named[name] for name in curves}) == len(curves)


def test_the_legends_of_several_settings_fill_the_cell_after_the_last(trained):
  fig = catalog.every()['training'](trained)
  cells = [ax for ax in fig.axes if not ax.axison]
  assert [bool(ax.get_legend()) for ax in cells] == [True, True]
  assert [style.across(n) for n in (2, 4, 5, 6, 8, 9)] == [2, 4, 3, 3, 4, 3]


@pytest.mark.parametrize(
  ('value', 'shown'), [(16384, '16,384'), (92, '92'), (0.25, '0.25')]
)
def test_thousands_are_separated(value, shown):
  fig, axes = style.sheet(1)
  axes[0, 0].plot([0, value], [0, 1])
  axes[0, 0].set_xticks([0, value])
  fig.draw_without_rendering()
  assert axes[0, 0].get_xticklabels()[1].get_text() == shown


@pytest.mark.parametrize('runs_of_it', [1, 3])
@pytest.mark.parametrize(
  'name', ['training', 'words', 'outcomes', 'pareto', 'lag']
)
def test_nothing_reaches_over_the_edge_of_a_figure(trained, name, runs_of_it):
  fig = catalog.every()[name](trained[:runs_of_it])
  fig.draw_without_rendering()
  box = fig.get_tightbbox()  # Inches.
  assert min(box.x0, box.y0) >= -0.01
  assert box.x1 <= fig.get_figwidth() + 0.01
  assert box.y1 <= fig.get_figheight() + 0.01


def test_the_command_draws_all_figures_and_prints_reasons_for_missing_ones(
  tmp_path, monkeypatch, capsys
):
  some = {k: catalog.every()[k] for k in ('training', 'pareto', 'words', 'lag')}
  monkeypatch.setattr(catalog, 'every', lambda chosen: some)
  run = make(tmp_path / 'run', steps=3, evals=[])
  assert figures.main([str(run), f'--out={tmp_path}/out']) == 0
  told = capsys.readouterr().out
  assert 'pareto: not drawn: no run has an evaluation' in told
  assert 'words: not drawn: no run kept samples with text' in told
  assert 'lag: not drawn: No lag: cosine (' in told
  assert (tmp_path / 'out/training.png').read_bytes().startswith(b'\x89PNG')
  assert (tmp_path / 'out/training.pdf').read_bytes().startswith(b'%PDF')
  assert not (tmp_path / 'out/pareto.png').exists()


def test_the_command_refuses_folders_without_runs(tmp_path, capsys):
  assert figures.main([f'{tmp_path}/a', f'{tmp_path}/b']) == 2
  told = capsys.readouterr().err
  assert f'{tmp_path}/a is not' in told
  assert f'{tmp_path}/b is not' in told


def test_a_dollar_in_a_name_is_not_mathematics(tmp_path):
  evals = [evaluation(0, 'start', 0.5, 50.0, name='$_5$^')]
  fig = pareto.draw([runs.read(make(tmp_path, evals=evals))])
  fig.draw_without_rendering()
  assert fig.axes[0].get_ylabel() == 'accuracy on\n$_5$^, %'


def test_damaged_samples_affect_only_their_figures(tmp_path, monkeypatch):
  path = make(tmp_path)
  keep(path, 0, [sample()])
  keep(path, 4, [sample()])
  (path / 'eval/000004/held_out.jsonl.gz').write_bytes(b'no gzip')
  some = {k: catalog.every()[k] for k in ('words', 'entropy')}
  monkeypatch.setattr(catalog, 'every', lambda chosen: some)
  drawn = dict(catalog.drawn([runs.read(path)]))
  assert 'eval/000004/held_out.jsonl.gz cannot be read' in drawn['words']
  assert len(drawn['entropy'].axes) == 1


# Schedules.


def test_every_schedule_is_drawn():
  lines = shapes.presets(46, 92, 8)
  caps = cost_table.every(lines, 8, LENGTHS)
  fig = schedule.draw({name: schedule.of_caps(caps[name]) for name in caps})
  titles = [ax.get_title() for ax in fig.axes if ax.axison]
  assert titles == plugins.names('schedule')


def test_a_schedule_without_a_preset_is_named():
  lines = shapes.presets(46, 92, 8)
  del lines['stair']
  lines['cosine'] = {'low': 46}
  with pytest.raises(
    ValueError, match='stair has no line in siri_jax'
  ) as error:
    cost_table.every(lines, 8, LENGTHS)
  assert 'schedule_kw.high is missing' in str(error.value)


# Accuracy against tokens.


def test_the_newest_points_of_a_cap_that_cycles_are_compared(trained):
  ax = pareto.draw(trained[:1]).axes[0]
  drawn = [line for line in ax.lines if len(line.get_xdata())]
  found = {(*line.get_xdata(), *line.get_ydata()) for line in drawn}
  # The start, (50, 50), is within view.
  assert {(30, 60), (40, 75), (50, 50)} <= {tuple(map(round, x)) for x in found}
  names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
  assert names == [*list(pareto.LAST)[:2], 'cosine', 'mean start']


def test_a_cap_that_never_comes_back_has_only_its_newest_point():
  points = [groups.Point(4, 'compressed', (0,) * 3, (0,) * 3)]
  points.append(groups.Point(8, 'cadence', (1,) * 3, (1,) * 3))
  assert pareto.chosen(points) == {'last evaluation': points[-1]}
  assert pareto.chosen([]) == {}


def test_a_start_far_from_the_points_is_a_sentence(tmp_path):
  evals = [
    evaluation(0, 'start', 0.2, 5190.0),
    evaluation(4, 'compressed', 0.96, 3000.0),
    evaluation(8, 'expanded', 0.98, 3500.0),
  ]
  ax = pareto.draw([runs.read(make(tmp_path, evals=evals))]).axes[0]
  note = ' '.join(ax.figure.get_supxlabel().split())
  start = 'Not in view: the start, 20.0 % of held-out problems at 5,190 tokens.'
  assert start in note
  assert ax.get_ylim()[0] > 90


def test_the_axis_of_accuracy_does_not_leave_0_to_100_per_cent(tmp_path):
  for accuracy in (0.0, 1.0):
    evals = [evaluation(8, 'expanded', accuracy, 40.0)]
    made = make(tmp_path / str(accuracy), evals=evals)
    low, high = pareto.draw([runs.read(made)]).axes[0].get_ylim()
    assert -0.2 < low < high < 100.2


def test_the_bars_of_seeds_are_intervals_by_students_t():
  # t with 2 degrees of freedom is 4.303; the deviation of 1, 2, 3 is 1.
  mean, low, high = intervals.of_mean([1.0, 2.0, 3.0])
  assert (mean, low) == (2, pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-3))
  assert high - mean == pytest.approx(mean - low)


# Words.


def test_words_are_counted_whole_and_in_either_case():
  text = 'Wait, so: await the wait. Hold\non; solve. hold on, SO #1 #12'
  asked = ['wait', 'so', 'hold on', '#1', 'compute']
  np.testing.assert_array_equal(words.count(text, asked), [2, 2, 2, 1, 0])


def test_words_before_and_after_by_hand(tmp_path):
  path = make(tmp_path)
  right = {'correct': True, 'length': 10}
  before = [
    sample(problem_id='a', response='wait wait wait', **right),
    sample(problem_id='b', response='wait', **right),
    sample(problem_id='c', response='wait ' * 7, correct=False, length=5),
  ]
  keep(path, 0, before)
  keep(path, 4, [sample(problem_id='a', response='so', **right)])
  found = words.table([runs.read(path)], ['wait'])
  found = found.set_index(['cycle', 'point', 'answers'])
  row = found.loc[(1, 'before', 'correct')]
  assert (row.step, row.samples) == (0, 2)
  assert row.per_response == 2
  assert row.per_response_se == pytest.approx(1)  # Of 3 and 1, over problems.
  assert row.per_1000_tokens == 200
  assert found.loc[(1, 'before', 'incorrect')].per_response == 7
  assert found.loc[(1, 'after', 'correct')].per_response == 0
  assert (1, 'after', 'incorrect') not in found.index


def test_training_samples_are_used_if_evaluations_have_none(tmp_path):
  path = make(tmp_path)
  keep(path, 0, [sample(response='wait wait')], 'rollouts')
  keep(path, 3, [sample(response='wait')], 'rollouts')
  found = words.table([runs.read(path)], ['wait'])
  assert list(found.per_response) == [2, 1]


def test_samples_without_text_are_not_counted(tmp_path):
  path = make(tmp_path)
  bare = {k: v for k, v in sample().items() if k not in validate.TEXTS}
  keep(path, 0, [bare])
  keep(path, 4, [bare])
  with pytest.raises(style.NothingToDrawError, match='with text'):
    words.draw([runs.read(path)])
  assert len(accuracy_by_cap.of_runs([runs.read(path)]).axes) == 1


def test_an_unfinished_compression_is_not_counted(tmp_path):
  run = runs.read(make(tmp_path, steps=10))
  assert words.compressions(run) == [(0, 4)]
  run = runs.read(make(tmp_path / 'b', steps=12))
  assert words.compressions(run) == [(0, 4)]
  done = runs.read(make(tmp_path / 'c', steps=12, total_steps=12))
  assert words.compressions(done) == [(0, 4), (8, 12)]


def test_words_that_no_response_has_are_bars_of_0(tmp_path):
  path = make(tmp_path)
  for step in (0, 4):
    keep(path, step, [sample(response='so')])
  ax = words.draw([runs.read(path)], ['wait']).axes[0]
  assert ax.get_ylim() == (0, 1)


def test_the_default_words_depend_on_the_task(tmp_path):
  built_in = runs.read(make(tmp_path / 'a'))
  real = runs.read(make(tmp_path / 'b', task='math'))
  assert words.usual([built_in]) == ('wait',)
  assert 'alternatively' in words.usual([built_in, real])


# Caps.


def test_accuracy_within_a_cap_by_hand():
  rows = [
    sample(problem_id='a', correct=True, length=10),
    sample(problem_id='a', correct=True, length=30),
    sample(problem_id='b', correct=False, length=5),
  ]
  accuracy, errors = accuracy_by_cap.right_within(rows, [9, 10, 30])
  np.testing.assert_allclose(accuracy, [0, 0.25, 0.5])
  np.testing.assert_allclose(errors, [0, 0.25, 0.5])


# Live runs.


@pytest.mark.parametrize('steps', [1, 2, 5])
def test_a_run_that_has_just_begun_is_drawn(tmp_path, steps):
  evals = [evaluation(0, 'start', 0.5, 50.0)]
  read = [runs.read(make(tmp_path, steps=steps, evals=evals))]
  drawn = {k: v for k, v in catalog.drawn(read) if not isinstance(v, str)}
  assert {'training', 'entropy', 'updates', 'pareto'} <= set(drawn)
