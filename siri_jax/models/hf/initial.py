"""The initial parameters of a policy: a Hugging Face folder, or random."""

import dataclasses
import hashlib
import json

import jax
import jax.numpy as jnp

from siri_jax.models import decoder, sharding
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import hub, load
from siri_jax.settings import one_of

KINDS = ('pretrained', 'fresh', 'sft')
# Of model_kw.
SETTINGS = {'model_type': one_of(*hf_config.FAMILIES), **decoder.SETTINGS}


class MismatchError(ValueError):
  """The policy's vocabulary is too small for the task's tokenizer."""


def folder(c):
  """The folder of model_path, whose files are fetched if it is a Hub name.

  Raises:
    hub.HubError: they cannot be fetched.
  """
  try:
    return hub.folder(c.model_path)
  except hub.HubError as error:
    raise hub.HubError(f'model_path: {error}') from error


def shape_of(c, vocab):
  """The policy's decoder.ModelConfig; reads no parameters.

  Rows of a folder's embedding that the tokenizer has no token for are padding.

  Args:
    c: the config.
    vocab: number of ids of the task's tokenizer.
  Raises:
    MismatchError: the model has fewer rows than the tokenizer has ids.
    hf_config.FolderError: the folder's model is not implemented.
    hub.HubError: see `folder`.
  """
  if c.policy != 'pretrained':
    kw = c.model_kw.to_dict()
    # Configs of older runs have no model type.
    fields = hf_config.FAMILIES[kw.pop('model_type', 'qwen2')].fields
    return decoder.ModelConfig(vocab=vocab, **fields, **kw)
  shape = hf_config.read_shape(folder(c))
  if shape.vocab < vocab:
    raise MismatchError(
      f"model_path={c.model_path} embeds {shape.vocab} ids, but the task's "
      f'tokenizer has {vocab}; use the tokenizer of that model'
    )
  return dataclasses.replace(shape, padding=shape.vocab - vocab)


def check_fits(c, shape):
  """Checks that a folder's tensors have the shape; reads only headers.

  Raises:
    hf_config.FolderError: they do not; names each file or tensor.
  """
  if c.policy == 'pretrained':
    with load.opened(folder(c), shape):
      pass


def fingerprint(c):
  """sha256 of the policy's initial parameters or settings, without the seed."""
  if c.policy == 'pretrained':
    return load.fingerprint(folder(c))
  made = [c.policy, c.model_kw.to_dict(), c.sft_kw.to_dict()]
  return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def parameters(c, shape, shardings, dtype=jnp.float32):
  """Parameters: those of the folder, or random ones of the seed.

  Args:
    c: the config.
    shape: decoder.ModelConfig.
    shardings: sharding of each array.
    dtype: their dtype.
  """
  if c.policy == 'pretrained':
    return load.read_parameters(folder(c), shape, shardings, dtype)
  fresh = decoder.init(jax.random.key(c.seed), shape)
  return sharding.put(fresh, shardings, dtype)
