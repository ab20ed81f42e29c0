"""Loads Hugging Face folders: safetensors to our sharded tree.

Hugging Face stores a matrix as (out, in) and each layer in its own tensors. Our
arrays are (in, out), with an axis for heads and one for layers.
"""

import contextlib
import functools
import hashlib
import json
import math
import pathlib

import jax
import ml_dtypes
import numpy as np
import safetensors

from siri_jax.models import decoder, hf_names
from siri_jax.models.hf.config import FolderError

# safetensors' names of the allowed dtypes.
DTYPES = {'F32': np.float32, 'F16': np.float16, 'BF16': ml_dtypes.bfloat16}
WHOLE = 'model.safetensors'
INDEX = f'{WHOLE}.index.json'
# Buffers that old versions of transformers wrote with the parameters.
BUFFERS = '.rotary_emb.inv_freq'
PIECE = 4096  # Rows of two tensors to compare at a time.


def fingerprint(folder):
  """sha256 over a model folder's tensors and their description."""
  folder, digest = pathlib.Path(folder), hashlib.sha256()
  for path in sorted([*folder.glob('*.safetensors'), *folder.glob('*.json')]):
    with open(path, 'rb') as file:
      digest.update(path.name.encode())
      digest.update(hashlib.file_digest(file, 'sha256').digest())
  return digest.hexdigest()


def read_parameters(folder, shape, shardings, dtype=np.float32):
  """The folder's tensors as the tree of decoder.param_shapes.

  Each process reads only the shards of its own devices.

  Args:
    folder: path of a Hugging Face model folder.
    shape: its decoder.ModelConfig.
    shardings: the same tree of jax.sharding.Sharding.
    dtype: dtype of the parameters.
  Raises:
    FolderError: see `opened`; or naming every tensor with a number that is not
      finite, of those that this process reads.
  """
  spoilt = {}  # In order, each once.
  with opened(folder, shape) as tensors:

    def place(path, size, sharding):
      read = functools.partial(_part, tensors, path[-1].key, size, spoilt)
      return jax.make_array_from_callback(
        size, sharding, lambda index: read(index).astype(dtype, copy=False)
      )

    sizes = decoder.param_shapes(shape)
    params = jax.tree.map_with_path(
      place, sizes, shardings, is_leaf=lambda x: isinstance(x, tuple)
    )
  if spoilt:
    raise FolderError(
      f'{folder}: {len(spoilt)} of its tensors hold numbers that are not '
      f'finite: {_listed([*spoilt])}; fetch it again, or take the weights from '
      'before they were spoilt'
    )
  return params


@contextlib.contextmanager
def opened(folder, shape):
  """Opens a folder's tensors without reading: name -> safetensors slice.

  Args:
    folder: path of a Hugging Face model folder.
    shape: its decoder.ModelConfig.
  Raises:
    FolderError: names every file that is missing or cannot be read; or every
      tensor that is missing, unknown, or of a wrong shape or dtype.
  """
  found, wrong = {}, []
  with contextlib.ExitStack() as stack:
    for path in _files(folder):
      try:
        file = stack.enter_context(safetensors.safe_open(path, 'numpy'))
      except (OSError, safetensors.SafetensorError) as error:
        wrong.append(f'{path} cannot be read; download it again: {error}')
        continue
      own = list(file.keys())
      wrong += [
        f'{path} and another file both have {n}; delete one of them'
        for n in own
        if n in found
      ]
      found |= {name: file.get_slice(name) for name in own}
    if wrong := wrong or [f'{folder}: {w}' for w in _misfits(shape, found)]:
      raise FolderError('\n'.join(wrong))
    yield found


