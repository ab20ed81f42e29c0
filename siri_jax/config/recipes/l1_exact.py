"""L1-Exact: a target in every prompt, and a reward for meeting it.

  python -m siri_jax.main --config=configs/recipes/l1_exact.py

"Think for 1234 tokens." stands after the instruction; the reward falls by alpha
for each token off. Under a schedule a target above the cap is asked as the cap.

Paper: arxiv.org/abs/2503.04697
Needs: nothing; L1 starts from agentica-org/DeepScaleR-1.5B-Preview
Numbers: complete
Checked: its paper's equations and its code, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, _ = sizes.start(
    size,
    cap=4096,  # run_l1_exact.sh.
    total_steps=700,  # run_l1_max.sh starts from step 700.
    prompts_per_step=128,  # run_l1_exact.sh.
    group_size=16,  # run_l1_exact.sh.
    minibatches=2,  # Mini-batches of 64 prompts: run_l1_exact.sh.
    learning_rate=1e-6,  # run_l1_exact.sh.
    temperature=0.6,  # run_l1_exact.sh.
  )
  c.budget = 'length_target'
  c.budget_kw = dict(
    low=tokens(100),  # scripts/data/deepscaler_dataset.py.
    high=tokens(4000),
    note='Think for {target} tokens.',
    most_note='Think for maximum {target} tokens.',
    most_share=0.0,
  )
  c.reward = 'lcpo_exact'
  c.reward_kw = dict(alpha=0.0003 * 4000 / tokens(4000))  # run_l1_exact.sh.
  c.loss = 'grpo_kl'
  # VeRL's clip; the coefficient of run_l1_exact.sh.
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.001)
  c.aggregation = 'token_mean'  # VeRL's mean over all tokens.
  if size != 'paper':  # The built-in task spells a number in digits.
    c.budget_kw.update(note='{target}', most_note='wait {target}')
    c.max_prompt_tokens += len(f'{tokens(4000)}') + 1  # With 'wait'.
  return c
