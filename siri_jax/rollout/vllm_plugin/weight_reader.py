"""Reads a push, and checks all of it before anybody gets to see an array.

Knows nothing of vLLM or torch. Several readers share the work: each looks at
its share of the files' sums and reads its part of each array, and a push is
good where all of them say so.
"""

import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import re
from typing import NamedTuple

import ml_dtypes  # noqa: F401  Makes bfloat16 a dtype of numpy's.
import numpy as np

from siri_jax.runtime import checkpoint

NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9]{6,}')
ARRAYS, MANIFEST = 'arrays', 'manifest.json'
THREADS = 8  # Arrays looked at at a time.


class PushError(ValueError):
  """A push that is refused; the weights before it keep serving."""


class Wanted(NamedTuple):
  """An array of the model.

  Attributes:
    shape: of the whole array.
    dtype: its name.
    part: slices, one an axis: what this reader needs of it.
  """

  shape: tuple[int, ...]
  dtype: str
  part: tuple[slice, ...]


def read(root, name, digest, wanted, reader, readers):
  """The arrays of a push.

  Args:
    root: folder that pushes may lie in.
    name: of a folder right in it.
    digest: sha256 of the push's manifest.
    wanted: name of each array -> Wanted.
    reader: index of this reader,
    readers: of so many.
  Returns:
    dict: name -> numpy array of the whole shape, of which no more than the
      wanted part was read; the rest is anything.
  Raises:
    PushError: it lies elsewhere, is not what was written, or is not the
      model's; says which.
  """
  folder = allowed(root, name)
  try:
    data = (folder / MANIFEST).read_bytes()
  except OSError as error:
    raise PushError(f'{folder / MANIFEST}: {error.strerror}') from error
  if hashlib.sha256(data).hexdigest() != digest:
    raise PushError(f'{folder / MANIFEST} is not the one that was announced')
  manifest = json.loads(data)
  _refuse_other(folder, manifest['arrays'], wanted)
  _refuse_damage(folder / ARRAYS, manifest['files'], reader, readers)
  arrays = _restored(folder / ARRAYS, wanted)
  _refuse_infinite(folder, arrays, wanted)
  return arrays


def allowed(root, name):
  """The folder of a push.

  Raises:
    PushError: the name is none, or leads out of the root.
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
  """Raises where the arrays are not those of the model."""
  found = {k: (tuple(shape), dtype) for k, (shape, dtype) in arrays.items()}
  wanted = {k: (each.shape, each.dtype) for k, each in wanted.items()}
  wrong = [
    f'{name} {found.get(name)} where the model has {wanted.get(name)}'
    for name in {**wanted, **found}
    if found.get(name) != wanted.get(name)
  ]
  if wrong:
    listed = '; '.join(wrong[:5])
    raise PushError(
      f'{folder}: {len(wrong)} arrays are of another model or dtype: {listed}'
    )


def _refuse_damage(folder, digests, reader, readers):
  """Raises where files are not those that were written."""
  paths = [path for path in folder.rglob('*') if not path.is_dir()]
  names = {str(path.relative_to(folder)): path for path in paths}
  links = [n for n, path in names.items() if path.is_symlink()]
  wrong = links or sorted(names.keys() ^ digests.keys())
  if not wrong:
    share = slice(reader, None, readers)
    found = checkpoint.file_digests(folder, share)
    wrong = [n for n, digest in found.items() if digest != digests[n]]
  if wrong:
    raise PushError(
      f'{folder}: {len(wrong)} files are not those that were written: '
      f'{", ".join(wrong[:5])}'
    )


def _restored(folder, wanted):
  """All arrays, of which no page is touched but in their parts."""

  def read_one(name):
    return _array(folder / name, wanted[name])

  with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    return dict(zip(wanted, pool.map(read_one, wanted), strict=True))


def _array(folder, wanted):
  """An array that Orbax wrote: uncompressed Zarr, a file for each chunk.

  Orbax itself would read the whole of it.
  """
  chunks = json.loads((folder / '.zarray').read_bytes())['chunks']
  axes = [*zip(wanted.part, chunks, strict=True)]
  whole = np.empty(wanted.shape, wanted.dtype)
  met = (range(part.start // n, -(-part.stop // n)) for part, n in axes)
  for place in itertools.product(*met):
    here, inside = [], []
    for i, (part, n) in zip(place, axes, strict=True):
      first, last = max(part.start, i * n), min(part.stop, (i + 1) * n)
      here.append(slice(first, last))
      inside.append(slice(first - i * n, last - i * n))
    file = folder / '.'.join(map(str, place))
    chunk = np.memmap(file, whole.dtype, 'r', shape=tuple(chunks))
    whole[*here] = chunk[*inside]
  return whole


def _refuse_infinite(folder, arrays, wanted):
  """Raises where a number is not finite."""

  def is_fine(name):
    return bool(np.isfinite(arrays[name][wanted[name].part]).all())

  with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    fine = pool.map(is_fine, arrays)
    wrong = [name for name, good in zip(arrays, fine, strict=True) if not good]
  if wrong:
    raise PushError(
      f'{folder}: {len(wrong)} arrays are not finite: {", ".join(wrong[:5])}'
    )
