"""AdaCtrl: a response begins with its difficulty, and easy ones are brief.

  python -m siri_jax.main --config=recipes/adactrl --config.model_path=FOLDER

Its rewards of 1 and -1 with two terms of weight 0.5 are halved and moved by a
constant here: the advantages are the same.

Paper: arxiv.org/abs/2505.18822
Needs: a model whose replies begin with [Easy] or [Hard]: AdaCtrl's cold start
Numbers: open: the last step (500 here) and the words of its training prompts
Checked: its code as loops, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, _ = sizes.start(
    size,
    cap=24_576,  # verl/qwen-7b.sh.
    total_steps=500,  # Our choice; the script ends by hand, before 5,000.
    prompts_per_step=256,  # qwen-7b.sh.
    group_size=16,  # The same.
    minibatches=8,  # Mini-batches of 32 prompts: the same.
    max_prompt_tokens=2048,  # The same.
    learning_rate=1e-6,  # The same.
    temperature=1.0,  # The same.
    optimizer_kw=dict(
      warmup_steps=80,  # The same: 10 GRPO steps.
      weight_decay=0.1,  # The same.
    ),
  )
  c.reward = 'overlong_buffer'
  # A half of qwen-7b.sh's factor; the buffer is the same.
  c.reward_kw = dict(buffer=tokens(4096), factor=0.5)
  c.text_rewards = ('difficulty_label', 'brief_if_easy')
  label = dict(
    weight=0.25,  # A half of diff_format_weight of qwen-7b.sh.
    easy='[Easy]',  # verl/workers/reward_manager/naive.py.
    hard='[Hard]',  # The same.
    threshold=0.625,  # diff_threshold of qwen-7b.sh.
  )
  brief = dict(weight=0.25, easy='[Easy]')  # A half of diff_len_weight.
  c.text_rewards_kw = dict(difficulty_label=label, brief_if_easy=brief)
  c.collect = 'dynamic'  # qwen-7b.sh, by accuracy.
  c.collect_kw = dict(max_rounds=10)  # The same.
  c.loss = 'clip_higher'
  c.loss_kw = dict(low=0.2, high=0.28)  # qwen-7b.sh.
  c.aggregation = 'token_mean'  # qwen-7b.sh: use_token_level_loss.
  if size != 'paper':  # The cold start is SFT on traces with both labels.
    c.task = 'arithmetic_labelled'
    c.task_kw.labels = ('nil', '<think>')
    c.text_rewards_kw.difficulty_label.update(easy='nil', hard='<think>')
    c.text_rewards_kw.brief_if_easy.easy = 'nil'
    return c
  c.grading_rule_kw.kind = 'response'  # No thought is opened by the prompt.
  return c
