"""DLER's truncation weight: a cut response keeps a share of its reward.

  python -m siri_jax.main --config=configs/recipes/dler.py

Only this part of DLER. With the weight of 0 of NeMo RL's example, a response
must end under the cap; SIRI's reward asks for the answer alone.

Paper: arxiv.org/abs/2510.15110; NeMo RL's guide to ProRLv2
Needs: nothing
Numbers: open: DLER's batch and cap, which were not found
Checked: NeMo RL's text, as a loop in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(size, cap=16_384, total_steps=640)
  c.reward = 'truncation_scaled'
  c.reward_kw = dict(scale=0.0)  # NeMo RL, examples/configs/prorlv2.yaml.
  c.collect = 'dynamic'  # The same.
  c.collect_kw = dict(max_rounds=10)  # VeRL's recipe of DAPO.
  c.aggregation = 'token_mean'  # The same.
  return c
