"""Writes Hugging Face folders: parameters and the files of a base model.

A tensor gets its dtype in the base model, so that a model that was only read is
written back bit for bit. The base's config and tokenizer are copied byte for
byte, because older libraries misread the files of newer ones.
"""

import contextlib
import json
import math
import pathlib
import shutil
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
import safetensors.numpy

from siri_jax.models import decoder, hf_names, lora
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import load

SHARD_BYTES = 5 * 10**9  # Most bytes of a file, as in the Hub's tools.
ABOUT = 'siri_jax.json'  # The file with the origin of the parameters.
COPIED = ('*.json', '*.txt', '*.model', '*.jinja', 'LICENSE*')


class Frame(NamedTuple):
  """A model folder without its parameters.

  Attributes:
    shape: decoder.ModelConfig.
    dtypes: tensor name -> numpy dtype to write it in.
    files: file name -> bytes.
  """

  shape: object
  dtypes: Mapping[str, np.dtype]
  files: Mapping[str, bytes]


def frame_of(base, shape):
  """The Frame of a base model's folder.

  Raises:
    config.FolderError: its tensors are not those of the shape.
  """
  with load.opened(base, shape) as tensors:
    dtypes = {
      name: np.dtype(load.DTYPES[tensors[name].get_dtype()])
      for name in hf_names.sources(shape)
    }
  return Frame(shape, dtypes, small_files(base))


def frame_without_base(shape, tokenizer):
  """The Frame of a policy without a base model, in float32.

  Args:
    shape: decoder.ModelConfig.
    tokenizer: path of a tokenizer folder, or '' if the task has none.
  """
  files = small_files(tokenizer) if tokenizer else {}
  config = _json(hf_config.config_of(shape)).encode()
  dtypes = dict.fromkeys(hf_names.sources(shape), np.dtype(np.float32))
  return Frame(shape, dtypes, {**files, 'config.json': config})


def small_files(folder):
  """A folder's config, tokenizer and licence: file name -> bytes."""
  return {
    path.name: path.read_bytes()
    for pattern in COPIED
    for path in sorted(pathlib.Path(folder).glob(pattern))
    if not path.name.endswith('.index.json')
  }


def write_folder(folder, params, frame, about, *, shard_bytes, tell):
  """Writes a model folder atomically.

  Args:
    folder: path of the new folder.
    params: tree of decoder.param_shapes, or with adapters of lora.joined, on
      this process's devices.
    frame: Frame.
    about: dict for siri_jax.json, the origin of the parameters.
    shard_bytes: most bytes of one file of tensors.
    tell: called with the number of tensors of each file.
  Raises:
    FileExistsError: the folder exists.
    OSError: it cannot be written; a partial folder is deleted.
  """
  with _drafted(folder, about) as draft:
    _fill(draft, params, frame, shard_bytes, tell)


def write_adapters(folder, layers, adapters, base, about):
  """Writes adapters in PEFT's format, atomically; errors of `write_folder`.

  Args:
    folder: path of the new folder.
    layers: the adapters of lora.param_shapes, float32 arrays by name.
    adapters: lora.Adapters.
    base: path or name of the base model.
    about: dict for siri_jax.json.
  """
  names = [
    name for name, ours in lora.TARGETS.items() if ours in adapters.targets
  ]
  config = {
    'peft_type': 'LORA',
    'task_type': 'CAUSAL_LM',
    'base_model_name_or_path': base,
    'r': adapters.rank,
    'lora_alpha': adapters.alpha,
    'target_modules': names,
    'inference_mode': True,
  }
  tensors = hf_names.to_peft(jax.tree.map(np.asarray, layers))
  with _drafted(folder, about) as draft:
    (draft / 'adapter_config.json').write_text(_json(config))
    _save(draft / 'adapter_model.safetensors', tensors)


@contextlib.contextmanager
def _drafted(folder, about):
  """A context with a draft of a folder, which it becomes at the end."""
  folder = pathlib.Path(folder)
  if folder.exists():
    raise FileExistsError(f'{folder} exists: delete it, or name another folder')
  draft = folder.with_name(f'.{folder.name}.draft')
  shutil.rmtree(draft, ignore_errors=True)
  try:
    draft.mkdir(parents=True)
    (draft / ABOUT).write_text(_json(about))
    yield draft
    draft.rename(folder)
  except safetensors.SafetensorError as error:
    raise OSError(f'{folder} cannot be written: {error}') from error
  finally:
    shutil.rmtree(draft, ignore_errors=True)  # The disk may be full.


def _fill(draft, params, frame, shard_bytes, tell):
  """Writes the files of a model folder; see `write_folder`."""
  for name, data in frame.files.items():
    (draft / name).write_bytes(data)
  files = split(frame, shard_bytes)
  for name, tensors in files.items():
    held = {tensor: _read(params, frame, tensor) for tensor in tensors}
    _save(draft / name, held)
    tell(len(held))
  if len(files) > 1:
    total = sum(_bytes(frame, tensor) for tensor in frame.dtypes)
    where = {tensor: name for name in files for tensor in files[name]}
    index = {'metadata': {'total_size': total}, 'weight_map': where}
    (draft / load.INDEX).write_text(_json(index))


def _save(path, tensors):
  """Writes a file of tensors that any user can read."""
  # save_file ignores strides.
  whole = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
  safetensors.numpy.save_file(whole, path, metadata={'format': 'pt'})
  # safetensors makes files that other users, such as a server's, cannot read.
  path.chmod((path.parent / ABOUT).stat().st_mode)


def split(frame, shard_bytes):
  """Assigns tensors to files: file name -> names of its tensors.

  Args:
    frame: Frame.
    shard_bytes: most bytes of one file, unless one tensor has more.
  """
  shards, room = [], 0
  for tensor in frame.dtypes:
    if _bytes(frame, tensor) > room:
      shards.append([])
      room = shard_bytes
    shards[-1].append(tensor)
    room -= _bytes(frame, tensor)
  if len(shards) == 1:
    return {load.WHOLE: shards[0]}
  return {
    f'model-{i:05d}-of-{len(shards):05d}.safetensors': shard
    for i, shard in enumerate(shards, 1)
  }


def _bytes(frame, tensor):
  """Bytes of a tensor in its file."""
  size = hf_names.sources(frame.shape)[tensor].size
  return math.prod(size) * frame.dtypes[tensor].itemsize


def _read(params, frame, tensor):
  """A tensor of our tree in Hugging Face's layout and dtype."""
  ours, layer, _ = hf_names.sources(frame.shape)[tensor]
  array = params[ours] if layer is None else _merged(params, ours, layer)
  return hf_names.to_hf(ours, np.asarray(array)).astype(frame.dtypes[tensor])


def _merged(params, ours, layer):
  """One layer's array, with its adapter added if it has one."""
  layers = params['layers']
  names = (ours, *(ours + end for end in decoder.ADAPTER))
  own = {name: layers[name][layer] for name in names if name in layers}
  return lora.weight(own, ours)


def _json(value):
  return json.dumps(value, indent=2) + '\n'
