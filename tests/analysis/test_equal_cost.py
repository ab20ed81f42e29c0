"""Arms at equal cost: values, areas and intervals by hand."""

import math

import numpy as np
import pytest
from made_runs import evaluation, make
from scipy import stats

from siri_jax.analysis import equal_cost, intervals, runs
from siri_jax.analysis.figures import cost, style
from siri_jax.commands import table
from siri_jax.runtime import exit_status


def run_of(folder, *points, steps=16, **changes):
  """A run whose evaluations are (step, accuracy in %, length, tokens)."""
  kinds = ('start', *('cadence',) * len(points))
  evals = [
    evaluation(step, kind, accuracy / 100, length, tokens=tokens)
    for kind, (step, accuracy, length, tokens) in zip(
      kinds, points, strict=False
    )
  ]
  return runs.read(make(folder, steps=steps, evals=evals, **changes))


@pytest.fixture
def arms(tmp_path):
  """Two arms of two seeds; the second arm is cheaper."""
  flat = {'schedule': 'constant'}
  start = (0, 50, 60.0, 0)
  return {
    'flat': {
      0: run_of(tmp_path / 'a', start, (8, 70, 80.0, 1000), seed=0, **flat),
      1: run_of(tmp_path / 'b', start, (8, 60, 80.0, 1000), seed=1, **flat),
    },
    'wave': {
      0: run_of(tmp_path / 'c', start, (8, 80, 40.0, 500), seed=0),
      1: run_of(tmp_path / 'd', start, (8, 76, 40.0, 500), seed=1),
    },
  }


def test_a_value_at_a_budget_is_on_the_line_between_two_evaluations(tmp_path):
  run = run_of(tmp_path, (0, 50, 60, 0), (4, 70, 80, 1000), (8, 90, 70, 3000))
  found = equal_cost.curve(run)
  # A quarter of the way from 1,000 to 3,000 tokens: 70 + 5, 80 - 2.5. The mean
  # over 1,500 tokens: (1000 * 60 + 500 * 72.5) / 1500.
  assert equal_cost.at(found, 1500) == {
    'accuracy': pytest.approx(75),
    'length': pytest.approx(77.5),
    'mean_accuracy': pytest.approx((60_000 + 36_250) / 1500),
  }
  assert equal_cost.at(found, 1000)['accuracy'] == 70
  assert equal_cost.at(found, 0)['mean_accuracy'] == 50


@pytest.mark.parametrize('budget', [-1, 3001, math.nan, math.inf])
def test_a_run_has_no_value_where_it_has_not_been(tmp_path, budget):
  run = run_of(tmp_path, (0, 50, 60, 0), (8, 90, 70, 3000))
  values = equal_cost.at(equal_cost.curve(run), budget)
  assert all(math.isnan(value) for value in values.values())


def test_a_run_without_a_start_has_no_value_at_any_budget(tmp_path):
  run = run_of(tmp_path, (4, 50, 60, 1000), (8, 90, 70, 3000))
  assert math.isnan(equal_cost.at(equal_cost.curve(run), 2000)['accuracy'])


def test_seconds_are_those_of_the_steps_before_an_evaluation(tmp_path):
  # made_runs: 3 seconds a step.
  run = run_of(tmp_path, (0, 50, 60, 0), (4, 70, 80, 1000), (8, 90, 70, 3000))
  assert equal_cost.curve(run, 'seconds').cost.tolist() == [0, 12, 24]


def test_a_cost_that_a_run_did_not_record_is_refused(tmp_path):
  run = run_of(tmp_path, (0, 50, 60, 0), (8, 90, 70, 3000))
  with pytest.raises(ValueError, match=r'jsonl lacks sampled_tokens.*by tok'):
    equal_cost.curve(run, 'sampled')
  with pytest.raises(ValueError, match="cost 'hours'; choose from tokens"):
    equal_cost.curve(run, 'hours')


def test_arms_at_a_budget_by_hand(arms):
  frame = equal_cost.table(arms, [500]).set_index('arm')
  # Half-way: 60 and 55 per cent, 70 tokens.
  assert frame.loc['flat', 'accuracy'] == 57.5
  assert frame.loc['flat', 'accuracy_se'] == pytest.approx(2.5)
  assert frame.loc['wave', 'accuracy'] == 78
  assert frame.loc['wave', 'accuracy_diff'] == 20.5
  assert frame.loc['wave', 'length_diff'] == -30
  # Differences 20 and 21: a standard error of 0.5 with one degree of freedom.
  edge = 12.7062 * 0.5
  assert frame.loc['wave', 'accuracy_low'] == pytest.approx(20.5 - edge, 1e-4)
  # The quantile of 0.8 is 1.3764.
  least = (12.7062 + 1.3764) * 0.5
  assert frame.loc['wave', 'accuracy_least'] == pytest.approx(least, 1e-4)
  assert np.isnan(frame.loc['flat', 'accuracy_diff'])


