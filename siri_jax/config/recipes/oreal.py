"""OREAL: right and wrong responses have losses of their own weights.

  python -m siri_jax.main --config=configs/recipes/oreal.py

A step has one update, so its gradient is the policy gradient for both: OREAL's
likelihood of right responses times their advantage has the same one. Without
its token-level reward model, its prompts by difficulty and the decay of its
learning rate to 1e-7.

Paper: arxiv.org/abs/2502.06781
Needs: nothing; its own runs start from a model of its own
Numbers: complete
Checked: the sum of its two losses in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(
    size,
    cap=14_000,  # OREAL, oreal_wo_tokenrm_OREAL-7B-SFT_seqlen16k.py.
    total_steps=90,  # The same.
    prompts_per_step=64,  # The same: 1,024 samples.
    group_size=16,  # The same.
    learning_rate=5e-7,  # The same.
    optimizer_kw=dict(warmup_steps=10),  # The same.
    top_p=0.9,  # The same.
  )
  c.minibatches = 1  # The same; the gradient above needs it.
  c.reward = 'answer_score'
  c.reward_kw = dict(right=1.0, wrong=-1.0, unanswered=-1.0)  # math_judger.py.
  c.advantage = 'sign_balanced'
  c.advantage_kw = dict(right=1.0, wrong=0.5)  # The first file.
  c.loss = 'grpo_kl'
  c.loss_kw = dict(
    low=0.2, high=0.2, beta=0.01
  )  # The same; nothing is clipped.
  c.aggregation = 'token_mean'  # The same: "per_token".
  return c
