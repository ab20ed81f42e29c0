"""Kimi k1.5's length reward: where a response is in its group's range.

  python -m siri_jax.main --config=configs/recipes/kimi_length.py

Batch, loss and cap are those with which Laser compares it; without Laser's
entropy term of 0.001, because a loss here has one further term. Kimi's own
optimiser is another one.

Paper: arxiv.org/abs/2501.12599, section 2.3.3
Needs: nothing
Numbers: open: Kimi's weight and its warm-up; 0.4 is Laser's
Checked: Laser's code as a loop in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=16_384,  # Laser, laser-1.5b-l4096.sh.
    total_steps=1575,  # The same: 5 epochs of 40,315 problems.
    prompts_per_step=128,  # The same.
    group_size=8,  # The same.
    minibatches=2,  # The same: 64 of 128 prompts.
    learning_rate=1e-6,  # The same.
    temperature=0.6,  # The same.
  )
  c.reward = 'range_in_group'
  c.reward_kw = dict(weight=0.4)  # Laser, compute_kimi_penalty.
  c.loss = 'grpo_kl'
  c.loss_kw = dict(low=0.2, high=0.28, beta=0.001)  # laser-1.5b-l4096.sh.
  c.aggregation = 'token_mean'  # VeRL's.
  return c
