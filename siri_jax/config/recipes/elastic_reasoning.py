"""Elastic Reasoning (E1): a budget for the thought, and one for the solution.

  python -m siri_jax.main --config=configs/recipes/elastic_reasoning.py

A thought that reaches its budget is closed by a forced token, which is not
trained on; then the solution has its own. Under a schedule both follow the cap.

Paper: arxiv.org/abs/2505.05315
Needs: nothing; E1 starts from agentica-org/DeepScaleR-1.5B-Preview
Numbers: complete
Checked: its paper's procedure, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, _ = sizes.start(
    size,
    cap=2049,  # The two budgets, and the token between them.
    total_steps=200,  # e1_math_1.5b_1k_1k.sh.
    prompts_per_step=128,  # e1_math_1.5b_1k_1k.sh.
    group_size=8,  # e1_math_1.5b_1k_1k.sh.
    minibatches=2,  # Mini-batches of 64 prompts: e1_math_1.5b_1k_1k.sh.
    learning_rate=1e-6,  # e1_math_1.5b_1k_1k.sh.
    temperature=0.6,  # e1_math_1.5b_1k_1k.sh.
  )
  c.budget = 'thinking_and_solution'
  c.budget_kw = dict(
    thinking=tokens(1024),  # e1_math_1.5b_1k_1k.sh.
    solution=tokens(1024),
    close='</think>',
  )
  c.loss = 'grpo_kl'
  # VeRL's clip; the coefficient of e1_math_1.5b_1k_1k.sh.
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.001)
  c.aggregation = 'token_mean'  # VeRL's mean over all tokens.
  return c
