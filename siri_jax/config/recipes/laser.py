"""LASER: a bonus for right answers within a fixed target length.

  python -m siri_jax.main --config=configs/recipes/laser.py

Without Laser's entropy term of 0.001: a loss here has one further term, and
this one has the KL.

Paper: arxiv.org/abs/2505.15612
Needs: nothing
Numbers: complete
Checked: Laser's code as a loop in numpy; by hand
"""

from siri_jax.config import sizes


def start(size):
  """The sizes.Start of Laser's scripts, which have one cap, batch and loss."""
  begun = sizes.start(
    size,
    cap=16_384,  # laser-1.5b-l4096.sh.
    total_steps=1575,  # The same: 5 epochs of 40,315 problems.
    prompts_per_step=128,  # The same.
    group_size=8,  # The same.
    minibatches=2,  # The same: 64 of 128 prompts.
    learning_rate=1e-6,  # The same.
    temperature=0.6,  # The same.
  )
  begun.c.loss = 'grpo_kl'
  begun.c.loss_kw = dict(low=0.2, high=0.28, beta=0.001)  # The same.
  begun.c.aggregation = 'token_mean'  # VeRL's.
  return begun


def get_config(size='paper'):
  c, tokens, _ = start(size)
  c.reward = 'length_bonus'
  c.reward_kw = dict(
    target=tokens(4096),  # laser-1.5b-l4096.sh; also 2,048 and 8,192.
    bonus=0.5,  # The same.
    right=1.0,  # Laser, hf_math_verifier.py.
    wrong=-0.5,  # The same.
    unanswered=-1.0,  # The same.
  )
  return c
