"""Reads a push, and checks all of it before anybody gets to see an array.

Knows nothing of vLLM or torch.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re

import numpy as np
import orbax.checkpoint as ocp

from siri_jax import checkpoint

NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9]{6,}')
ARRAYS, MANIFEST = 'arrays', 'manifest.json'
THREADS = 8  # Arrays looked at at a time.


class RefusedError(ValueError):
  """A push that is not taken; the weights from before go on serving."""


def read(root, name, digest, wanted):
  """The arrays of a push.

  Args:
    root: folder that pushes may lie in.
    name: of a folder right in it.
    digest: sha256 of the push's manifest.
    wanted: name of each array -> (shape, dtype's name).
  Returns:
    dict: name -> numpy array.
  Raises:
    RefusedError: it lies elsewhere, is not what was written, or is not the
      model's; says which.
  """
  folder = allowed(root, name)
  try:
    data = (folder / MANIFEST).read_bytes()
  except OSError as error:
    raise RefusedError(f'{folder / MANIFEST}: {error.strerror}') from error
  if hashlib.sha256(data).hexdigest() != digest:
    raise RefusedError(f'{folder / MANIFEST} is not the one that was announced')
  manifest = json.loads(data)
  _refuse_other(folder, manifest['arrays'], wanted)
  _refuse_damage(folder / ARRAYS, manifest['files'])
  arrays = _restored(folder / ARRAYS, wanted)
  _refuse_infinite(folder, arrays)
  return arrays


def allowed(root, name):
  """The folder of a push.

  Raises:
    RefusedError: the name is none, or leads out of the root.
  """
  root = os.path.realpath(root)
  path = os.path.join(root, str(name))
  if (
    not NAME.fullmatch(str(name))
    or os.path.realpath(path) != path
    or os.path.commonpath([root, path]) != root
  ):
    raise RefusedError(f'{name!r} is not the name of a push in {root}')
  return pathlib.Path(path)


def _refuse_other(folder, arrays, wanted):
  """Raises where the arrays are not those of the model."""
  found = {k: (tuple(shape), dtype) for k, (shape, dtype) in arrays.items()}
  wrong = [
    f'{name} {found.get(name)} where the model has {wanted.get(name)}'
    for name in {**wanted, **found}
    if found.get(name) != wanted.get(name)
  ]
  if wrong:
    listed = '; '.join(wrong[:5])
    raise RefusedError(
      f'{folder}: {len(wrong)} arrays are of another model or dtype: {listed}'
    )


def _refuse_damage(folder, digests):
  """Raises where files are not those that were written."""
  paths = [path for path in folder.rglob('*') if not path.is_dir()]
  names = {str(path.relative_to(folder)): path for path in paths}
  links = [n for n, path in names.items() if path.is_symlink()]
  wrong = links or sorted(names.keys() ^ digests.keys())
  if not wrong:
    found = checkpoint.file_digests(folder)
    wrong = [n for n in names if found[n] != digests[n]]
  if wrong:
    raise RefusedError(
      f'{folder}: {len(wrong)} files are not those that were written: '
      f'{", ".join(wrong[:5])}'
    )


def _restored(folder, wanted):
  """All arrays, read by Orbax into the host's memory."""
  how = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in wanted}
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
  with ocp.Checkpointer(handler) as reader:
    return reader.restore(folder, args=ocp.args.PyTreeRestore(restore_args=how))


def _refuse_infinite(folder, arrays):
  """Raises where a number is not finite."""
  with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    fine = pool.map(lambda x: bool(np.isfinite(x).all()), arrays.values())
    wrong = [
      name for name, is_fine in zip(arrays, fine, strict=True) if not is_fine
    ]
  if wrong:
    raise RefusedError(
      f'{folder}: {len(wrong)} arrays are not finite: {", ".join(wrong[:5])}'
    )
