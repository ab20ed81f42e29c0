"""Delethink: a response in chunks, each from the newest tokens before it.

  python -m siri_jax.main --config=configs/recipes/delethink.py

No row has more than 8,192 tokens of a response of up to 24,576: compute grows
with the length alone, and memory does not. The paper's loss is the mean over
the chunks, with a trace's length scaled by traces / chunks: that is the mean
over traces of each trace's mean over its tokens. Under a schedule a lower cap
leaves fewer chunks.

Paper: arxiv.org/abs/2510.06557
Needs: nothing
Numbers: complete, but for VeRL's dual clip at a ratio of 3
Checked: its code as loops in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  # All numbers are of r1d-1.5b_deepscaler_delethink_24k.yaml and its parent.
  c, tokens, _ = sizes.start(
    size,
    cap=24_576,  # 8192 + 4 * 4096.
    total_steps=1000,
    prompts_per_step=128,
    group_size=8,
    minibatches=2,  # Its two steps each have half of the chunks of all traces.
    learning_rate=1e-6,
    temperature=0.6,
    optimizer_kw=dict(weight_decay=0.0),
  )
  c.budget = 'in_chunks'
  c.budget_kw = dict(
    context=tokens(8192), carried=tokens(4096), head=tokens(100)
  )
  c.loss = 'truncated_importance'
  c.loss_kw = dict(low=0.2, high=0.26, cap=2.0)
  c.aggregation = 'sequence_mean'
  return c
