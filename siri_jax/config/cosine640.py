"""The paper's main run: R1-Distill-Qwen-1.5B under a cosine cap of 640 steps.

  python -m siri_jax.main --config=configs/cosine640.py

Three cycles between 16,384 and 8,192 tokens on DeepScaleR, as in SIRI's section
5.1; [open] in siri_jax/config/base.py marks the values that the paper does not
state. The paper reports 43.6 % on AIME24 at 10,049 tokens after step 1,920
(SIRI-high) and 40.4 % at 7,093 after step 1,600 (SIRI-low), on 8 H100s.

The model and the problems are fetched from the Hugging Face Hub (3.6 GB), each
at the commit named here; --dry_run lists them. Paths may stand in their place.

The node has eight GPUs: the run starts a vLLM server on each of the first four,
and trains on the others (server_kw.placement='split'). With another number of
GPUs set mesh_kw.fsdp and update_kw.micro_batch_rows to the number of those that
train. docs/data.md has a command for a laptop, with the real tokenizer and
problems, a small policy and short caps.
"""

from siri_jax.config import base

# Problems and model of the paper: files of the Hugging Face Hub, each at a
# fixed commit.
TRAIN = (
  'agentica-org/DeepScaleR-Preview-Dataset'
  '@b6ae8c60f5c1f2b594e2140b91c49c9ad0949e29'
)
EVALS = dict(
  aime24='HuggingFaceH4/aime_2024@2fe88a2f1091d5048c0f36abc874fb997b3dd99a',
  aime25='math-ai/aime25@563bb8404243c5f09de6ec262f2db674fe5bce9b',
  # 2023 alone. The paper does not say which years its AMC has.
  amc='math-ai/amc23@80815d37005feb82cd7f8fbc6901d5d3eff43057',
  math500='HuggingFaceH4/MATH-500@6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be',
)
MODEL = (
  'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B'
  '@ad9f0ae0864d7fbcd1cd905e3c6c5b069cc8b562'
)


def get_config():
  c = base.get_config()
  c.model_path = MODEL
  c.task_kw.train = TRAIN
  c.task_kw.evals = EVALS
  c.update_kw.attention = 'cudnn'
  c.engine = 'vllm'
  c.engine_kw.max_concurrent = 1024  # All samples of a step.
  c.server_kw.placement = 'split'
  c.mesh_kw.fsdp = 4  # H100s of 80 GB; the other four sample.
  c.update_kw.micro_batch_rows = 4  # One row a device.
  return c
