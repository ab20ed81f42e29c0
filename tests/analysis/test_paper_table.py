"""The paper's table: its own numbers recomputed, and ours in its form."""

import json
import re

import made_runs
import pytest

from siri_jax.analysis import paper_table, run_table
from siri_jax.analysis.figures import accuracy_by_cap


@pytest.mark.parametrize(
  ('row', 'of_ratios', 'of_means'),
  [
    ('Original', 0, 0),
    ('DeepScaleR', 0.392, 0.398),
    ('DAPO-16K', 0.361, 0.357),
    ('AdaptThink', 0.077, 0.085),
    ('SIRI-low', 0.485, 0.476),
    ('SIRI-high', 0.408, 0.389),
  ],
)
def test_the_papers_own_numbers_give_its_efficiency(row, of_ratios, of_means):
  rows = paper_table.printed('1.5B')
  found, original = rows[row], rows['Original']
  assert paper_table.mean_of_ratios(found, original) == pytest.approx(
    of_ratios, abs=6e-4
  )
  assert paper_table.ratio_of_means(found, original) == pytest.approx(
    of_means, abs=6e-4
  )


@pytest.mark.parametrize('size', paper_table.ROWS)
def test_one_of_the_two_means_is_near_what_the_paper_prints(size):
  rows = paper_table.printed(size)
  for name, row in paper_table.ROWS[size].items():
    means = [
      mean(rows[name], rows['Original'])
      for mean in (paper_table.mean_of_ratios, paper_table.ratio_of_means)
    ]
    assert min(abs(mean - row[-1]) for mean in means) < 0.012, name


def test_each_benchmark_has_its_own_efficiency():
  rows = paper_table.printed('1.5B')
  found = paper_table.efficiencies(rows['SIRI-high'], rows['Original'])
  assert list(found) == ['aime24', 'aime25', 'amc', 'math500']
  # 43.6 / 28.2 - 1 = 0.546 at 10049 / 12333 = 0.815 of the length.
  assert found['aime24'] == pytest.approx(0.670, abs=1e-3)


def record(accuracy, length, **changes):
  return {
    'accuracy': accuracy,
    'accuracy_se': 0.02,
    'length': length,
    'length_se': 123.4,
    'truncated_frac': 0.25,
    'truncated_frac_se': 0.01,
    'pass@2': 0.6,
    'pass@2_se': 0.03,
    'maj@2': 0.5,
    'maj@2_se': None,
    'area': 0.321,
    'cap_for_95': 12288,
    'caps': [4096, 8192, 12288, 16384],
    'accuracy_at': [0.1, 0.2, accuracy, accuracy],
    'accuracy_at_se': [0.01, 0.01, 0.02, None],
    **changes,
  }


def make(folder, **sets):
  for name, found in sets.items():
    (folder / name).mkdir(parents=True)
    (folder / name / paper_table.RESULTS).write_text(json.dumps(found))
  return folder


@pytest.fixture
def folders(tmp_path):
  return [
    make(tmp_path / 'start', amc=record(0.5, 8000), aime24=record(0.25, 16000)),
    make(tmp_path / '000640', amc=record(0.6, 8000), aime24=record(0.5, 8000)),
  ]


def lines(text):
  return [' '.join(line.split()) for line in text.splitlines()]


def test_evaluations_stand_in_the_papers_order_against_the_first(folders):
  found = lines(paper_table.text(folders))
  assert found[0] == 'AIME24 % tokens AMC % tokens dAcc/CR'
  assert found[2] == 'start 25.0 16000 50.0 8000 0.00'
  # Doubled at half of the length is 2; a fifth more at the same is 0.2.
  assert found[3] == 'step 640 50.0 8000 60.0 8000 1.10'
  assert 'step 640 2.000 0.200 1.100 0.800' in found


def test_every_number_has_its_standard_error(folders):
  found = lines(paper_table.text(folders))
  assert 'AMC step 640 60.0 ± 2.0 8000 ± 123 25.0 ± 1.0 32.1 12288' in found
  assert 'AMC step 640 pass 60.0 ± 3.0' in found
  assert 'AMC step 640 maj 50.0' in found  # One problem has no error.


def test_the_papers_rows_stand_beside_and_have_an_original_of_their_own(
  folders,
):
  found = lines(paper_table.text(folders, '1.5B'))
  assert found[2] == 'paper: Original 28.2 12333 61.8 8449 0.00'
  assert found[8] == 'start 25.0 16000 50.0 8000 0.00'
  # On the two sets that were measured: not the paper's mean over four.
  assert found[7] == 'paper: SIRI-high 43.6 10049 75.9 7396 0.47'


def test_a_set_that_is_missing_leaves_its_cells_empty(tmp_path, folders):
  other = make(tmp_path / 'other', amc=record(0.75, 4000))
  found = lines(paper_table.text([*folders, other]))
  assert found[4] == 'other 75.0 4000 1.00'


def test_the_tables_are_saved_in_three_forms(tmp_path, folders):
  told = paper_table.save(tmp_path, folders, '7B')
  assert f'{told}\n' == (tmp_path / 'table.txt').read_text()
  assert '| paper: SIRI-low ' in (tmp_path / 'table.md').read_text()
  latex = (tmp_path / 'table.tex').read_text()
  assert_latex_fits(latex, tables=4)
  assert 'AMC \\%' in latex
  # What is no table is a comment.
  after = latex.rpartition('\\end{tabular}')[2].strip().splitlines()
  assert all(line.startswith('%') for line in after)


