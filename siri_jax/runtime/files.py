"""What goes to disk whole or not at all: files, JSON, records as JSON lines."""

import contextlib
import json
import math
import os
import pathlib


def write_atomically(path, data):
  """Writes a file so that a reader finds the old one or the new, whole.

  There is one writer at a time: the process that holds the run's folder.
  """
  path = pathlib.Path(path)
  draft = path.with_name(f'.{path.name}.draft')
  with _naming(path):
    try:
      with open(draft, 'wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
      os.replace(draft, path)
    except OSError:
      draft.unlink(missing_ok=True)
      raise


def write_json(path, value):
  """Writes a JSON file for people to open, as `write_atomically` does."""
  write_atomically(path, to_json(value, indent=2).encode() + b'\n')


def read_object(path):
  """The object of a JSON file.

  Raises:
    OSError: the file cannot be read.
    ValueError: what it holds is not UTF-8, not JSON or not an object.
  """
  try:
    found = json.loads(path.read_text())
  except ValueError as error:
    raise ValueError(f'not JSON: {error}') from None
  if not isinstance(found, dict):
    raise ValueError('not a JSON object')
  return found


def append(path, record):
  """Adds one record to a JSON-lines file, keys in the order given."""
  with _naming(path), open(path, 'ab') as file:
    file.write(to_json(record).encode() + b'\n')


def read_records(path):
  """Records of a JSON-lines file, without a last line that is torn.

  A kill, or a run that is writing just now, leaves such a line.

  Returns:
    list of dicts; empty where there is no file.
  Raises:
    ValueError: a line before the last is not a JSON object; names it.
  """
  return [record for _, record in _whole_lines(pathlib.Path(path))]


def rewind(path, step):
  """Drops the records of a JSON-lines file beyond `step`, all or none."""
  lines = _whole_lines(path)
  kept = [line for line, record in lines if record['step'] <= step]
  if len(kept) < len(lines):
    write_atomically(path, b''.join(kept))


def cut_torn_end(path):
  """Cuts a half-written last line, which a killed process left."""
  whole = sum(len(line) for line, _ in _whole_lines(path))
  if whole < path.stat().st_size:
    os.truncate(path, whole)


def to_json(value, **style):
  """Strict JSON of plain values and arrays; what is not finite is null."""
  return json.dumps(plain(value), allow_nan=False, **style)


def plain(value):
  """The value as JSON would give it back: dicts, lists, None for nan."""
  if isinstance(value, dict):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [plain(item) for item in value]
  if hasattr(value, 'tolist'):  # An array or a scalar of numpy or JAX.
    return plain(value.tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _whole_lines(path):
  """(line, record) of each line of a JSON-lines file but a torn last one."""
  lines = path.read_bytes().split(b'\n') if path.exists() else [b'']
  whole = []
  for number, line in enumerate(lines[:-1], 1):
    try:
      record = json.loads(line)
    except ValueError:
      record = None
    if isinstance(record, dict):
      whole.append((line + b'\n', record))
    elif number < len(lines) - 1 or lines[-1]:
      raise ValueError(f'{path}:{number} is not a JSON object: {line[:80]!r}')
  return whole


@contextlib.contextmanager
def _naming(path):
  """Puts the path into an OSError that lacks it, as a full disk's does."""
  try:
    yield
  except OSError as error:
    error.filename = error.filename or str(path)
    raise
