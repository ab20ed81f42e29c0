"""SIRI on one GPU of 80 GB: R1-Distill-Qwen-1.5B under the paper's cosine cap.

  python -m siri_jax.main --config=configs/one_gpu.py

The GPU samples and trains in turns: the run starts a vLLM server, which sleeps
while the policy learns. --dry_run shows the memory of both halves of a step.
Where vLLM is not installed, the embedded engine samples; it is meant for small
policies, and slow here.

Caps, rewards and the optimiser are the paper's. A step has a quarter of its
prompts, and held-out sets are evaluated at the turns of the cap with fewer
samples. Nothing of this has been run or timed yet. The model and the problems
are fetched from the Hugging Face Hub (3.6 GB).
"""

import importlib.util

from configs import base, cosine640


def get_config():
  c = base.get_config()
  c.model_path = cosine640.MODEL
  c.task_kw.train = cosine640.TRAIN
  c.task_kw.evals = cosine640.EVALS
  c.update_kw.attention = 'cudnn'
  c.prompts_per_step = 32
  c.eval_kw.every = 0
  c.eval_kw.samples = 8
  if importlib.util.find_spec('vllm'):
    c.engine = 'vllm'
    c.engine_kw.max_concurrent = 256  # All samples of a step.
  c.server_kw.placement = 'shared'
  # Parameters and optimiser state, 21 GB, stay beside the server.
  c.server_kw.memory = 0.6
  return c
