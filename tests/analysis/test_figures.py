"""The figures: counts, lags and marks, by hand."""

import json
import math

import numpy as np
import pytest
from made_runs import evaluation, make, sample

from siri_jax import plugins
from siri_jax.algorithm import schedule_presets as shapes
from siri_jax.analysis import runs, validate
from siri_jax.analysis import seeds as groups
from siri_jax.analysis.figures import (
  accuracy_by_cap,
  catalog,
  lag,
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
    assert min(t.get_fontsize() for t in texts if t.get_text()) >= 7
  named = {ax.get_ylabel() for ax in shown if ax.get_ylabel()}
  units = ('tokens', '%', 'nats', 'a response')
  assert named
  assert all(any(unit in label for unit in units) for label in named)
  assert all(
    legend.get_texts()[0].get_fontsize() >= 7 for legend in fig.legends
  )


@pytest.mark.parametrize('name', ['overlay', 'pareto'])
def test_a_legend_of_many_settings_leaves_room_and_says_what_it_leaves_out(
  tmp_path, name
):
  made = [
    make(tmp_path / f'r{i}', learning_rate=i / 1000 + 1e-18) for i in range(40)
  ]
  fig = catalog.every()[name](runs.read_all(made))
  fig.draw_without_rendering()
  (legend,) = fig.legends
  names = [text.get_text() for text in legend.get_texts()]
  assert len(names) == style.NAMED + 1
  assert names[9] == 'cosine, learning_rate 0.009'
  assert names[-1].startswith('... and 2')
  assert names[-1].endswith(' more, not named')
  panels = max(ax.get_window_extent().y1 for ax in fig.axes)
  assert panels <= legend.get_window_extent().y0 + 1


@pytest.mark.parametrize('runs_of_it', [1, 3])
@pytest.mark.parametrize('name', ['training', 'overlay', 'outcomes', 'pareto'])
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
  assert fig.axes[0].get_title() == '$_5$^'


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


# The Pareto front.


def test_the_front_by_hand():
  #         dominated by 1; front; front; dominated by 2 (longer, as accurate)
  tokens = np.array([30, 20, 40, 50])
  accuracy = np.array([0.5, 0.6, 0.9, 0.9])
  np.testing.assert_array_equal(pareto.front(tokens, accuracy), [1, 2])


def test_one_of_equal_points_is_on_the_front():
  np.testing.assert_array_equal(pareto.front([7, 7], [0.5, 0.5]), [0])
  np.testing.assert_array_equal(pareto.front([7, 7], [0.5, 0.6]), [1])
  assert pareto.front([], []).size == 0


def test_a_trace_has_the_points_in_order_of_steps(trained):
  ax = pareto.draw(trained[:1]).axes[0]
  trace = next(line for line in ax.lines if line.get_label() == 'cosine')
  np.testing.assert_allclose(trace.get_xdata(), [50, 30, 40])
  np.testing.assert_allclose(trace.get_ydata(), [50, 60, 75])
  front = next(x for x in ax.lines if x.get_label() == pareto.FRONT)
  np.testing.assert_allclose(front.get_xdata(), [30, 40])


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
  row = found.loc[(1, 'before', 'right')]
  assert (row.step, row.samples) == (0, 2)
  assert row.a_response == 2
  assert row.a_response_se == pytest.approx(1)  # Of 3 and 1, over problems.
  assert row.per_1000_tokens == 200
  assert found.loc[(1, 'before', 'wrong')].a_response == 7
  assert found.loc[(1, 'after', 'right')].a_response == 0
  assert (1, 'after', 'wrong') not in found.index


def test_training_samples_are_used_if_evaluations_have_none(tmp_path):
  path = make(tmp_path)
  keep(path, 0, [sample(response='wait wait')], 'rollouts')
  keep(path, 3, [sample(response='wait')], 'rollouts')
  found = words.table([runs.read(path)], ['wait'])
  assert list(found.a_response) == [2, 1]


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


def test_the_default_words_depend_on_the_task(tmp_path):
  built_in = runs.read(make(tmp_path / 'a'))
  real = runs.read(make(tmp_path / 'b', task='math'))
  assert words.usual([built_in]) == ('wait',)
  assert 'alternatively' in words.usual([built_in, real])


# The lag.


def swing(steps, period):
  return 69 + 23 * np.cos(2 * np.pi * np.arange(steps) / period)


@pytest.mark.parametrize('shift', [-3, 0, 7])
def test_the_lag_of_a_shifted_series_is_found(shift):
  cap = swing(170, 40)
  length = np.roll(0.4 * cap, shift)[10:-10] - 0.1 * np.arange(150)
  found = lag.estimate([(cap[10:-10], length)], 20, 10)
  assert found.lag == shift
  assert found.low <= shift <= found.high
  assert found.high - found.low <= 2
  assert found.correlation == pytest.approx(1, abs=0.02)


def test_the_interval_covers_the_lag_with_its_probability():
  rng = np.random.default_rng(0)
  held = 0
  for seed in range(40):
    noise = rng.normal(0, 6, 200)
    for t in range(1, 200):  # The noise of a step lasts for a few steps.
      noise[t] += 0.6 * noise[t - 1]
    cap = swing(200, 40)
    length = 0.4 * np.roll(cap, 6) + noise
    found = lag.estimate([(cap[20:], length[20:])], 20, 10, seed)
    held += found.low <= 6 <= found.high
  assert held >= 33  # Of 40; 38 are expected of 95 %.


def test_noise_has_an_interval_as_wide_as_the_cycle():
  noise = np.random.default_rng(1).normal(size=160)
  found = lag.estimate([(swing(160, 40), noise)], 20, 10)
  assert found.high - found.low > 15


def test_more_seeds_narrow_the_interval_of_the_lag():
  rng = np.random.default_rng(2)
  cap = swing(160, 40)
  seeds = [
    (cap, 0.2 * np.roll(cap, 5) + rng.normal(0, 8, 160)) for _ in range(6)
  ]
  one, six = lag.estimate(seeds[:1], 20, 10), lag.estimate(seeds, 20, 10)
  assert six.high - six.low < one.high - one.low


def test_a_missing_lag_has_a_reason(tmp_path, trained):
  found = lag.table(trained).set_index('setting')
  assert found.loc['constant'].told == 'the cap never moves'
  assert math.isnan(found.loc['constant'].lag)
  short = runs.read(make(tmp_path / 'short', steps=6))
  (group,) = groups.of([short])
  assert 'does not come back' in lag.of_group(group)


def test_the_lag_of_runs_is_drawn_with_its_interval(tmp_path):
  path = make(tmp_path, steps=40)
  lines = [
    json.loads(x) for x in (path / 'metrics.jsonl').read_text().splitlines()
  ]
  for record in lines:
    record['length_mean'] = lines[max(record['step'] - 2, 0)]['cap'] / 2
  text = ''.join(json.dumps(record) + '\n' for record in lines)
  (path / 'metrics.jsonl').write_text(text)
  (text,) = lag.draw([runs.read(path)]).legends[0].get_texts()
  assert text.get_text().startswith('cosine: 2 steps (')


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
  assert {'training', 'entropy', 'overlay', 'pareto'} <= set(drawn)
