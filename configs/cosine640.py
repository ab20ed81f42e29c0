"""The paper's main run: R1-Distill-Qwen-1.5B under a cosine cap of 640 steps.

  python -m siri_jax.main --config=configs/cosine640.py \\
    --config.model_path=MODEL --config.task_kw.tokenizer=MODEL \\
    --config.task_kw.train=deepscaler.jsonl \\
    --config.task_kw.evals.aime24=aime24.jsonl ...

Three cycles between 16,384 and 8,192 tokens on DeepScaleR, as in SIRI's section
5.1; [open] in siri_jax/config/base.py marks the values that the paper does not
state. The paper reports 43.6 % on AIME24 at 10,049 tokens after step 1,920
(SIRI-high) and 40.4 % at 7,093 after step 1,600 (SIRI-low), on 8 H100s.

The command above decodes on one device; docs/cluster.md has the command with
vLLM servers. docs/data.md has a command for a laptop, with the real tokenizer
and problems, a small policy and short caps.
"""

from configs import base


def get_config():
  c = base.get_config()
  c.attention = 'cudnn'
  c.mesh_kw.fsdp = 8  # H100s of 80 GB.
  c.micro_batch_rows = 8  # One row a device.
  return c
