"""GSPO: one probability ratio, and one clip, for a whole response.

  python -m siri_jax.main --config=configs/recipes/gspo.py

Paper: arxiv.org/abs/2507.18071
Needs: nothing
Numbers: complete, from VeRL's examples/gspo_trainer/test_gspo_3b_math.sh
Checked: VeRL's code as a loop in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=8192,  # VeRL's example.
    total_steps=500,  # The same.
    prompts_per_step=512,  # The same.
    group_size=16,  # The same.
    minibatches=4,  # GSPO, 5.1.
    learning_rate=1e-6,  # VeRL's default.
  )
  c.loss = 'sequence_ratio'
  c.loss_kw = dict(low=3e-4, high=4e-4)  # GSPO, 5.1.
  c.aggregation = 'sequence_mean'  # GSPO, equation 5.
  return c
