"""vLLM's weight-transfer backend that reads pushes; runs in each worker."""

import dataclasses
import os

import numpy as np
import torch
from vllm.distributed.weight_transfer.base import (
  WeightTransferEngine,
  WeightTransferInitInfo,
  WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import (
  finalize_layerwise_reload,
  initialize_layerwise_reload,
)

ROOT = 'SIRI_PUSHES'  # Of the environment: the folder that pushes lie in.


@dataclasses.dataclass
class InitInfo(WeightTransferInitInfo):
  """Nothing is to be agreed on."""


@dataclasses.dataclass
class UpdateInfo(WeightTransferUpdateInfo):
  """A push, by its name and the sha256 of its manifest."""

  name: str
  digest: str


class OrbaxEngine(WeightTransferEngine[InitInfo, UpdateInfo]):
  """Loads a push whole, or refuses it and leaves the model as it is."""

  init_info_cls = InitInfo
  update_info_cls = UpdateInfo

  def init_transfer_engine(self, init_info):
    """Nothing to do."""

  def start_weight_update(self):
    """Nothing to do: the model is touched once a push has passed."""

  def receive_weights(self, update_info):
    """Checks a push, then loads it."""
    # Before Orbax, which imports JAX: the GPU is vLLM's.
    os.environ['JAX_PLATFORMS'] = 'cpu'
    from siri_jax.rollout.vllm_plugin import reading

    arrays = reading.read(
      os.environ[ROOT],
      update_info.name,
      update_info.digest,
      self._wanted(),
    )
    initialize_layerwise_reload(self.model)
    try:
      self.model.load_weights((k, _tensor(x)) for k, x in arrays.items())
    finally:
      finalize_layerwise_reload(self.model, self.model_config)

  def finish_weight_update(self):
    """Nothing to do."""

  def shutdown(self):
    """Nothing to do."""

  def _wanted(self):
    """The model's arrays as Hugging Face has them: name -> (shape, dtype)."""
    from siri_jax.models import hf, names

    dtype = str(self.model_config.dtype).removeprefix('torch.')
    shape = hf.read_shape(self.model_config.model)
    return {
      name: (source.size, dtype)
      for name, source in names.sources(shape).items()
    }


def _tensor(array):
  """A numpy array as a tensor over the same memory."""
  if array.dtype.name == 'bfloat16':  # torch knows numpy's own dtypes alone.
    return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
  return torch.from_numpy(array)
