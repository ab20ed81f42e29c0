"""HAPO: the length against the problem's shortest right response so far.

  python -m siri_jax.main --config=configs/recipes/hapo.py

HAPO trains on 2,000 problems, each five times; the memory needs problems that
come back.

Paper: arxiv.org/abs/2505.11225
Needs: nothing
Numbers: open: beta and the learning rate, which are TRL's defaults there
Checked: HAPO's code, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=32_768,  # HAPO, train_grpo.sh.
    total_steps=2500,  # The same: 5 epochs of 2,000 problems.
    prompts_per_step=4,  # The same: 2 workers, 4 accumulations, 2 samples.
    group_size=2,  # The same.
    minibatches=1,  # TRL's default.
    learning_rate=1e-6,  # TRL's default.
    temperature=0.7,  # HAPO, train_grpo.py.
    eval_kw=dict(samples=8),  # As many as a step has.
  )
  c.text_rewards = ('against_shortest',)
  # train_grpo.sh: w_lr; utils.py: the floor.
  c.text_rewards_kw = dict(against_shortest=dict(weight=1.0, floor=-0.7))
  c.loss = 'grpo_kl'
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.04)  # TRL's defaults.
  c.aggregation = 'sequence_mean'  # TRL's, as in GRPO.
  return c
