"""What runs inside a vLLM server: it takes weights, and guards the door."""


def register():
  """Names the weight-transfer backend; vLLM calls it in each process."""
  from vllm.distributed.weight_transfer.factory import (
    WeightTransferEngineFactory,
  )

  WeightTransferEngineFactory.register_engine(
    'siri_orbax', 'siri_jax.rollout.vllm_plugin.engine', 'OrbaxEngine'
  )
