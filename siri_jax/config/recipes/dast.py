"""DAST: pairs by a budget of tokens that follows a problem's difficulty.

  python -m siri_jax.main --config=configs/recipes/dast.py

Offline: the start samples every problem once. Of the right samples of a problem
the shortest is preferred to the longest, of the wrong ones the longest to the
shortest. SimPO learns from the pairs.

Paper: arxiv.org/abs/2503.04472
Needs: nothing; presamples in its own folder
Numbers: open: SimPO's beta and gamma (its README's here), batch, temperature
Checked: formulas as quoted from the paper, whose code was not found; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c = sizes.offline(
    size,
    cap=4096,  # Section 4.1.
    samples=20,  # Section 4.1.
    problems=0,  # All; section 4.1 takes MATH's.
    total_steps=160,  # One epoch of about 10,300 pairs: section 4.1.
    prompts_per_step=64,  # Pairs; open.
    learning_rate=5e-6,  # Section 4.1.
  )
  c.training_set = 'dast'
  # The 7B's; section 4.1 has 0.15 and section 4.2.4 has 0.18.
  c.training_set_kw = dict(drop=0.15)
  c.loss = 'simpo'
  c.loss_kw = dict(beta=2.0, gamma=1.0)  # princeton-nlp/SimPO, README.md.
  return c
