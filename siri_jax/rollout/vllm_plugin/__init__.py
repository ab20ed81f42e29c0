"""Code that runs inside a vLLM server: weight transfer and the API key."""

BACKEND = 'siri_orbax'  # vLLM's name of the weight-transfer backend.
PUSHES = 'SIRI_PUSHES'  # Environment variable: the folder of pushes.


def register():
  """Registers the weight-transfer backend; vLLM calls it in each process."""
  from vllm.distributed.weight_transfer.factory import (
    WeightTransferEngineFactory,
  )

  WeightTransferEngineFactory.register_engine(
    BACKEND, 'siri_jax.rollout.vllm_plugin.weight_transfer', 'OrbaxEngine'
  )