def _part(tensors, ours, size, spoilt, index):
  """The part of our array at `index`, a slice for each axis.

  Notes in `spoilt` which tensors are not finite there.
  """
  chosen = [range(n)[i] for n, i in zip(size, index, strict=True)]

  def cut(name, size, chosen):
    part = _cut(tensors[name], ours, size, chosen)
    spoilt.update({} if np.isfinite(part).all() else {name: True})
    return part

  if ours in hf_names.OUTSIDE:
    return cut(hf_names.OUTSIDE[ours], size, chosen)
  part = np.empty([len(c) for c in chosen], np.float32)
  for place, layer in enumerate(chosen[0]):
    name = hf_names.of_layer(layer, hf_names.LAYER[ours])
    part[place] = cut(name, size[1:], chosen[1:])
  return part


def _cut(tensor, ours, size, chosen):
  """The part of one tensor for the ranges `chosen` of our array's axes."""
  sides = hf_names.axis_ranges(ours, len(size))

  def stretch(first, last):
    # Heads are never split, so that two axes of ours are one range of theirs.
    within = math.prod(size[first + 1 : last])
    return slice(chosen[first][0] * within, (chosen[first][-1] + 1) * within)

  part = tensor[tuple(stretch(*side) for side in sides)].astype(np.float32)
  lengths = [len(c) for c in chosen]
  axes = [axis for side in sides for axis in range(*side)]
  return part.reshape([lengths[a] for a in axes]).transpose(np.argsort(axes))


def _files(folder):
  """The files of a folder that hold tensors; those of its index, if any."""
  folder = pathlib.Path(folder)
  there, index = sorted(folder.glob('*.safetensors')), folder / INDEX
  if index.is_file():
    try:
      named = set(json.loads(index.read_text())['weight_map'].values())
      there = [folder / name for name in sorted(named)]
    except (
      *(ValueError, KeyError, TypeError, AttributeError),
      RecursionError,
    ) as error:
      raise FolderError(
        f'{index} is not an index of tensors: {error!r}'
      ) from error
    if (folder / WHOLE).is_file() and folder / WHOLE not in there:
      raise FolderError(
        f'{folder} has {WHOLE} and an {INDEX} of other files; delete one'
      )
  if not there:
    raise FolderError(
      f'{folder} has no *.safetensors; convert other formats with '
      "transformers' save_pretrained"
    )
  return there


def _misfits(shape, tensors):
  """All faults of a folder's tensors."""
  wanted = hf_names.sources(shape)
  if missing := [name for name in wanted if name not in tensors]:
    yield (
      f'its *.safetensors lack {len(missing)} of {len(wanted)} tensors: '
      f'{_listed(missing)}'
    )
  others = (name for name in tensors if name not in wanted)
  if strange := [name for name in others if not _harmless(name, tensors)]:
    yield (
      f'{len(strange)} of its tensors are not in a model of this config.json: '
      f'{_listed(strange)}'
    )
  for name in (name for name in wanted if name in tensors):
    size = tuple(tensors[name].get_shape())
    dtype = tensors[name].get_dtype()
    if size != wanted[name].size:
      yield f'{name} is {size}, not {wanted[name].size}'
    if dtype not in DTYPES:
      yield f'{name} has dtype {dtype}, not one of {", ".join(DTYPES)}'


def _harmless(name, tensors):
  """Whether an unknown tensor can be ignored."""
  if name.endswith(BUFFERS):
    return True
  # Some tools also write a tied head. As in transformers, a head that differs
  # from the embedding is not tied, even if config.json says so.
  embed = tensors.get(hf_names.OUTSIDE['embed'])
  if name != hf_names.OUTSIDE['head'] or embed is None:
    return False
  return _same(tensors[name], embed)


def _same(a, b):
  """Whether two tensors are equal bit for bit."""
  size, dtype = a.get_shape(), a.get_dtype()
  if dtype not in DTYPES or (b.get_shape(), b.get_dtype()) != (size, dtype):
    return False
  starts = range(0, size[0], PIECE)
  ends = (min(start + PIECE, size[0]) for start in starts)
  return all(
    a[start:end].tobytes() == b[start:end].tobytes()
    for start, end in zip(starts, ends, strict=True)
  )


def _listed(found, most=5):
  """The first of several names."""
  return ', '.join(found[:most]) + ', ...' * (len(found) > most)
