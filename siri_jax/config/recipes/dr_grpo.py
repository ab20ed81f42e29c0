"""Dr. GRPO: centred rewards, and a loss divided by a constant length.

  python -m siri_jax.main --config=configs/recipes/dr_grpo.py

Its runs start from base models with a template of their own; here it is
DeepSeek-R1-Distill-Qwen-1.5B, as in every recipe. The constant does not follow
the cap.

Paper: arxiv.org/abs/2503.20783
Needs: nothing
Numbers: complete
Checked: the paper's formulas, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, _ = sizes.start(
    size,
    cap=3000,  # understand-r1-zero, examples/qwen2.5-math-1.5b.sh.
    total_steps=1875,  # The same: 20 epochs of 12,000 problems.
    prompts_per_step=128,  # The same.
    group_size=8,  # The same.
    minibatches=8,  # The same: 128 of 1,024 samples.
    learning_rate=1e-6,  # The same.
  )
  c.advantage, c.advantage_kw = 'mean_only', {}
  c.loss_kw = dict(low=0.2, high=0.2)  # PPO's.
  c.aggregation = 'constant_denominator'
  c.aggregation_kw = dict(tokens=tokens(3000))  # The longest response.
  return c
