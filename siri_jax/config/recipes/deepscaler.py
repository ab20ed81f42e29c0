"""DeepScaleR: GRPO with a KL term under a cap of 8K, then 16K, then 24K.

  python -m siri_jax.main --config=configs/recipes/deepscaler.py

One run instead of three: the later stages continue from the weights and the
optimiser at hand, and sample 8 responses a prompt as the first does; DeepScaleR
samples 16 there.

Paper: github.com/agentica-project/rllm, scripts/deepscaler
Needs: nothing
Numbers: open: the last step (1,760 here)
Checked: GRPO's formulas, by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, tokens, steps = sizes.start(
    size,
    cap=24_576,  # deepscaler_1.5b_24k.sh.
    total_steps=1760,  # Our choice; README.md names steps 1040 and 1520 only.
    prompts_per_step=128,  # deepscaler_1.5b_8k.sh.
    group_size=8,  # deepscaler_1.5b_8k.sh; 16 in the others.
    minibatches=2,  # Mini-batches of 64 prompts: deepscaler_1.5b_8k.sh.
    learning_rate=1e-6,  # deepscaler_1.5b_8k.sh.
    temperature=0.6,  # deepscaler_1.5b_8k.sh.
  )
  c.schedule = 'piecewise'
  c.schedule_kw = dict(
    caps=(tokens(8192), tokens(16_384), tokens(24_576)),
    starts=(0, steps(1040), steps(1520)),  # rllm, README.md.
    phase=0,
  )
  c.loss = 'grpo_kl'
  # VeRL's clip; the coefficient of deepscaler_1.5b_8k.sh.
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.001)
  c.aggregation = 'token_mean'  # VeRL's mean over all tokens.
  return c
