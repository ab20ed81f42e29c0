"""AutoThink: dots open the thought, and the policy learns when to think.

  python -m siri_jax.main --config=configs/recipes/autothink.py

Three stages: responses with and without a thought in balance, then freely, then
with a price on length. One run instead of three: all stages have the batch of
the first; those of AutoThink's second and third have 64 prompts.

Paper: arxiv.org/abs/2505.10832
Needs: nothing
Numbers: open: the steps of the stages (630 each here, two epochs)
Checked: its code as loops, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, steps = sizes.start(
    size,
    cap=24_576,  # train_stage3.sh.
    total_steps=1890,  # Our choice; each script has two epochs.
    prompts_per_step=128,  # train_stage1.sh.
    group_size=8,  # train_stage1.sh.
    minibatches=2,  # Mini-batches of 64 prompts: train_stage1.sh.
    learning_rate=1e-6,  # train_stage1.sh.
    temperature=0.6,  # train_stage1.sh.
  )
  starts = (0, steps(630), steps(1260))
  c.schedule = 'piecewise'
  c.schedule_kw = dict(
    # train_stage1.sh, train_stage2.sh, train_stage3.sh.
    caps=(tokens(8192), tokens(16_384), tokens(24_576)),
    starts=starts,
    phase=0,
  )
  c.budget = 'opened_thought'
  c.budget_kw = dict(opening='...\n')  # README.md.
  c.reward = 'answer_score'
  c.reward_kw = dict(right=0.0, wrong=0.0, unanswered=0.0)
  c.text_rewards = ('thought_or_none',)
  stages = dict(
    weight=1.0,
    close='</think>',
    starts=starts,
    balance=(0.5, 1.0, 1.0),  # batch_balance_rate of the scripts.
    alpha=(0.0, 0.0, 0.05),  # reward_alpha of the scripts.
    beta=(0.0, 0.0, 0.05),  # reward_beta of the scripts.
  )
  c.text_rewards_kw = dict(thought_or_none=stages)
  c.loss = 'clip_higher'  # Its KL coefficient is 0.
  c.loss_kw = dict(low=0.2, high=0.2)  # train_stage1.sh.
  c.aggregation = 'token_mean'  # VeRL's mean over all tokens.
  if size != 'paper':  # The built-in task has no dots; this disturbs least.
    c.budget_kw = dict(opening='<think>')
    c.max_prompt_tokens += 1
  return c
