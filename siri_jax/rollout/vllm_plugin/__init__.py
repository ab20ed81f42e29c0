"""Code that runs inside a vLLM server: weight transfer and the API key."""

import ctypes
import signal
import sys

BACKEND = 'siri_orbax'  # vLLM's name of the weight-transfer backend.
PUSHES = 'SIRI_PUSHES'  # Environment variable: the folder of pushes.
PR_SET_PDEATHSIG = 1  # Of Linux's prctl.


def register():
  """Registers the weight-transfer backend; vLLM calls it in each process."""
  end_with_parent()
  from vllm.distributed.weight_transfer.factory import (
    WeightTransferEngineFactory,
  )

  WeightTransferEngineFactory.register_engine(
    BACKEND, 'siri_jax.rollout.vllm_plugin.weight_transfer', 'OrbaxEngine'
  )


def end_with_parent():
  """Makes Linux kill this process when its parent is gone.

  vLLM's engine would outlive a server that is killed, and keep its memory.
  """
  if sys.platform == 'linux':
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
