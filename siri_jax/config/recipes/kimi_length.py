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

from siri_jax.config.recipes import laser


def get_config(size='paper'):
  c = laser.start(size).c
  c.reward = 'range_in_group'
  c.reward_kw = dict(weight=0.4)  # Laser, compute_kimi_penalty.
  return c
