"""A weight-transfer backend of vLLM that reads pushes; runs in each worker."""

import dataclasses
import os

import numpy as np
import torch
from vllm.distributed import (
  get_tensor_model_parallel_rank,
  get_tensor_model_parallel_world_size,
)
from vllm.distributed.weight_transfer.base import (
  WeightTransferEngine,
  WeightTransferInitInfo,
  WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import (
  finalize_layerwise_reload,
  initialize_layerwise_reload,
)

from siri_jax.rollout.vllm_plugin import PUSHES


@dataclasses.dataclass
class InitInfo(WeightTransferInitInfo):
  """Empty: the backend needs no set-up."""


@dataclasses.dataclass
class UpdateInfo(WeightTransferUpdateInfo):
  """A push: its name and the sha256 of its manifest.

  The same update is sent twice. First every rank checks it. If all accept it,
  every rank loads it.
  """

  name: str
  digest: str
  load: bool


class OrbaxEngine(WeightTransferEngine[InitInfo, UpdateInfo]):
  """Loads a push, or refuses it without changing the model."""

  init_info_cls = InitInfo
  update_info_cls = UpdateInfo

  def __init__(self, *args, **kwargs):
    """Takes vLLM's arguments."""
    super().__init__(*args, **kwargs)
    self._checked = None  # Digest of the push that was checked, and Checked.

  def init_transfer_engine(self, init_info):
    """Nothing to do."""

  def start_weight_update(self):
    """Drops the arrays of an interrupted update."""
    self._checked = None

  def update_weights(self, update_info):
    """vLLM's method without its synchronisation of CUDA, for CPUs."""
    self.receive_weights(self.parse_update_info(update_info))
    if self.device.type != 'cpu':
      torch.accelerator.synchronize()

  def receive_weights(self, update_info):
    """Checks a push, or loads the one that was checked."""
    if update_info.load:
      self._load(update_info.digest)
      return
    # Before the reader imports JAX, which must not use vLLM's GPU.
    os.environ['JAX_PLATFORMS'] = 'cpu'
    from siri_jax.rollout.vllm_plugin import weight_reader

    checked = weight_reader.read(
      os.environ[PUSHES],
      update_info.name,
      update_info.digest,
      self._wanted(),
      *_place(),
    )
    self._checked = update_info.digest, checked

  def finish_weight_update(self):
    """Nothing to do."""

  def shutdown(self):
    """Nothing to do."""

  def _load(self, digest):
    """Loads the arrays that were checked into the model."""
    of, checked = self._checked or (None, None)
    self._checked = None
    if of != digest:
      raise ValueError('this push was not checked; start the update again')
    checked.refuse_changes()
    initialize_layerwise_reload(self.model)
    try:
      arrays = checked.arrays.items()
      self.model.load_weights((k, _tensor(x)) for k, x in arrays)
    finally:
      finalize_layerwise_reload(self.model, self.model_config)
    tied = self.model_config.hf_config.tie_word_embeddings
    if self.device.type == 'cpu' and tied:
      head = self.model.lm_head
      # vLLM computes with a packed copy there, and loads only the embedding.
      head.quant_method.process_weights_after_loading(head)

  def _wanted(self):
    """The Wanted of this rank, by Hugging Face's names."""
    from siri_jax.models import hf_names
    from siri_jax.models.hf import config as hf_config
    from siri_jax.rollout.vllm_plugin import tensor_parallel, weight_reader

    dtype = str(self.model_config.dtype).removeprefix('torch.')
    shape = hf_config.read_shape(self.model_config.model)
    return {
      name: weight_reader.Wanted(
        source, dtype, tensor_parallel.part_of(source, shape, *_place())
      )
      for name, source in hf_names.sources(shape).items()
    }


def _place():
  """This rank's index and the number of ranks."""
  return (
    get_tensor_model_parallel_rank(),
    get_tensor_model_parallel_world_size(),
  )


def _tensor(array):
  """A numpy array as a tensor over the same memory."""
  if array.dtype.name == 'bfloat16':  # torch reads only numpy's own dtypes.
    return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
  return torch.from_numpy(array)
