"""What runs inside a vLLM server: it takes weights, and guards the door."""

BACKEND = 'siri_orbax'  # Of weight transfer, as vLLM knows it.
PUSHES = 'SIRI_PUSHES'  # Of the environment: the folder that pushes lie in.


def register():
  """Names the weight-transfer backend; vLLM calls it in each process."""
  from vllm.distributed.weight_transfer.factory import (
    WeightTransferEngineFactory,
  )

  WeightTransferEngineFactory.register_engine(
    BACKEND, 'siri_jax.rollout.vllm_plugin.weight_transfer', 'OrbaxEngine'
  )
