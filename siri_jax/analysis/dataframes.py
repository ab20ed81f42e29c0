"""Run folders as tables: one row per step, evaluation or sample."""

import functools

import pandas as pd

from siri_jax.analysis import runs, seeds

NAMES = ['run', 'setting', 'seed']  # The first columns of every table.
SAMPLE = (
  *('step', 'problem_id', 'index', 'length', 'finish_reason', 'correct'),
  *('extracted', 'why', 'reward', 'advantage', 'answer', 'problem', 'response'),
)


def steps(read):
  """Every step of every run: metrics.jsonl, and the length of cut samples.

  Args:
    read: list of runs.Run.
  Returns:
    DataFrame: run, setting (the group's label), seed, then the columns of
    metrics.jsonl (docs/run_folder.md); `length_cut` is in tokens, NaN if no
    sample was cut.
  """
  return _stacked(
    read, lambda run: {**run.metrics, 'length_cut': runs.length_cut(run)}
  )


def evaluations(read):
  """Every evaluation of every run: eval.jsonl.

  Args:
    read: list of runs.Run.
  Returns:
    DataFrame: run, setting, seed, then the columns of eval.jsonl. `step` is
    updates done, `accuracy` a share, `length` mean response tokens.
  """
  return _stacked(read, lambda run: runs.columns(run.evals))


def samples(read, kind='eval', steps=None):
  """The samples in the runs' folders.

  Args:
    read: list of runs.Run.
    kind: 'eval' for evaluations in training (`step` is updates done), or
      'rollouts' for training samples (`step` is the index of the step).
    steps: steps to read; None for all.
  Returns:
    DataFrame: run, setting, seed, `set` for evaluations, then the columns of
    SAMPLE without token ids; length in tokens.
  Raises:
    ValueError: a file is damaged; names it.
  """

  def own(run):
    rows = [
      {**row, 'set': path.name.removesuffix('.jsonl.gz')}
      for step, paths in run.sample_files(kind).items()
      if steps is None or step in steps
      for path in paths
      for row in runs.read_samples(path)
    ]
    kept = SAMPLE if kind == 'rollouts' else ('set', *SAMPLE)
    kept = [n for n in kept if any(n in row for row in rows)]
    return {name: [_whole(row.get(name)) for row in rows] for name in kept}

  return _stacked(read, own)


def by_problem(run, step, set_name):
  """Accuracy and length of a run's evaluation for each problem.

  Args:
    run: runs.Run.
    step: updates done.
    set_name: held-out set.
  Returns:
    dict of Series by problem id, sorted: accuracy in % and length in tokens,
    means over a problem's samples.
  Raises:
    ValueError: the samples of that evaluation cannot be read; names the file.
  """
  return _means(run.path / f'eval/{step:06d}/{set_name}.jsonl.gz')


@functools.lru_cache(maxsize=64)  # A table compares one evaluation with many.
def _means(path):
  rows = pd.DataFrame(runs.read_rows(path))
  rows['accuracy'] = 100.0 * rows['correct'].astype(float)
  means = rows.groupby('problem_id')[['accuracy', 'length']].mean()
  return {name: means[name] for name in means}


def _whole(value):
  """A value; in text, half surrogate pairs are replaced, for pandas."""
  if isinstance(value, str):
    return value.encode('utf-8', 'replace').decode()
  return value


def _stacked(read, columns):
  """The concatenated tables of all runs."""
  parts = []
  for group in seeds.of(read):
    for run in group.runs:
      names = [run.name, group.label, run.config['seed']]
      frame = pd.DataFrame(columns(run))
      for place, pair in enumerate(zip(NAMES, names, strict=True)):
        frame.insert(place, *pair)
      parts.append(frame)
  full = [part for part in parts if len(part)]
  return pd.concat(full or parts, ignore_index=True) if parts else None
