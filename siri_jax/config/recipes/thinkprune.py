"""ThinkPrune: a cap that falls in stages, and its number in the prompt.

  python -m siri_jax.main --config=configs/recipes/thinkprune.py

One run instead of two: the second stage continues from the weights and the
optimiser at hand. Under another schedule the prompt says its cap, step by step.

Paper: arxiv.org/abs/2504.01296
Needs: nothing; its problems are past ones of AIME and AMC
Numbers: open: the last step (360 here)
Checked: its code, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, steps = sizes.start(
    size,
    cap=4000,  # multi_node_run_4k.sh.
    total_steps=360,  # Our choice: as many steps in the second stage.
    prompts_per_step=128,  # multi_node_run_4k.sh.
    group_size=16,  # multi_node_run_4k.sh.
    minibatches=1,  # Mini-batches of 128 prompts: multi_node_run_4k.sh.
    learning_rate=1e-6,  # multi_node_run_4k.sh.
  )
  c.schedule = 'piecewise'
  c.schedule_kw = dict(
    caps=(tokens(4000), tokens(3000)),
    starts=(0, steps(180)),  # multi_node_run_3k_from4k.sh: global_step_180.
    phase=0,
  )
  c.budget = 'cap_in_prompt'
  c.budget_kw = dict(
    # The last sentence of preprocess_past_aime_amc.py's; before it there is
    # R1-Zero's template in words, which R1's own template replaces here.
    system='The output of the assistant should be within {cap} tokens.',
    note='',
  )
  c.reward = 'answer_score'
  c.reward_kw = dict(right=1.0, wrong=0.1, unanswered=0.0)  # deepseek_math.py.
  c.loss = 'grpo_kl'
  # VeRL's clip; the coefficient of multi_node_run_4k.sh.
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.001)
  c.aggregation = 'token_mean'  # VeRL's mean over all tokens.
  if size != 'paper':  # The built-in task spells a number in digits.
    c.budget_kw = dict(system='', note='{cap}')
    c.max_prompt_tokens += len(str(tokens(4000)))
  return c
