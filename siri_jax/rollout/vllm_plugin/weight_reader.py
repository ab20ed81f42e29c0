"""Reads a push after checking all of it; independent of vLLM and torch.

Several readers share the work. Each checks the sums of some files and maps its
slice of each array. A push is valid if every reader accepts it.
"""

import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import re
from typing import NamedTuple

import ml_dtypes  # noqa: F401  Registers bfloat16 with numpy.
import numpy as np

from siri_jax.runtime import checkpoint

NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9]{6,}')
ARRAYS, MANIFEST = 'arrays', 'manifest.json'
THREADS = 8  # Arrays read at a time.
PIECE = 256  # Rows that are checked at a time, so that they stay in the cache.


class PushError(ValueError):
  """A push is refused; the server keeps its old weights."""


class Checked(NamedTuple):
  """A push that was checked.

  Attributes:
    folder: path of the push.
    arrays: name -> numpy array of the whole shape. Only the wanted part is
      read; the rest may be undefined.
    files: state of the files when they were checked.
  """

  folder: pathlib.Path
  arrays: dict[str, np.ndarray]
  files: dict[str, tuple[int, ...]]

  def refuse_changes(self):
    """Raises PushError if a file has changed since the check."""
    found = _states(self.folder / ARRAYS)
    changed = [
      name
      for name in {**self.files, **found}
      if self.files.get(name) != found.get(name)
    ]
    if changed:
      raise PushError(
        f'{self.folder}: {len(changed)} files have changed since they were '
        f'checked: {", ".join(sorted(changed)[:5])}'
      )


class Wanted(NamedTuple):
  """An array of the model.

  Attributes:
    shape: shape of the whole array.
    dtype: name of its dtype.
    part: slices, one for each axis, that this reader reads.
  """

  shape: tuple[int, ...]
  dtype: str
  part: tuple[slice, ...]


def read(root, name, digest, wanted, reader, readers):
  """Checks a push.

  Args:
    root: folder of pushes.
    name: name of a folder directly in it.
    digest: sha256 of the push's manifest.
    wanted: name of each array -> Wanted.
    reader: index of this reader.
    readers: number of readers.
  Returns:
    Checked.
  Raises:
    PushError: the push is outside of root, damaged, or of another model.
  """
  folder = allowed(root, name)
  try:
    data = (folder / MANIFEST).read_bytes()
  except OSError as error:
    raise PushError(f'{folder / MANIFEST}: {error.strerror}') from error
  if hashlib.sha256(data).hexdigest() != digest:
    raise PushError(f'{folder / MANIFEST} does not have the sha256 {digest}')
  manifest = json.loads(data)
  _refuse_other(folder, manifest['arrays'], wanted)
  states = _states(folder / ARRAYS)
  _refuse_damage(folder / ARRAYS, manifest['files'], reader, readers)
  arrays = _restored(folder / ARRAYS, wanted)
  _refuse_infinite(folder, arrays, wanted)
  return Checked(folder, arrays, states)


def allowed(root, name):
  """The folder of a push.

  Raises:
    PushError: the name is invalid, or leads out of the root.
  """
  root = os.path.realpath(root)
  path = os.path.join(root, str(name))
  if (
    not NAME.fullmatch(str(name))
    or os.path.realpath(path) != path
    or os.path.commonpath([root, path]) != root
  ):
    raise PushError(f'{name!r} is not the name of a push in {root}')
  return pathlib.Path(path)


def _refuse_other(folder, arrays, wanted):
  """Raises if the arrays are not those of the model."""
  found = {k: (tuple(shape), dtype) for k, (shape, dtype) in arrays.items()}
  wanted = {k: (each.shape, each.dtype) for k, each in wanted.items()}
  wrong = [
    f'{name} is {found.get(name)}, the model has {wanted.get(name)}'
    for name in {**wanted, **found}
    if found.get(name) != wanted.get(name)
  ]
  if wrong:
    listed = '; '.join(wrong[:5])
    raise PushError(
      f'{folder}: {len(wrong)} arrays are of another model or dtype: {listed}'
    )


def _states(folder):
  """What every change of a file changes, by relative path."""
  found = {}
  for path in folder.rglob('*'):
    if not path.is_dir():
      s = path.stat()
      state = s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns
      found[str(path.relative_to(folder))] = state
  return found


def _refuse_damage(folder, expected, reader, readers):
  """Raises if files differ from the manifest."""
  paths = [path for path in folder.rglob('*') if not path.is_dir()]
  names = {str(path.relative_to(folder)): path for path in paths}
  links = [n for n, path in names.items() if path.is_symlink()]
  wrong = links or sorted(names.keys() ^ expected.keys())
  if not wrong:
    share = slice(reader, None, readers)
    found = checkpoint.checksums(folder, share)
    wrong = [n for n, each in found.items() if each != expected[n]]
  if wrong:
    raise PushError(
      f'{folder}: {len(wrong)} files differ from the manifest: '
      f'{", ".join(wrong[:5])}'
    )


def _restored(folder, wanted):
  """All arrays; only the pages of the wanted parts are touched."""

  def read_one(name):
    return _array(folder / name, wanted[name])

  with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    return dict(zip(wanted, pool.map(read_one, wanted), strict=True))


def _array(folder, wanted):
  """A memory-mapped array of Orbax: uncompressed Zarr, a file per chunk.

  Orbax itself would copy the whole array. An array of one chunk is the mapping.
  """
  chunks = json.loads((folder / '.zarray').read_bytes())['chunks']

  def mapped(*place):
    file = folder / '.'.join(map(str, place))
    # 'c': torch wants memory that can be written to; the file stays.
    return np.memmap(file, wanted.dtype, 'c', shape=tuple(chunks))

  if tuple(chunks) == wanted.shape:
    return mapped(*[0] * len(chunks))
  axes = [*zip(wanted.part, chunks, strict=True)]
  whole = np.empty(wanted.shape, wanted.dtype)
  met = (range(part.start // n, -(-part.stop // n)) for part, n in axes)
  for place in itertools.product(*met):
    here, inside = [], []
    for i, (part, n) in zip(place, axes, strict=True):
      first, last = max(part.start, i * n), min(part.stop, (i + 1) * n)
      here.append(slice(first, last))
      inside.append(slice(first - i * n, last - i * n))
    whole[*here] = mapped(*place)[*inside]
  return whole


def _refuse_infinite(folder, arrays, wanted):
  """Raises if a number is not finite."""

  def is_fine(name):
    part = arrays[name][wanted[name].part]
    return all(
      _is_finite(part[i : i + PIECE]) for i in range(0, len(part), PIECE)
    )

  with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    fine = pool.map(is_fine, arrays)
    wrong = [name for name, good in zip(arrays, fine, strict=True) if not good]
  if wrong:
    raise PushError(
      f'{folder}: {len(wrong)} arrays are not finite: {", ".join(wrong[:5])}'
    )


def _is_finite(array):
  """Whether all numbers are finite."""
  if array.dtype.name != 'bfloat16':
    return bool(np.isfinite(array).all())
  # numpy takes ten times as long for bfloat16. Infinities and NaN have all
  # bits of the exponent set.
  return bool(((array.view(np.uint16) & 0x7FFF) < 0x7F80).all())