def test_one_sample_of_one_problem_without_a_right_answer_has_no_empty_table(
  tmp_path,
):
  found = record(0.0, 16_384, accuracy_se=None, length_se=None, area=0.0)
  found |= {'truncated_frac': 1.0, 'truncated_frac_se': 0.0, 'cap_for_95': None}
  found = {k: v for k, v in found.items() if '@' not in k}
  paper_table.save(tmp_path, [make(tmp_path / 'start', amc=found)], None)
  text = (tmp_path / 'table.txt').read_text()
  assert 'AMC start 0.0 16384.0 100.0 0.0' in lines(text)
  for absent in ('mean of ratios  ', '@', 'nan', ' ± 0'):
    assert absent not in text.removesuffix(f'{paper_table.NOTES}\n')
  assert_latex_fits((tmp_path / 'table.tex').read_text(), tables=2)


def assert_latex_fits(text, tables):
  """Each tabular has columns, and each of its rows as many cells."""
  found = re.findall(
    r'^\\begin{(\w+)}{(\w*)}$(.*?)^\\end{\1}$', text, re.M | re.S
  )
  assert len(found) == tables
  for _, columns, body in found:
    rows = [row for row in body.splitlines() if row.endswith(r'\\')]
    assert len(rows) > 1
    assert {row.count('&') - row.count(r'\&') + 1 for row in rows} == {
      len(columns)
    }


@pytest.mark.parametrize(
  'style', ['latex', 'latex_booktabs', 'latex_longtable']
)
def test_every_latex_style_has_whole_tables(folders, style):
  text = run_table.latex_comments(paper_table.text(folders, '1.5B', style))
  assert_latex_fits(text, tables=4)


def test_policies_of_one_name_are_told_apart_by_their_runs(tmp_path):
  folders = [
    make(tmp_path / run / 'evaluations' / '000640', amc=record(0.5, 8000))
    for run in ('cosine', 'constant')
  ]
  assert paper_table.labels(folders) == ['cosine/step 640', 'constant/step 640']


def test_a_folder_without_results_is_named(tmp_path):
  assert paper_table.faults([tmp_path]) == [
    f'{tmp_path}: no evaluation; it has no */results.json'
  ]


@pytest.mark.parametrize('text', ['', '[1]', '{"n": 1' + '0' * 5000 + '}'])
def test_damaged_results_are_named(tmp_path, text):
  path = make(tmp_path, amc=record(0.5, 8000)) / 'amc' / 'results.json'
  path.write_text(text)
  (fault,) = paper_table.faults([tmp_path])
  assert fault.startswith(f'{path} is not ')


def test_the_figure_has_a_panel_a_set_and_a_curve_a_policy(folders):
  fig = accuracy_by_cap.draw(folders)
  assert [ax.get_ylabel() for ax in fig.axes] == [
    'AIME24\naccuracy, %',
    'AMC\naccuracy, %',
  ]
  curve, mark, _, _ = fig.axes[1].lines
  assert list(curve.get_xdata()) == [0, 4096, 8192, 12288, 16384]
  assert list(curve.get_ydata()) == pytest.approx([0, 10, 20, 50, 50])
  assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (12288, 50)


def write_run(folder, evals):
  """A run's folder with these evaluations: (step, kind, set, accuracy)."""
  return made_runs.make(
    folder,
    evals=[
      made_runs.evaluation(step, kind, accuracy, 6000.0, name, samples=32)
      for step, kind, name, accuracy in evals
    ],
  )


def test_a_run_of_the_papers_model_ends_with_its_points_below_the_papers_rows(
  tmp_path,
):
  run = write_run(
    tmp_path / 'run',
    [
      (0, 'start', 'aime24', 0.25),
      (20, 'cadence', 'aime24', 0.3),
      (320, 'compressed', 'aime24', 0.5),
    ],
  )
  model = 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B@0123'
  lines = paper_table.of_run(run, model).splitlines()
  assert 'AIME24 %' in lines[0]
  assert 'MATH500' not in lines[0]
  assert any(line.startswith('paper: SIRI-high') for line in lines)
  assert not any('cadence' in line for line in lines)
  # Twice the accuracy of the start, at the same length.
  (compressed,) = [x for x in lines if x.startswith('step 320, compressed')]
  assert compressed.split()[-3:] == ['50.0', '6000', '1.00']
  assert 'Means over 32 samples a problem' in lines[-1]
  assert 'paper: SIRI-low ' in paper_table.of_run(run, 'R1-Distill-Qwen-7B')


def test_a_run_of_another_model_or_other_sets_has_no_such_table(tmp_path):
  run = write_run(tmp_path / 'run', [(0, 'start', 'arithmetic', 0.5)])
  assert paper_table.of_run(run, 'R1-Distill-Qwen-1.5B') == ''
  run = write_run(tmp_path / 'other', [(0, 'start', 'aime24', 0.5)])
  assert paper_table.of_run(run, 'models/tiny') == ''
