"""Which models fit on how many GPUs: the table of docs/models.md.

  python -m tools.benchmarks.model_sizes

Each line is the dry run of the model's config with one packed row a GPU on 1, 8
or 16 GPUs that train, or with adapters on 1. It needs no GPU and fetches
nothing.
"""

import sys

import tabulate

from configs import cosine640, cosine640_7b, qwen3_1p7b, r1_llama_8b
from siri_jax.config import forecast, memory, plan
from siri_jax.data import hub_names, workload
from siri_jax.models import decoder

CONFIGS = (cosine640, cosine640_7b, qwen3_1p7b, r1_llama_8b)
GPUS = {1: (1, 1), 8: (1, 8), 16: (2, 8)}  # Number -> data, fsdp.
RANKS = {1: (0, 32), 8: (0,), 16: (0,)}  # Of adapters; 0: full fine-tuning.
HEADS = (
  'model',
  'parameters',
  'GPUs',
  'adapters',
  'state',
  'update',
  'remat',
  'fits',
)
HEADS += ('weights in vLLM', 'longest responses')


def main():
  """Prints the table; returns 0."""
  rows = [
    row(config, count, rank)
    for config in CONFIGS
    for count in GPUS
    for rank in RANKS[count]
  ]
  print(tabulate.tabulate(rows, HEADS, 'pipe', disable_numparse=True))
  return 0


def row(config, count, rank):
  """A line of the table: a config's model on some GPUs, a rank of adapters."""
  c = config.get_config()
  c.mesh_kw.data, c.mesh_kw.fsdp = GPUS[count]
  c.hosts_kw.count, c.server_kw.placement = 1, 'external'
  c.update_kw.micro_batch_rows, c.lora_kw.rank = count, rank
  (need,) = [n for n in hub_names.needs(c) if n.setting == 'model_path']
  shape = workload.MODELS[need.name.repo]
  made = plan.make(c)
  found = memory.of_plan(made, shape)
  remat = memory.choose_remat(c, found)
  parts = found[remat]
  held = forecast.serving(made, shape, c.update_kw.device_gb)
  return (
    need.name.repo.rpartition('/')[2],
    f'{decoder.param_count(shape) / 1e9:.3f} B',
    count,
    f'rank {rank}' if rank else '',
    f'{(parts["parameters"] + parts["optimiser"]) / 1e9:.1f}',
    f'{memory.total(parts) / 1e9:.1f}',
    remat,
    'yes' if memory.fits(parts, c.update_kw.device_gb) else 'no',
    f'{held.weights / 1e9:.1f}',
    f'{held.responses:,}',
  )


if __name__ == '__main__':
  sys.exit(main())
