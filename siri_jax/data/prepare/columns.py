"""Reading of problem sets in other formats.

JSON lines, JSON arrays and Parquet, in the schemas of DeepScaleR (problem,
answer), VeRL (prompt, reward_model.ground_truth) and Hugging Face's sets of
mathematics (question or problem; answer, final_answer or a boxed solution).
"""

import json
import pathlib
import re
from typing import NamedTuple

from siri_jax import types
from siri_jax.data import problems as problem_files
from siri_jax.data.prepare import answers
from siri_jax.grading import extract

# Columns by priority: the first that exists and is not null is used.
TEXT = ('problem', 'question', 'prompt', 'query')
ANSWER = ('answer', 'final_answer', 'expected_answer', 'ground_truth')
SOLUTION = ('solution', 'solutions')
ID = ('id', 'unique_id', 'problem_id', 'uuid')
SOURCE = ('source', 'data_source')
SUFFIXES = ('.jsonl', '.json', '.parquet')
# NuminaMath-1.5's answers of problems without a checkable answer.
NO_ANSWER = ('proof', 'notfound')
# Instructions in sets with VeRL's schema. A run adds its own instruction.
_INSTRUCTIONS = re.compile(
  r"\s*Let's think step by step and output the final answer "
  r'(within \\boxed\{\}|after "####")\.?\s*$'
  r'|\s*Please reason step by step,? and put your final answer within '
  r'\$?\\boxed\{\}\$?\.?\s*$'
  r'|^Solve the following math problem step by step\. The last line of your '
  r'response should be of the form Answer: .* is the answer to the problem\.'
  r'\s*|\s*Remember to put your answer on its own line after "Answer:"\.\s*$'
)


class Row(NamedTuple):
  """A valid row.

  Attributes:
    problem: types.Problem, its answer unwrapped.
    answer: the answer as in the set.
    instructed: whether an instruction was removed from the problem.
  """

  problem: types.Problem
  answer: str
  instructed: bool


def read(path, name=''):
  """Yields (row or None, fault or '') for each row of a file, in order.

  A fault is 'file:line: message'; for Parquet 'file:row N: message'. The name,
  or else the file's, is in the ids and sources of rows that have none.
  """
  path = pathlib.Path(path)
  name = name or path.stem
  rows = _READERS[path.suffix](path)
  for number, (place, fields, fault) in enumerate(rows, 1):
    row = None
    if not fault:
      try:
        row = _row(fields, name, number)
      except ValueError as error:
        fault = str(error)
    yield row, fault and f'{path.name}:{place}: {fault}'


def _json(path):
  """The objects of a JSON array or of JSON lines, with their lines."""
  try:
    text = path.read_text(encoding='utf-8-sig')
  except UnicodeDecodeError as error:
    line = 1 + error.object.count(b'\n', 0, error.start)
    yield line, None, 'not UTF-8; save the file as UTF-8'
    return
  if not text.lstrip().startswith('['):
    yield from problem_files.lines(path)
    return
  # One object at a time, because json.loads would not return their lines.
  decoder, gap = json.JSONDecoder(), re.compile(r'[\s,]*')
  end, line, counted = text.index('[') + 1, 1, 0
  while True:
    start = gap.match(text, end).end()
    line, counted = line + text.count('\n', counted, start), start
    if text[start : start + 1] == ']':
      return
    try:
      fields, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
      yield error.lineno, None, f'not JSON: {error.msg}: is the file cut?'
      return
    except ValueError:
      yield line, None, problem_files.TOO_LONG
      _, end = json.JSONDecoder(parse_int=len).raw_decode(text, start)
      continue
    except RecursionError:
      yield line, None, 'nested too deeply: give a list of flat objects'
      return
    yield line, fields, '' if isinstance(fields, dict) else 'not an object'


def _parquet(path):
  """The rows of a Parquet file."""
  from pyarrow import parquet  # Here, because few files need it.

  number = 0
  try:
    for batch in parquet.ParquetFile(path).iter_batches():
      for fields in batch.to_pylist():
        number += 1
        yield f'row {number}', fields, ''
  except (OSError, ValueError) as error:
    yield f'row {number + 1}', None, f'not readable as Parquet: {error}'


_READERS = {
  '.jsonl': problem_files.lines,
  '.json': _json,
  '.parquet': _parquet,
}


def _row(fields, stem, number):
  """The Row of one object, the file's `number`th.

  Raises:
    ValueError: the object is invalid.
  """
  fields = {str(key).lower(): value for key, value in fields.items()}
  whole = _text(_first(fields, TEXT, 'problem'))
  text = _INSTRUCTIONS.sub('', _INSTRUCTIONS.sub('', whole))
  answer = answers.written(_answer(fields))
  bare = answers.unwrap(answer)
  if not text.strip():
    raise ValueError('the problem is empty; fill it in or delete the row')
  if not bare or bare in NO_ANSWER:
    raise ValueError(f'the answer is {answer!r}; it cannot be compared')
  problem = types.Problem(
    id=_id(fields, stem, number),
    text=text,
    answer=bare,
    source=str(next((fields[k] for k in SOURCE if fields.get(k)), stem)),
  )
  if not all(map(problem_files.encodable, (problem.id, text, bare))):
    raise ValueError('half of a surrogate pair; remove it')
  return Row(problem, answer, text != whole)


def _first(fields, names, what):
  """The first of the columns that is not null."""
  for name in names:
    if fields.get(name) is not None:
      return fields[name]
  raise ValueError(f'no {what}; add one of the columns {", ".join(names)}')


def _text(value):
  """A problem's text: a string, or the last user's words in a chat."""
  if isinstance(value, list):
    said = [m for m in value if isinstance(m, dict) and m.get('role') == 'user']
    value = said[-1].get('content') if said else value
  if not isinstance(value, str):
    raise ValueError(f'the problem is {value!r}; write text or a chat')
  return value


def _answer(fields):
  """The answer: VeRL's, a column of its own, or a solution's last box."""
  graded = fields.get('reward_model')
  if isinstance(graded, dict) and graded.get('ground_truth') is not None:
    return graded['ground_truth']
  try:
    return _first(fields, ANSWER, 'answer')
  except ValueError as error:
    solutions = (fields.get(name) for name in SOLUTION)
    for solution in solutions:
      box = isinstance(solution, str) and extract.last_box(solution)
      if box:
        return box
    raise ValueError(f'{error}, and no solution with a \\boxed{{}}') from error


def _id(fields, stem, number):
  """The row's id; its number after the file's name if it has none."""
  extra = fields.get('extra_info')
  index = extra.get('index') if isinstance(extra, dict) else None
  found = (fields.get(name) for name in ID)
  given = [value for value in (*found, index) if value not in (None, '')]
  name = str(given[0] if given else number)
  return f'{stem}-{name}' if name.isdigit() else name
