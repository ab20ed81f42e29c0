"""Reads a run's folder into arrays; the run may be going on meanwhile."""

import dataclasses
import gzip
import json
import pathlib
import zlib

import numpy as np

from siri_jax import run_folder


@dataclasses.dataclass(frozen=True)
class Run:
  """What a run left behind so far.

  Attributes:
    path: the folder.
    info: RUN.json.
    config: config.json, nested.
    metrics: columns of metrics.jsonl, each [steps done]; float64 with nan
      for what a step does not have, `step` int64, texts as objects.
    evals: records of eval.jsonl, in order.
  """

  path: pathlib.Path
  info: dict
  config: dict
  metrics: dict
  evals: list

  @property
  def name(self):
    """The folder's own name."""
    return self.path.resolve().name

  def column(self, name):
    """A column of metrics.jsonl as float64; nan where it has no value."""
    steps = self.metrics['step'] if self.metrics else np.zeros(0)
    return self.metrics.get(name, np.full(len(steps), np.nan))

  @property
  def sets(self):
    """Names of the evaluated sets, in the order of their first appearance."""
    return list(dict.fromkeys(record['set'] for record in self.evals))


def read(folder):
  """Reads a run's folder.

  Raises:
    FileNotFoundError: it is not a run's folder; names the missing file.
    ValueError: a record is damaged; names the file and line.
  """
  folder = pathlib.Path(folder)
  return Run(
    path=folder,
    info=json.loads((folder / 'RUN.json').read_text()),
    config=json.loads((folder / 'config.json').read_text()),
    metrics=columns(run_folder.read_records(folder / 'metrics.jsonl')),
    evals=run_folder.read_records(folder / 'eval.jsonl'),
  )


def read_rows(path):
  """The rows of a file of samples, as RunFolder.write_rows writes them.

  Raises:
    ValueError: it is damaged; names it.
  """
  try:
    with gzip.open(path, 'rt', encoding='utf-8') as file:
      return [json.loads(line) for line in file]
  except (OSError, EOFError, zlib.error, ValueError) as error:
    raise ValueError(f'{path} cannot be read: {error}') from error


def columns(records):
  """Records as a dict of arrays, one for each name that occurs in any."""
  names = dict.fromkeys(name for record in records for name in record)
  return {name: _column([r.get(name) for r in records]) for name in names}


def _column(values):
  """float64 with nan for None; int64 where all are; else objects."""
  if all(type(value) is int for value in values):
    return np.array(values, np.int64)
  if all(value is None or isinstance(value, (int, float)) for value in values):
    return np.array(values, np.float64)
  return np.array(values, object)
