"""Reads a run's folder into arrays; the run may still be writing."""

import dataclasses
import gzip
import html
import json
import pathlib
import zlib
from typing import Any, NamedTuple

import numpy as np
import tqdm

from siri_jax.analysis import validate
from siri_jax.runtime import files

# Columns of eval.jsonl that a run shows in a notebook.
SHOWN = ['set', 'step', 'kind', 'accuracy', 'length', 'truncated_frac']


class Past(NamedTuple):
  """A run that another one was branched from, after `step` updates.

  Its config is None if its folder no longer exists.
  """

  folder: pathlib.Path
  step: int
  config: dict | None


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
  """The records of a run so far.

  Attributes:
    path: the folder.
    info: RUN.json.
    config: config.json, nested.
    metrics: columns of metrics.jsonl, each [steps done]; float64 with NaN for
      missing values, `step` int64, text as objects. The steps of the runs that
      it was branched from come first.
    evals: records of eval.jsonl, in order; also with those of earlier runs.
    past: Past of the runs that it was branched from, oldest first.
    notes: sentences about missing data.
  """

  path: pathlib.Path
  info: dict
  config: dict
  metrics: dict
  evals: list
  past: tuple = ()
  notes: tuple = ()

  @property
  def name(self):
    """The name of the folder."""
    return self.path.resolve().name

  @property
  def evaluations(self):
    """The records of eval.jsonl as a DataFrame, one row for set and point."""
    import pandas as pd  # Here, because it is slow to import.

    return pd.DataFrame(self.evals)

  def __repr__(self):
    total, done = self.config['total_steps'], steps_done(self.path)
    return f'Run({self.path}: {done:,} of {total:,} steps)'

  def _repr_html_(self):
    """The evaluations as a table, for notebooks."""
    shown = self.evaluations.reindex(columns=SHOWN).round(4)
    done = steps_done(self.path)
    title = f'{html.escape(self.name)}: {done} steps'
    return f'<b>{title}</b>{shown.to_html(index=False)}'

  @property
  def short(self):
    """The config's argument or the schedule, and the step of a branch."""
    overrides = self.info.get('overrides', {})
    chosen = any(name.startswith('schedule') for name in overrides)
    argument = '' if chosen else self.info.get('arg')
    after = f' from {self.past[-1].step}' if self.past else ''
    return (argument or self.config['schedule']) + after

  def column(self, name):
    """A column of metrics.jsonl as float64; NaN for missing values."""
    steps = self.metrics['step'] if self.metrics else np.zeros(0)
    return self.metrics.get(name, np.full(len(steps), np.nan))

  @property
  def arm(self):
    """The run's arm in its ablation; '' without an ablation."""
    listed = self.path.resolve().parent / 'ablation.json'
    try:
      arms = json.loads(listed.read_text())['runs']
      return {run['name']: run['arm'] for run in arms}.get(self.name, '')
    except (OSError, ValueError, KeyError, TypeError):
      return ''

  @property
  def sets(self):
    """Names of the evaluated sets, in order of appearance."""
    return list(dict.fromkeys(record['set'] for record in self.evals))

  @property
  def last(self):
    """The updates done so far, at least 1, as the end of an axis."""
    evaluated = [record['step'] for record in self.evals]
    return max([1, *(self.column('step') + 1), *evaluated])

  @property
  def complete(self):
    """Whether the last step and its evaluation, if any, are done."""
    total = self.config['total_steps']
    measured = self.evals[-1]['step'] >= total if self.evals else True
    return self.last >= total and measured

  def sample_files(self, kind):
    """Files of samples by step, including those of earlier runs of a branch.

    Args:
      kind: 'rollouts', by the index of the step, or 'eval', by updates done.
    Returns:
      dict step -> list of paths, in order.
    """
    pattern = {'rollouts': '*.jsonl.gz', 'eval': '*/*.jsonl.gz'}[kind]
    found = {}
    for folder, end in [
      *((p.folder, p.step + (kind == 'eval')) for p in self.past),
      (self.path, np.inf),
    ]:
      own = {}
      for path in sorted((folder / kind).glob(pattern)):
        part = path.relative_to(folder / kind).parts[0].partition('.')[0]
        if part.isdigit() and int(part) < end:
          own.setdefault(int(part), []).append(path)
      found = {s: paths for s, paths in found.items() if s < end} | own
    return dict(sorted(found.items()))


def read(folder):
  """Reads a run's folder, and those of the runs it was branched from.

  Raises:
    FileNotFoundError: it is not a run's folder; names the missing file.
    ValueError: a file or record is damaged; names the file and line.
  """
  return _read(pathlib.Path(folder), ())


def read_all(folders):
  """Reads several runs' folders, each once however often it is named.

  Returns:
    list of Run.
  Raises:
    ValueError: some cannot be read; a line for each of them.
  """
  found, wrong = [], []
  places = {pathlib.Path(folder).resolve(): folder for folder in folders}
  for folder in places.values():
    try:
      found.append(read(folder))
    except (OSError, ValueError) as error:
      wrong.append(str(error))
  if wrong:
    raise ValueError('\n'.join(wrong))
  return found


def ends(paths):
  """The fewest last parts of each path, a tuple, that no other path ends in."""
  found = []
  for path in paths:
    others = [other for other in paths if other != path]
    counts = range(1, len(path))
    alone = (n for n in counts if all(o[-n:] != path[-n:] for o in others))
    found.append(path[-next(alone, len(path)) :])
  return found


