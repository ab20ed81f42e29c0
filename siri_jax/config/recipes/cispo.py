"""CISPO: bounded importance weights, so that no token loses its gradient.

  python -m siri_jax.main --config=configs/recipes/cispo.py

Paper: arxiv.org/abs/2506.13585
Needs: nothing
Numbers: open: MiniMax-M1 states no bound; these are of VeRL's example
Checked: VeRL's code as a loop in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  # Batch and cap: the base's, because VeRL's example is of another task.
  c, _, _ = sizes.start(size, cap=16_384, total_steps=640)
  c.loss = 'clipped_weight'
  # VeRL, run_cispo_qwen2_5_0_5b_gsm8k.sh; low: no lower bound, as in the paper.
  c.loss_kw = dict(low=10.0, high=0.2)
  c.aggregation = 'token_mean'  # MiniMax-M1, equation 4.
  return c