def test_each_seed_at_a_budget_has_a_row(arms):
  frame = equal_cost.by_seed(arms, [500]).set_index(['arm', 'seed'])
  assert frame['accuracy'].tolist() == [60, 55, 80, 76]
  assert frame.loc[('wave', 1), 'length'] == 40


def test_a_run_that_ended_before_a_budget_is_left_out_of_it(arms):
  frame = equal_cost.table(arms, [500, 800])
  assert frame['at'].tolist() == [500, 500, 800]
  assert frame['arm'].tolist() == ['flat', 'wave', 'flat']


def test_more_comparisons_widen_each_interval_by_bonferroni(arms):
  one = equal_cost.table(arms, [500]).iloc[1]
  two = equal_cost.table(arms, [250, 500]).iloc[3]
  edge = stats.t.ppf(1 - 0.05 / 4, 1) * 0.5
  assert two['accuracy_high'] - two['accuracy_diff'] == pytest.approx(edge)
  assert two['accuracy_diff'] == one['accuracy_diff']


def test_budgets_are_quarters_of_what_all_runs_have_spent(arms, tmp_path):
  assert equal_cost.budgets_of(arms) == [120, 250, 370, 500]
  one = run_of(tmp_path / 'e', (0, 50, 60, 0), steps=1)
  assert equal_cost.budgets_of({**arms, 'new': {0: one}}) == []
  empty = equal_cost.table({'new': {0: one}})
  assert 'No run has been evaluated' in equal_cost.text(empty)


def test_joint_intervals_hold_their_level_in_a_simulation():
  draw, held = np.random.default_rng(0), 0
  for _ in range(2000):
    gaps = draw.normal(size=(4, 5))
    found = [intervals.contrast(gap, 4) for gap in gaps]
    held += all(low <= 0 <= high for _, low, high, _ in found)
  assert 0.935 < held / 2000 < 0.975


def test_the_least_difference_is_seen_with_its_power_in_a_simulation():
  draw, seen = np.random.default_rng(1), 0
  deviation, seeds = 2.0, 12
  # With a known deviation; that of the sample varies around it.
  known = deviation * np.array([-1, 1] * 6) * (11 / 12) ** 0.5
  least = intervals.contrast(known).least
  for _ in range(2000):
    gap = least + deviation * draw.normal(size=seeds)
    seen += intervals.of_mean(gap).low > 0
  assert 0.76 < seen / 2000 < 0.84


def test_one_seed_has_no_interval_and_no_least_difference():
  mean, *others = intervals.contrast([3.0])
  assert mean == 3
  assert np.isnan(others).all()


def test_the_command_compares_runs_at_equal_cost(arms, capsys):
  folders = [str(run.path) for own in arms.values() for run in own.values()]
  asked = [*folders, '--cost=tokens', '--budgets=500']
  assert table.main(asked) == exit_status.DONE
  said = capsys.readouterr().out
  assert '+20.5 [+14.1, +26.9]' in said
  assert 'response tokens trained on' in said
  assert table.main([*folders, '--budgets=500']) == exit_status.REFUSED
  assert 'add --cost=tokens' in capsys.readouterr().err
  with pytest.raises(SystemExit):
    table.main([*folders, '--cost=tokens', '--budgets=0'])


def test_a_figure_has_a_column_for_each_cost_that_says_more(arms):
  read = [run for own in arms.values() for run in own.values()]
  fig = cost.draw(read)
  labels = [ax.get_xlabel() for ax in fig.axes if ax.get_xlabel()]
  assert labels == ['tokens trained on, millions', 'minutes of training']
  line = fig.axes[0].lines[0]
  assert line.get_ydata()[[0, -1]].tolist() == [50, 65]  # Means of the seeds.
  assert line.get_xdata()[-1] == pytest.approx(1e-3)
  one = run_of(read[0].path.parent / 'e', (0, 50, 60, 0), steps=1)
  with pytest.raises(style.NothingToDrawError, match='two evaluations'):
    cost.draw([one])
