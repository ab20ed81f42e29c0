"""Where a policy comes from: a Hugging Face folder, or a shape."""

import hashlib
import json

import jax

from siri_jax.models import qwen2, sharding
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import load

KINDS = ('pretrained', 'fresh', 'sft')


class MismatchError(ValueError):
  """The policy and the task's tokenizer do not go together."""


def shape_of(c, vocab):
  """The policy's qwen2.ModelConfig, before any parameter is read.

  Args:
    c: the config.
    vocab: ids that the task's tokenizer can produce.
  Raises:
    MismatchError: the folder's model has fewer rows than that.
    hf_config.FolderError: the folder is not one that is implemented.
  """
  if c.policy != 'pretrained':
    return qwen2.ModelConfig(vocab=vocab, **c.model_kw)
  shape = hf_config.read_shape(c.model_path)
  if shape.vocab < vocab:
    raise MismatchError(
      f"model_path={c.model_path} embeds {shape.vocab} ids, but the task's "
      f'tokenizer has {vocab}: they do not belong together'
    )
  return shape


def check_fits(c, shape):
  """Raises where parameters are none of the shape; reads no more than headers.

  Raises:
    hf_config.FolderError: naming each file or tensor of a folder.
  """
  if c.policy == 'pretrained':
    with load.opened(c.model_path, shape):
      pass


def fingerprint(c):
  """sha256 of what the config's policy starts from, but for the seed."""
  if c.policy == 'pretrained':
    return load.fingerprint(c.model_path)
  made = [c.policy, c.model_kw.to_dict(), c.sft_kw.to_dict()]
  return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def parameters(c, shape, shardings):
  """float32 parameters: the folder's, or fresh ones of the run's seed.

  Args:
    c: the config.
    shape: qwen2.ModelConfig.
    shardings: where each array is to lie.
  """
  if c.policy == 'pretrained':
    return load.read_parameters(c.model_path, shape, shardings)
  fresh = qwen2.init(jax.random.key(c.seed), shape)
  return sharding.put(fresh, shardings)
