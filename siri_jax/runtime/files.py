"""Atomic writes of files and JSON, and records as JSON lines."""

import contextlib
import hashlib
import json
import math
import os
import pathlib

import xxhash

# As fast as memory. It shows damage; it is no protection against somebody who
# forges a file.
Checksum = xxhash.xxh3_128


def write_atomically(path, data):
  """Writes a file so that a reader sees the old content or the new one.

  Only one process may write at a time: the one that locked the run's folder.
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


def refuse_backslash(folder):
  """Raises where a folder's whole path has a backslash.

  Orbax's store reads it as a slash, and so would write into another folder.

  Raises:
    ValueError: it has; names it.
  """
  whole = str(pathlib.Path(folder).resolve())
  if '\\' in whole:
    raise ValueError(f'{whole}: a folder with a backslash in its name')


def write_json(path, value):
  """Writes an indented JSON file atomically."""
  write_atomically(path, to_json(value, indent=2).encode() + b'\n')


def read_object(path):
  """The object of a JSON file.

  Raises:
    OSError: the file cannot be read.
    ValueError: it is not UTF-8, not JSON or not an object.
  """
  try:
    found = json.loads(path.read_text())
  except (ValueError, RecursionError) as error:
    raise ValueError(f'not JSON: {error}') from None
  if not isinstance(found, dict):
    raise ValueError('not a JSON object')
  return found


def sha256(path):
  """The hexadecimal SHA-256 of a file, which may be larger than memory."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def checksum(path):
  """The hexadecimal Checksum of a file."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, Checksum).hexdigest()


def append(path, record):
  """Adds one record to a JSON-lines file, keys in the order given."""
  with _naming(path), open(path, 'ab') as file:
    file.write(to_json(record).encode() + b'\n')


def read_records(path):
  """Records of a JSON-lines file, without an incomplete last line.

  A killed process, or one that is just writing, leaves such a line.

  Returns:
    list of dicts; empty if there is no file.
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
  """Removes an incomplete last line, which a killed process left."""
  whole = sum(len(line) for line, _ in _whole_lines(path))
  if whole < path.stat().st_size:
    os.truncate(path, whole)


def to_json(value, **style):
  """Strict JSON of plain values and arrays; NaN and infinity become null."""
  return json.dumps(plain(value), allow_nan=False, **style)


def plain(value):
  """The value as read back from JSON: dicts, lists, None for NaN."""
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
  """(line, record) of each complete line of a JSON-lines file."""
  lines = path.read_bytes().split(b'\n') if path.exists() else [b'']
  whole = []
  for number, line in enumerate(lines[:-1], 1):
    try:
      record = json.loads(line)
    except (ValueError, RecursionError):
      record = None
    if isinstance(record, dict):
      whole.append((line + b'\n', record))
    elif number < len(lines) - 1 or lines[-1]:
      raise ValueError(f'{path}:{number} is not a JSON object: {line[:80]!r}')
  return whole


@contextlib.contextmanager
def _naming(path):
  """Adds the path to an OSError without it, such as that of a full disk."""
  try:
    yield
  except OSError as error:
    error.filename = error.filename or str(path)
    raise
