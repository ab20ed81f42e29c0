"""GRPO-LEAD: length-dependent rewards, and more weight on hard problems.

  python -m siri_jax.main --config=configs/recipes/grpo_lead.py

Paper: arxiv.org/abs/2504.09696
Needs: nothing; its own runs are of 7B and 14B, after SFT
Numbers: open: the cap (12K here, as its script's run is called)
Checked: its code as loops in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, _ = sizes.start(
    size,
    cap=12_288,  # Our reading: 1,024 in ds_14b_stage1.sh, named "12k-stage1".
    total_steps=640,  # Our choice: a cycle of the paper's.
    prompts_per_step=32,  # ds_14b_stage1.sh.
    group_size=8,  # The same.
    minibatches=1,  # The same.
    learning_rate=1e-6,  # The same.
    temperature=0.8,  # The same.
  )
  c.reward = 'decay_in_group'
  c.reward_kw = dict(
    alpha=0.05,  # GRPO-LEAD, main_ppo.py.
    least=float(tokens(4000)),  # The same.
    right=1.0,  # The same.
    wrong=-1.0,  # The same.
    unanswered=0.0,  # The same.
  )
  c.advantage = 'difficulty_weighted'
  c.advantage_kw = dict(  # GRPO-LEAD, core_algos.py.
    eps=1e-6, low=0.4, high=1.5, middle=0.75, steepness=10.0
  )
  c.collect = 'dynamic'  # ds_14b_stage1.sh: rejection_sample.
  c.collect_kw = dict(max_rounds=10)  # VeRL's recipe of DAPO.
  c.loss_kw = dict(low=0.2, high=0.2)  # VeRL's.
  c.aggregation = 'token_mean'  # VeRL's.
  return c
