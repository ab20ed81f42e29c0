"""L1-Max: half of the targets are upper bounds, and soft limits of the reward.

  python -m siri_jax.main --config=configs/recipes/l1_max.py

The other half are targets as in L1-Exact. The reward is the paper's; the slope
of the limit in L1's code is half as steep.

Paper: arxiv.org/abs/2503.04697
Needs: a warmed-up model, of l1_exact.py after 700 steps
Numbers: open: the last step (120 here)
Checked: L1's code, by hand
"""

from siri_jax.config import sizes
from siri_jax.config.recipes import l1_exact


def get_config(size='paper'):
  c, tokens, _ = sizes.start(
    size,
    cap=4500,  # run_l1_max.sh.
    total_steps=120,  # Our choice; run_l1_max.sh has one epoch.
    prompts_per_step=128,  # run_l1_max.sh.
    group_size=16,  # run_l1_max.sh.
    minibatches=2,  # Mini-batches of 64 prompts: run_l1_max.sh.
    learning_rate=4e-6,  # run_l1_max.sh.
    temperature=0.6,  # run_l1_max.sh.
  )
  exact = l1_exact.get_config(size)
  c.budget, c.budget_kw = exact.budget, exact.budget_kw
  c.budget_kw.update(low=tokens(100), high=tokens(4000))
  c.budget_kw.most_share = 0.5  # deepscaler_dataset.py --use_both_both.
  c.reward = 'lcpo_max'
  c.reward_kw = dict(
    alpha=0.0003 * 4000 / tokens(4000),  # As l1_exact.py.
    delta=0.5,  # L1, section 3.
  )
  for name in ('loss', 'loss_kw', 'aggregation', 'max_prompt_tokens'):
    c[name] = exact[name]
  return c
