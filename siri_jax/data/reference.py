"""The table of presampled problems: how often they are right, at what length.

`siri-jax presample` writes reference.jsonl, a line for each problem.
"""

import math
from typing import NamedTuple

import numpy as np

from siri_jax.runtime import files

TABLE = 'reference.jsonl'


class Reference(NamedTuple):
  """What samples of one problem show.

  Attributes:
    problem_id: id of the problem.
    samples: number of samples, 1 or more.
    correct: how many of them are right.
    accuracy: their share, 0 to 1.
    length: mean tokens of all samples.
    length_correct: mean tokens of the right ones; NaN if there are none.
    shortest_correct: tokens of the shortest right one; NaN if there are none.
  """

  problem_id: str
  samples: int
  correct: int
  accuracy: float
  length: float
  length_correct: float
  shortest_correct: float


def of_samples(rows):
  """The Reference of one problem.

  Args:
    rows: its records of samples, one or more, as of rollout/graded.py.
  """
  lengths = np.array([row['length'] for row in rows])
  right = lengths[np.array([row['correct'] for row in rows], bool)]
  return Reference(
    problem_id=rows[0]['problem_id'],
    samples=lengths.size,
    correct=right.size,
    accuracy=right.size / lengths.size,
    length=float(lengths.mean()),
    length_correct=float(right.mean()) if right.size else math.nan,
    shortest_correct=float(right.min()) if right.size else math.nan,
  )


def write(path, found):
  """Writes a table, atomically.

  Args:
    path: the file.
    found: iterable of Reference, in order.
  """
  lines = [files.to_json(each._asdict()) + '\n' for each in found]
  files.write_atomically(path, ''.join(lines).encode())


def read(path):
  """The References of a table, by the id of the problem.

  Args:
    path: a reference.jsonl.
  Returns:
    dict problem id -> Reference, in order.
  Raises:
    OSError: there is no such file.
    ValueError: a line is damaged, or has other names; names it.
  """
  with open(path):  # Records of no file are none.
    records = files.read_records(path)
  found = {}
  for number, record in enumerate(records, 1):
    if set(record) != set(Reference._fields):
      raise ValueError(
        f'{path}:{number} has {", ".join(record)}; a line of {TABLE} has '
        f'{", ".join(Reference._fields)}'
      )
    values = {k: math.nan if v is None else v for k, v in record.items()}
    found[record['problem_id']] = Reference(**values)
  return found
