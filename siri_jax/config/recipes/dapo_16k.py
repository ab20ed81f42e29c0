"""DAPO at 16K: overlong buffer, dynamic sampling, clip-higher, token mean.

  python -m siri_jax.main --config=configs/recipes/dapo_16k.py

The baseline of the paper's Table 1: the cap is 8K, then 16K from step 320. The
buffer moves with the cap, also of another schedule.

Paper: arxiv.org/abs/2503.14476; caps: SIRI, section 5.1
Needs: nothing
Numbers: complete
Checked: VeRL's text of the formula, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, steps = sizes.start(
    size,
    cap=16_384,  # SIRI, 5.1.
    total_steps=1920,  # Of the runs that it is compared with.
    prompts_per_step=512,  # VeRL, docs/algo/dapo.md.
    group_size=16,  # DAPO, 4.1.
    minibatches=16,  # DAPO, 4.1.
    learning_rate=1e-6,  # DAPO, 4.1.
    optimizer_kw=dict(
      warmup_steps=320,  # DAPO, 4.1: 20 rollout steps.
      weight_decay=0.1,  # VeRL, run_dapo_qwen2.5_32b.sh.
    ),
  )
  c.schedule = 'piecewise'
  c.schedule_kw = dict(
    caps=(tokens(8192), tokens(16_384)),  # SIRI, 5.1.
    starts=(0, steps(320)),  # SIRI, 5.1.
    phase=0,
  )
  c.reward = 'overlong_buffer'
  c.reward_kw = dict(
    buffer=tokens(4096),  # DAPO, 4.1.
    factor=1.0,  # VeRL, docs/algo/dapo.md.
  )
  c.collect = 'dynamic'
  c.collect_kw = dict(max_rounds=10)  # VeRL, docs/algo/dapo.md.
  c.loss = 'clip_higher'
  c.loss_kw = dict(low=0.2, high=0.28)  # DAPO, 4.1.
  c.aggregation = 'token_mean'  # DAPO, 3.3.
  return c
