"""LIMR: training on the problems that a run learns as it does the average.

  python -m siri_jax.main --config=configs/recipes/limr.py \\
    --config.train_only=FILE.jsonl

FILE.jsonl is of `siri-jax select`, from a run on all problems with
record_kw.rollouts_every=1. Without it the recipe is that run. It trains by
GRPO, not PPO.

Paper: arxiv.org/abs/2502.11886
Needs: a run on all problems, and `siri-jax select`
Numbers: open: steps, rewards; LIMR trains by PPO with a critic
Checked: its code as loops in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=3072,  # scripts/train_limr.sh.
    total_steps=210,  # Open; 21 epochs of 1,389 problems, as many as it scores.
    prompts_per_step=128,  # 1,024 samples: train_limr.sh.
    group_size=8,  # train_limr.sh.
    minibatches=4,  # Of 256 samples: train_limr.sh.
    learning_rate=5e-7,  # train_limr.sh.
    temperature=1.2,  # train_limr.sh.
  )
  c.loss = 'grpo_kl'
  c.loss_kw = dict(low=0.2, high=0.2, beta=0.01)  # train_limr.sh.
  c.record_kw.rollouts_every = 1  # For `siri-jax select`.
  return c
