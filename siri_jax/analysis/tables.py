"""Run folders as tidy tables: one row a step, an evaluation or a sample."""

import numpy as np
import pandas as pd

from siri_jax.analysis import groups, runs

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
    metrics.jsonl as the workspace file explains them; `length_cut` is in
    tokens, nan where no sample was cut.
  """
  return _stacked(
    read, lambda run: {**run.metrics, 'length_cut': length_cut(run)}
  )


def evaluations(read):
  """Every measure of every run: eval.jsonl.

  Args:
    read: list of runs.Run.
  Returns:
    DataFrame: run, setting, seed, then the columns of eval.jsonl: `step` is
    updates done, accuracy a share, length tokens a response.
  """
  return _stacked(read, lambda run: runs.columns(run.evals))


def samples(read, kind='eval', steps=None):
  """The samples that the runs kept.

  Args:
    read: list of runs.Run.
    kind: 'eval', those of evaluations in training (`step` is updates done),
      or 'rollouts', those trained on (`step` is the one sampled).
    steps: those to read; None for all.
  Returns:
    DataFrame: run, setting, seed, `set` for evaluations, then the columns of
    SAMPLE, token ids left out; length in tokens.
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


def length_cut(run):
  """Mean length of the samples that the cap cut, float64 [steps], tokens.

  Where the sampler stops at the cap that is the cap itself; where a longer
  sample is clipped for its reward, it is known of the kept steps alone.
  """
  cut = run.column('truncated_frac') > 0
  if run.config['cap_at'] == 'sampler':
    return np.where(cut, run.column('cap'), np.nan)
  lengths = np.full(len(cut), np.nan)
  caps = dict(zip(run.column('step'), run.column('cap'), strict=True))
  for step, paths in run.sample_files('rollouts').items():
    rows = [row for path in paths for row in runs.read_samples(path)]
    own = [
      row['length']
      for row in rows
      if row['finish_reason'] == 'length' or row['length'] > caps.get(step, 0)
    ]
    lengths[run.column('step') == step] = np.mean(own) if own else np.nan
  return lengths


def _whole(value):
  """A value; a text without half characters, which pandas cannot hold."""
  if isinstance(value, str):
    return value.encode('utf-8', 'replace').decode()
  return value


def _stacked(read, columns):
  """The tables of all runs, one under another."""
  parts = []
  for group in groups.of(read):
    for run in group.runs:
      names = [run.name, group.label, run.config['seed']]
      frame = pd.DataFrame(columns(run))
      for place, pair in enumerate(zip(NAMES, names, strict=True)):
        frame.insert(place, *pair)
      parts.append(frame)
  full = [part for part in parts if len(part)]
  return pd.concat(full or parts, ignore_index=True) if parts else None
