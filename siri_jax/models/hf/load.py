"""Hugging Face folders in: safetensors to our sharded tree.

Hugging Face stores a matrix as (out, in) and each layer by itself; ours are
(in, out), heads apart, layers stacked.
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

from siri_jax.models import hf_names, qwen2
from siri_jax.models.hf.config import FolderError

# safetensors' names of what tensors may be of.
DTYPES = {'F32': np.float32, 'F16': np.float16, 'BF16': ml_dtypes.bfloat16}
WHOLE = 'model.safetensors'
INDEX = f'{WHOLE}.index.json'
# What old versions of transformers wrote beside the parameters.
BUFFERS = '.rotary_emb.inv_freq'
PIECE = 4096  # Rows of two tensors that are compared at a time.


def fingerprint(folder):
  """sha256 over a model folder's tensors and their description."""
  folder, digest = pathlib.Path(folder), hashlib.sha256()
  for path in sorted([*folder.glob('*.safetensors'), *folder.glob('*.json')]):
    with open(path, 'rb') as file:
      digest.update(path.name.encode())
      digest.update(hashlib.file_digest(file, 'sha256').digest())
  return digest.hexdigest()


def read_parameters(folder, shape, shardings):
  """The folder's tensors as the tree of qwen2.param_shapes, float32.

  Each process reads only what its own devices hold.

  Args:
    folder: path of a Hugging Face model folder.
    shape: its qwen2.ModelConfig.
    shardings: the same tree of jax.sharding.Sharding.
  Raises:
    FolderError: see `opened`.
  """
  with opened(folder, shape) as tensors:

    def place(path, size, sharding):
      read = functools.partial(_part, tensors, path[-1].key, size)
      return jax.make_array_from_callback(size, sharding, read)

    sizes = qwen2.param_shapes(shape)
    return jax.tree.map_with_path(
      place, sizes, shardings, is_leaf=lambda x: isinstance(x, tuple)
    )


@contextlib.contextmanager
def opened(folder, shape):
  """The tensors of a folder, unread: name -> safetensors slice.

  Args:
    folder: path of a Hugging Face model folder.
    shape: its qwen2.ModelConfig.
  Raises:
    FolderError: naming every file that is missing or cannot be read; or every
      tensor that is missing, in the way, or of another shape or dtype.
  """
  found, wrong = {}, []
  with contextlib.ExitStack() as stack:
    for path in _files(folder):
      try:
        file = stack.enter_context(safetensors.safe_open(path, 'numpy'))
      except (OSError, safetensors.SafetensorError) as error:
        wrong.append(f'{path} cannot be read, fetch it again: {error}')
        continue
      own = list(file.keys())
      wrong += [f'{path} has {n} once more' for n in own if n in found]
      found |= {name: file.get_slice(name) for name in own}
    if wrong := wrong or [f'{folder}: {w}' for w in _misfits(shape, found)]:
      raise FolderError('\n'.join(wrong))
    yield found


def _part(tensors, ours, size, index):
  """The part of an array of ours at `index`, a slice for each axis."""
  chosen = [range(n)[i] for n, i in zip(size, index, strict=True)]
  if ours in hf_names.OUTSIDE:
    return _cut(tensors[hf_names.OUTSIDE[ours]], ours, size, chosen)
  part = np.empty([len(c) for c in chosen], np.float32)
  for place, layer in enumerate(chosen[0]):
    tensor = tensors[hf_names.of_layer(layer, hf_names.LAYER[ours])]
    part[place] = _cut(tensor, ours, size[1:], chosen[1:])
  return part


def _cut(tensor, ours, size, chosen):
  """Reads of one tensor what an array of ours holds at `chosen`, ranges."""
  sides = hf_names.axis_ranges(ours, len(size))

  def stretch(first, last):
    # Heads are dealt out whole, so that a side of two axes is one stretch.
    within = math.prod(size[first + 1 : last])
    return slice(chosen[first][0] * within, (chosen[first][-1] + 1) * within)

  part = tensor[tuple(stretch(*side) for side in sides)].astype(np.float32)
  lengths = [len(c) for c in chosen]
  axes = [axis for side in sides for axis in range(*side)]
  return part.reshape([lengths[a] for a in axes]).transpose(np.argsort(axes))


def _files(folder):
  """The files of a folder that hold tensors: its index's, if it has one."""
  folder = pathlib.Path(folder)
  there, index = sorted(folder.glob('*.safetensors')), folder / INDEX
  if index.is_file():
    try:
      named = set(json.loads(index.read_text())['weight_map'].values())
      there = [folder / name for name in sorted(named)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      raise FolderError(f'{index} is no index of tensors: {error!r}') from error
    if (folder / WHOLE).is_file() and folder / WHOLE not in there:
      raise FolderError(f'{folder} has {WHOLE} and an {INDEX} of other files')
  if not there:
    raise FolderError(
      f'{folder} has no *.safetensors; other formats are not read, but '
      "transformers' save_pretrained makes these of them"
    )
  return there


def _misfits(shape, tensors):
  """What is wrong with a folder's tensors, all of it."""
  wanted = hf_names.sources(shape)
  if missing := [name for name in wanted if name not in tensors]:
    yield (
      f'its *.safetensors lack {len(missing)} of {len(wanted)} tensors: '
      f'{_listed(missing)}'
    )
  others = (name for name in tensors if name not in wanted)
  if strange := [name for name in others if not _harmless(name, tensors)]:
    yield (
      f'{len(strange)} of its tensors are none of such a Qwen2: '
      f'{_listed(strange)}'
    )
  for name in (name for name in wanted if name in tensors):
    size = tuple(tensors[name].get_shape())
    dtype = tensors[name].get_dtype()
    if size != wanted[name].size:
      yield f'{name} is {size}, not {wanted[name].size}'
    if dtype not in DTYPES:
      yield f'{name} is of {dtype}, not one of {", ".join(DTYPES)}'


def _harmless(name, tensors):
  """Whether a tensor that the shape has not changes nothing."""
  if name.endswith(BUFFERS):
    return True
  # Some tools write a tied head too. As transformers does: one that is not
  # the embedding is not tied, whatever config.json says.
  embed = tensors.get(hf_names.OUTSIDE['embed'])
  if name != hf_names.OUTSIDE['head'] or embed is None:
    return False
  return _same(tensors[name], embed)


def _same(a, b):
  """Whether two tensors are alike to the bit."""
  size, dtype = a.get_shape(), a.get_dtype()
  if dtype not in DTYPES or (b.get_shape(), b.get_dtype()) != (size, dtype):
    return False
  starts = range(0, size[0], PIECE)
  ends = (min(start + PIECE, size[0]) for start in starts)
  return all(
    np.array_equal(a[start:end], b[start:end])
    for start, end in zip(starts, ends, strict=True)
  )


def _listed(found, most=5):
  """The first of several names."""
  return ', '.join(found[:most]) + ', ...' * (len(found) > most)
