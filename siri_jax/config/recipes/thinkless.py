"""Thinkless: the first token chooses between a short reply and a thought.

  python -m siri_jax.main --config=configs/recipes/thinkless.py

DeGRPO weighs that token apart from the rest. The paper's form of the loss: the
mean over each response, where the code has the mean over a micro-batch. Without
the entropy term of 0.001, VeRL's default there: a loss here has one further
term, and this one has the KL.

Paper: arxiv.org/abs/2505.13379
Needs: the warmed-up model Vinnnf/Thinkless-1.5B-Warmup, set here
Numbers: open: the last step (300 here, README.md's reproduction)
Checked: its reward's code as a loop, its paper's loss in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=24_576,  # scripts/rl/thinkless_1.5b_deepscaler.sh.
    total_steps=300,  # README.md, Reproducibility.
    prompts_per_step=128,  # thinkless_1.5b_deepscaler.sh.
    group_size=8,  # The same.
    minibatches=2,  # Mini-batches of 64 prompts: the same.
    learning_rate=1e-6,  # The same.
    temperature=0.6,  # The same.
    model_path='Vinnnf/Thinkless-1.5B-Warmup',  # run_train_rl.sh.
  )
  c.reward = 'answer_score'
  c.reward_kw = dict(right=0.0, wrong=0.0, unanswered=0.0)
  c.text_rewards = ('score_by_mode',)
  scores = dict(
    weight=1.0,
    short='<short>',  # deepscaler/globals.py.
    thought='<think>',  # The same.
    right=(1.0, 0.5),  # thinkless_1.5b_deepscaler.sh.
    wrong=(-1.0, -1.0),  # The same.
    neither=-1.0,  # deepscaler/rewards/reward_types.py.
  )
  c.text_rewards_kw = dict(score_by_mode=scores)
  c.advantage = 'mean_only'  # thinkless_1.5b_deepscaler.sh: std_normalizer.
  c.advantage_kw = dict()
  c.loss = 'control_token'
  # VeRL's clip; the weights of thinkless_1.5b_deepscaler.sh.
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.001, alpha=0.001)
  c.aggregation = 'sequence_mean'  # Thinkless, section 3.2.
  if size != 'paper':  # The warm-up is SFT on traces of both modes.
    c.task = 'arithmetic_labelled'
    c.task_kw.labels = ('nil', '<think>')
    c.text_rewards_kw.score_by_mode.short = 'nil'
    return c
  # prepare_deepscaler_for_RL.py; no thought is opened by the prompt.
  c.task_kw.instruction = '{problem}'
  c.grading_rule_kw.kind = 'response'
  return c
