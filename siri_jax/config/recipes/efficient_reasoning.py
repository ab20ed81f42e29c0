"""Arora and Zanette: right answers lose more, the longer for their group.

  python -m siri_jax.main --config=configs/recipes/efficient_reasoning.py

The KL is a term of the loss; in OpenRLHF it is part of the reward.

Paper: arxiv.org/abs/2502.04463
Needs: nothing
Numbers: complete
Checked: its code as a loop in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=32_000,  # efficient-reasoning, run_rloo_1.5B.sh.
    total_steps=100,  # The same: 3,200 problems.
    prompts_per_step=32,  # The same.
    group_size=8,  # The same.
    minibatches=2,  # The same: 128 of 256 samples.
    learning_rate=5e-6,  # The same.
  )
  c.reward = 'sigmoid_in_group'
  c.reward_kw = dict(alpha=0.1)  # run_rloo_1.5B.sh; the paper has up to 0.4.
  c.advantage, c.advantage_kw = 'leave_one_out', {}  # The same.
  c.loss = 'grpo_kl'
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.001)  # The same; OpenRLHF's clip.
  return c