def read_rows(path):
  """The rows of a file written by RunFolder.write_rows.

  Raises:
    ValueError: the file is damaged; names it.
  """
  try:
    with gzip.open(path, 'rt', encoding='utf-8') as file:
      return [json.loads(line) for line in file]
  except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
    raise ValueError(f'{path} cannot be read: {error}') from error


def length_cut(run):
  """Mean length of the samples that the cap cut, float64 [steps], tokens.

  If the sampler stops at the cap, this is the cap. If it clips longer samples
  for the reward, it is known only for steps with sample files.
  """
  cut = run.column('truncated_frac') > 0
  if run.config['cap_at'] == 'sampler':
    return np.where(cut, run.column('cap'), np.nan)
  lengths = np.full(len(cut), np.nan)
  caps = dict(zip(run.column('step'), run.column('cap'), strict=True))
  for step, paths in run.sample_files('rollouts').items():
    rows = [row for path in paths for row in read_samples(path)]
    own = [
      row['length']
      for row in rows
      if row['finish_reason'] == 'length' or row['length'] > caps.get(step, 0)
    ]
    lengths[run.column('step') == step] = np.mean(own) if own else np.nan
  return lengths


def steps_done(folder):
  """Number of complete records of a run's metrics; 0 without a run."""
  path = pathlib.Path(folder) / 'metrics.jsonl'
  return path.read_bytes().count(b'\n') if path.exists() else 0


def read_samples(path):
  """The rows of a file in eval/ or rollouts/.

  Raises:
    ValueError: it is damaged, or a row is invalid; names file and line.
  """
  rows = read_rows(path)
  validate.check_samples(path, rows)
  return rows


def columns(records):
  """Records as a dict of arrays, one for each name in any record."""
  names = dict.fromkeys(name for record in records for name in record)
  return {name: _column([r.get(name) for r in records]) for name in names}


def _read(folder, heirs):
  """A run and its past; `heirs` are folders branched from it, for cycles."""
  info = validate.json_object(folder / 'RUN.json')
  config = validate.json_object(folder / 'config.json')
  validate.check_settings(folder, info, config)
  records, evals = (_records(folder, name) for name in ('metrics', 'eval'))
  past, notes = (), ()
  if 'branched_from' in info:
    before, past, notes = _before(folder, info['branched_from'], heirs)
    records = before[0] + records
    own = {(r['step'], r['set']) for r in evals}
    evals = [r for r in before[1] if (r['step'], r['set']) not in own] + evals
  return Run(folder, info, config, columns(records), evals, past, notes)


def _before(folder, origin, heirs):
  """The records, past and notes of a branched run's parent."""
  try:
    parent, step = (folder / origin['folder']).resolve(), int(origin['step'])
  except (KeyError, TypeError, ValueError):
    raise ValueError(
      f'{folder}/RUN.json: branched_from is {origin!r}; write '
      "{'folder': ..., 'step': ...}"
    ) from None
  if parent in (*heirs, folder.resolve()):
    raise ValueError(
      f'{folder}/RUN.json: branched_from leads back to this run in a circle'
    )
  try:
    run = _read(parent, (*heirs, folder.resolve()))
  except (OSError, ValueError) as error:
    note = f'{folder.resolve().name} is drawn from step {step} on: {error}.'
    return ([], []), (Past(parent, step, None),), (note,)
  steps = _rows(run.metrics)
  before = (
    [r for r in steps if r['step'] < step],
    [r for r in run.evals if r['step'] <= step],
  )
  past = [p._replace(step=min(p.step, step)) for p in run.past]
  return before, (*past, Past(parent, step, run.config)), run.notes


def _records(folder, name):
  """The records of metrics.jsonl or eval.jsonl."""
  path = folder / f'{name}.jsonl'
  records = files.read_records(path)
  validate.check_records(path, records)
  return records


def _rows(metrics):
  """Columns as records again."""
  names = list(metrics)
  rows = zip(*(metrics[name].tolist() for name in names), strict=True)
  return [dict(zip(names, row, strict=True)) for row in rows]


def _column(values):
  """float64 with nan for None; int64 where all are; else objects."""
  if all(type(value) is int for value in values):
    return np.array(values, np.int64)
  if all(value is None or isinstance(value, (int, float)) for value in values):
    return np.array(values, np.float64)
  return np.array(values, object)


class SampledLengths(NamedTuple):
  """The lengths of a run's samples, some of them cut.

  Attributes:
    lengths: int64 [n], tokens.
    cut: bool [n], whether the cap cut the sample.
    run: the run's folder.
  """

  lengths: Any
  cut: Any
  run: Any


def sampled_lengths(run):
  """Reads the lengths of a run's samples.

  Args:
    run: the run's folder.
  Returns:
    SampledLengths.
  Raises:
    ValueError, OSError: there are none, or a file is damaged.
  """
  files = read(run).sample_files('rollouts')
  paths = [path for own in files.values() for path in own]
  rows = []
  for path in tqdm.tqdm(paths, 'reading samples', leave=False, disable=None):
    try:
      rows += [
        (int(row['length']), row['finish_reason'] == 'length')
        for row in read_rows(path)
      ]
    except (KeyError, TypeError) as error:
      raise ValueError(f'{path} has no valid samples: {error!r}') from error
  if not rows:
    raise ValueError(f'{run}/rollouts has no samples to read lengths from')
  lengths, cut = zip(*rows, strict=True)
  return SampledLengths(np.array(lengths), np.array(cut), run)
