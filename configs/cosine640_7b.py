"""The paper's run on R1-Distill-Qwen-7B, on two nodes of eight 80 GB GPUs.

  python -m siri_jax.main --config=configs/cosine640_7b.py --dry_run

The cap is that of the 1.5B: a cosine of 640 steps between 16,384 and 8,192
tokens. The parameters are sharded over the eight GPUs of a node, which have
fast links. Each node has all of them; the nodes exchange only gradients, once
an update.

All 16 GPUs train. Servers run on other nodes, which you start (siri-jax serve,
see docs/vllm_servers.md): set server_kw.urls to their addresses and
server_kw.folder to a folder that they and the trainer share.
"""

from configs import base, cosine640


def get_config():
  c = base.get_config()
  c.model_path = (
    'deepseek-ai/DeepSeek-R1-Distill-Qwen-7B'
    '@916b56a44061fd5cd7d6a8fb632557ed4f724f60'
  )
  c.task_kw.train = cosine640.TRAIN
  c.task_kw.evals = cosine640.EVALS
  c.update_kw.attention = 'cudnn'
  c.engine = 'vllm'
  c.engine_kw.max_concurrent = 1024  # All samples of a step.
  # From AMC's 6,740 tokens at 16,384 in the paper's Table 1, as in base.py.
  c.uncapped_length_kw = dict(mean=7162.0, median=5606.0)
  c.hosts_kw.count = 2  # Nodes, one process each.
  c.mesh_kw.data = 2
  c.mesh_kw.fsdp = 8  # H100s of 80 GB each.
  c.update_kw.micro_batch_rows = 16  # One row a device.
  return c
