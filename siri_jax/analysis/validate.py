"""Checks of a run's files; each fault is named by file and line."""

import numbers

from siri_jax.runtime import files

# The columns of a record that figures draw: numbers, if present.
DRAWN = {
  'metrics': (
    *('step', 'cap', 'accuracy', 'length_mean', 'length_p90', 'entropy'),
    *('length_correct', 'length_wrong', 'truncated_frac', 'tokens_so_far'),
  ),
  'eval': (
    *('step', 'accuracy', 'accuracy_se', 'length', 'length_se'),
    *('truncated_frac', 'tokens'),
  ),
}
TEXTS = ('problem', 'response')  # tools/keep_small.py drops them.
SAMPLE = {  # The required fields of a sample.
  'problem_id': str,
  'finish_reason': str,
  'length': int,
  'correct': bool,
}
SETTINGS = {  # The settings that figures and tables read.
  **{'seed': int, 'task': str, 'schedule': str, 'schedule_kw': dict},
  **{'cap_at': str, 'eval_kw': dict, 'total_steps': int},
}
ABOUT = {'arg': str, 'overrides': dict}
EMPTY = {'arg': '', 'overrides': {}}  # Defaults for a branch not yet started.
NEEDED = {
  'metrics': ('step', 'cap'),
  'eval': ('step', 'kind', 'set', 'accuracy', 'length'),
}


def json_object(path):
  """A JSON file's object.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is not a JSON object.
  """
  if not path.exists():
    raise FileNotFoundError(
      f"{path.parent} is not a run's folder: it has no {path.name}"
    )
  try:
    return files.read_object(path)
  except ValueError as error:
    raise ValueError(f'{path} is {error}') from None


def check_settings(folder, info, config):
  """Raises if a field of RUN.json or config.json is missing or invalid."""
  _refuse_types(folder / 'config.json', config, SETTINGS)
  _refuse_types(folder / 'RUN.json', {**EMPTY, **info}, ABOUT)


def check_records(path, records):
  """Raises if a record's field is missing or has the wrong type.

  Args:
    path: path of metrics.jsonl or eval.jsonl.
    records: the records of its lines.
  """
  name, wrong = path.stem, []
  for number, record in enumerate(records, 1):
    lacking = [n for n in NEEDED[name] if record.get(n) is None]
    odd = [n for n in DRAWN[name] if not _numeric(record.get(n))]
    if name == 'eval':
      lacking += [n for n in DRAWN[name] if n not in record]
      odd += [n for n in ('kind', 'set') if not _printable(record.get(n))]
    for what in dict.fromkeys([*lacking, *odd]):
      wrong.append(f'{path}:{number}: {what} is {record.get(what)!r}')
  if wrong:
    more = f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''
    raise ValueError('; '.join(wrong[:5]) + more)


def check_samples(path, rows):
  """Raises if a row of a file of samples is invalid; names its line."""
  kinds = {*SAMPLE.items(), *((name, str) for name in TEXTS)}
  for number, row in enumerate(rows, 1):
    if not isinstance(row, dict):
      raise ValueError(f'{path}:{number} is not a JSON object: {row!r:.60}')
    for name, kind in kinds:
      if type(row.get(name)) is not kind and (name in row or name in SAMPLE):
        raise ValueError(f'{path}:{number}: {name} is {row.get(name)!r:.60}')


def _refuse_types(path, found, kinds):
  """Raises if a field is missing or has the wrong type."""
  wrong = [
    f'{name} is {found[name]!r:.60}' if name in found else f'lacks {name}'
    for name, kind in kinds.items()
    if type(found.get(name)) is not kind
  ]
  if wrong:
    raise ValueError(f'{path}: {"; ".join(wrong)}')


def _numeric(value):
  return value is None or (
    isinstance(value, numbers.Real) and not isinstance(value, bool)
  )


def _printable(value):
  """Whether a value is text that a figure can show."""
  return isinstance(value, str) and value.isprintable()
