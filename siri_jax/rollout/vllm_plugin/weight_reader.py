"""Reads a push after checking all of it; independent of vLLM and torch.

Several readers share the work. Each checks some files and maps its slice of
each tensor. A push is valid if every reader accepts it.
"""

import concurrent.futures
import functools
import hashlib
import itertools
import json
import os
import pathlib
import re
import stat
from typing import NamedTuple

import ml_dtypes  # noqa: F401  Registers bfloat16 with numpy.
import numpy as np

from siri_jax.models import hf_names
from siri_jax.runtime import files

NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9]{6,}')
ARRAYS, MANIFEST = 'arrays', 'manifest.json'
ZARRAY = '.zarray'  # Zarr's metadata of an array, beside its chunks.
THREADS = 8  # Files read at a time.
PIECE = 2**18  # Bytes that are checked at a time: they stay in a core's cache.


class PushError(ValueError):
  """A push is refused; the server keeps its old weights."""


class Checked(NamedTuple):
  """A push that was checked.

  Attributes:
    folder: path of the push.
    arrays: name -> numpy array of the tensor's whole shape. Only the wanted
      part is read; the rest may be undefined.
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
  """A tensor of the model.

  Attributes:
    source: its array in a push, its layer there, and its shape.
    dtype: name of its dtype.
    part: slices, one for each axis, that this reader reads.
  """

  source: hf_names.Source
  dtype: str
  part: tuple[slice, ...]


def read(root, name, digest, wanted, reader, readers):
  """Checks a push.

  Args:
    root: folder of pushes.
    name: name of a folder directly in it.
    digest: sha256 of the push's manifest.
    wanted: name of each tensor -> Wanted.
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
  _refuse_damage(folder, manifest, states, slice(reader, None, readers))
  return Checked(folder, _mapped(folder / ARRAYS, wanted), states)


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
  sizes = hf_names.exported_shapes([x.source for x in wanted.values()])
  dtypes = {each.source.name: each.dtype for each in wanted.values()}
  model = {name: (size, dtypes[name]) for name, size in sizes.items()}
  wrong = [
    f'{name} is {found.get(name)}, the model has {model.get(name)}'
    for name in {**model, **found}
    if found.get(name) != model.get(name)
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
      s = path.stat(follow_symlinks=False)
      state = s.st_mode, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns
      found[str(path.relative_to(folder))] = state
  return found


def _refuse_damage(folder, manifest, states, share):
  """Raises if files differ from the manifest, or have numbers not finite."""
  sums, arrays = manifest['files'], manifest['arrays']
  wrong = [n for n, state in states.items() if not stat.S_ISREG(state[0])]
  wrong = wrong or sorted(states.keys() ^ sums.keys())
  infinite = set()
  if not wrong:
    mine = [*sums][share]
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
      found = pool.map(lambda n: _look(folder / ARRAYS, n, arrays), mine)
      found = dict(zip(mine, found, strict=True))
    wrong = [n for n, (total, _) in found.items() if total != sums[n]]
    infinite = {_array_of(n) for n, (_, fine) in found.items() if not fine}
  if wrong:
    raise PushError(
      f'{folder}: {len(wrong)} files differ from the manifest: '
      f'{", ".join(wrong[:5])}'
    )
  if infinite:
    raise PushError(
      f'{folder}: {len(infinite)} arrays are not finite: '
      f'{", ".join(sorted(infinite)[:5])}'
    )


def _array_of(name):
  """The array that a file belongs to, by its path in a push."""
  return name.partition('/')[0]


def _look(folder, name, arrays):
  """A file's sum, and whether all its numbers are finite, in one pass.

  It is read, not mapped: a file that is cut short would end the process.
  """
  _, dtype = arrays.get(_array_of(name), (None, None))
  numbers = dtype is not None and not name.endswith(ZARRAY)
  total, fine, piece = files.Checksum(), True, np.empty(PIECE, np.uint8)
  with open(folder / name, 'rb', buffering=0) as file:
    while length := file.readinto(piece):
      total.update(piece[:length])
      if numbers:
        whole = length - length % np.dtype(dtype).itemsize
        fine &= _is_finite(piece[:whole].view(dtype))
  return total.hexdigest(), fine


def _is_finite(array):
  """Whether all numbers are finite.

  Ordered as integers, infinities and NaN come after all numbers of their sign;
  negative ones come last without a sign bit. Two maxima are ten times as fast
  as numpy's isfinite for bfloat16.
  """
  size = array.dtype.itemsize
  positive, negative = np.array([np.inf, -np.inf], array.dtype)
  return all(
    array.view(f'{kind}{size}').max(initial=0) < limit.view(f'{kind}{size}')
    for kind, limit in (('i', positive), ('u', negative))
  )


def _mapped(folder, wanted):
  """All tensors; only the pages of the wanted parts are touched.

  Orbax itself would copy the whole arrays.
  """
  chunks = functools.cache(lambda name, dtype: _chunks(folder / name, dtype))
  return {
    name: _tensor(chunks(each.source.name, each.dtype), each)
    for name, each in wanted.items()
  }


def _chunks(folder, dtype):
  """The chunks of an array of Orbax: uncompressed Zarr, a file for each.

  Returns:
    Their size, and a dict: place in the grid -> memory-mapped array.
  """
  size = tuple(json.loads((folder / ZARRAY).read_bytes())['chunks'])
  found = {}
  for file in folder.iterdir():
    if file.name != ZARRAY:
      place = tuple(map(int, file.name.split('.')))
      # 'c': torch wants memory that can be written to; the file stays.
      found[place] = np.memmap(file, dtype, 'c', shape=size)
  return size, found


def _tensor(chunks, wanted):
  """A tensor: a view of the chunk that has it, or else put together."""
  size, mapped = chunks
  if wanted.source.layer is not None:
    row, inside = divmod(wanted.source.layer, size[0])
    size = size[1:]
    mapped = {
      place[1:]: chunk[inside]
      for place, chunk in mapped.items()
      if place[0] == row
    }
  if size == wanted.source.size:
    return mapped[(0,) * len(size)]
  whole = np.empty(wanted.source.size, wanted.dtype)
  axes = [*zip(wanted.part, size, strict=True)]
  met = (range(part.start // n, -(-part.stop // n)) for part, n in axes)
  for place in itertools.product(*met):
    here, inside = [], []
    for i, (part, n) in zip(place, axes, strict=True):
      first, last = max(part.start, i * n), min(part.stop, (i + 1) * n)
      here.append(slice(first, last))
      inside.append(slice(first - i * n, last - i * n))
    whole[*here] = mapped[place][*inside]
  return whole
