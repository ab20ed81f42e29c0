"""LASER-D: a bonus for right answers within a target of their difficulty.

  python -m siri_jax.main --config=configs/recipes/laser_d.py

The targets follow what the policy can do: a monitor pass measures it on the
same 500 problems every 20 steps. Without Laser's entropy term of 0.001: a loss
here has one further term, and this one has the KL.

Paper: arxiv.org/abs/2505.15612
Needs: nothing
Numbers: complete
Checked: Laser's code as loops, by hand
"""

from siri_jax.config.recipes import laser


def get_config(size='paper'):
  c, tokens, _ = laser.start(size)
  c.reward = 'answer_score'
  c.reward_kw = dict(right=1.0, wrong=-0.5, unanswered=-1.0)  # The grader's.
  c.text_rewards = ('laser_d',)
  bonus = dict(
    weight=1.0,
    lowest=tokens(4096),  # laser-d-1.5b-l4096.sh; also 1,024 and 2,048.
    highest=tokens(16_384),  # The same.
    interval=tokens(1024),  # The same.
    bonus=0.5,  # The same.
  )
  c.text_rewards_kw = dict(laser_d=bonus)
  # Every 20 steps, train_sample500; at the small sizes 5 and 32.
  every, problems = (20, 500) if size == 'paper' else (5, 32)
  c.monitor_kw = dict(every=every, problems=problems)
  return c
