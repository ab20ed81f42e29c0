r"""AdaptThink: half of a group thinks, half does not; the policy learns when.

  siri-jax presample --config=recipes/adaptthink --config.top_p=0.95 \
    --out=presample
  python -m siri_jax.main --config=configs/recipes/adaptthink.py

Their first tokens are forced, and trained on with an old probability of 0.5. A
right answer counts against the accuracy of the start, which the first command
measures. A small run measures it itself, in a monitor pass before the first
update. Held-out problems and references are sampled without force.

Paper: arxiv.org/abs/2505.13417
Needs: presample/reference.jsonl, of the first command; small sizes: nothing
Numbers: complete
Checked: its code's loss and rewards as loops in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, _ = sizes.start(
    size,
    cap=16_384,  # run_adapt_think_1.5b_deepscaler_16k_..._lr2e-6.sh.
    total_steps=314,  # README.md: 1 epoch; it takes the weights of step 300.
    prompts_per_step=128,  # The same script.
    group_size=16,  # The same.
    minibatches=1,  # Mini-batches of 128 prompts: the same.
    learning_rate=2e-6,  # The same.
    temperature=0.6,  # The same.
  )
  c.budget = 'forced_modes'
  c.budget_kw = dict(
    share=0.5,  # nothinking_ratio of the script.
    close='</think>',  # end_of_think_token_id of the script.
    start='Alright',  # non_end_of_think_token_id of the script.
    short=tokens(4096),  # nothinking_max_response_length of the script.
  )
  c.reward = 'answer_score'
  c.reward_kw = dict(right=0.0, wrong=0.0, unanswered=0.0)
  # nothinking_bonus of the script.
  against = dict(weight=1.0, close='</think>', bonus=0.05)
  c.advantage = 'unchanged'  # adv_estimator=naive of the script.
  c.advantage_kw = dict()
  c.loss = 'forced_first_ratio'
  # VeRL's clip; adjust_old_logprobs of the script.
  c.loss_kw = dict(low=0.2, high=0.2, chance=0.5)
  c.aggregation = 'sequence_mean'  # compute_policy_loss.
  if size != 'paper':
    c.text_rewards = ('against_start',)
    c.text_rewards_kw = dict(against_start=against)
    # All problems, before the first update alone; 8 samples each, not 16.
    c.monitor_kw = dict(every=c.total_steps, problems=c.task_kw.problems)
    # One mini-batch, as in the paper: the best of four tries, a seed each. With
    # the quickstart's four the accuracy fell from 70 to 3 %, with two at 1e-4
    # or four at 5e-5 it stayed at 70 %.
    c.minibatches = 1
    c.optimizer_kw.warmup_steps = 5  # As many steps as the quickstart's 20.
    c.budget_kw.start = '#1'  # Every thought of the built-in task begins so.
    c.max_prompt_tokens += 1
    return c
  c.text_rewards = ('against_table',)
  against['table'] = 'presample/reference.jsonl'
  c.text_rewards_kw = dict(against_table=against)
  c.task_kw.instruction = '{problem}'  # src/preprocess_dataset.py.
  return c
