"""open-rs: a cosine in the length, and a reward for the format.

  python -m siri_jax.main --config=configs/recipes/open_rs.py

Lengths are tokens over the cap, not characters over a constant, so that the
reward follows a schedule. The format is ours: a thought that is closed once.

Paper: arxiv.org/abs/2503.16219, experiment 3
Needs: nothing
Numbers: open: beta, which is TRL's default there
Checked: its code as a loop in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=3584,  # open-rs, recipes/grpo.yaml.
    total_steps=500,  # The same.
    prompts_per_step=12,  # The same: 6 samples, 3 processes, 4 accumulations.
    group_size=6,  # The same.
    minibatches=1,  # TRL's default.
    learning_rate=1e-6,  # The same; there it decays to a tenth.
    temperature=0.7,  # The same.
  )
  c.reward = 'cosine_length'
  # open-rs, rewards.py, times the weight of 2 of recipes/grpo.yaml.
  c.reward_kw = dict(right=(2.0, 1.0), wrong=(-2.0, -1.0))
  c.text_rewards = ('think_format',)
  close = '</think>' if size == 'paper' else '='  # What the task's texts have.
  c.text_rewards_kw = dict(
    think_format=dict(weight=1.0, close=close, answer='')
  )
  c.loss = 'grpo_kl'
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.04)  # TRL's defaults.
  return c
