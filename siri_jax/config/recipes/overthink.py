"""OverThink: the first right solution with a reflection beats the longest.

  python -m siri_jax.main --config=configs/recipes/overthink.py

Offline: the start samples every problem once. A right sample is cut after its
second right solution, and the shortest result is preferred to the longest right
sample. SimPO learns from the pairs. Solutions are found by rule, where the
paper asks Llama-3.3-70B (docs/recipes.md).

Paper: arxiv.org/abs/2412.21187
Needs: nothing; presamples in its own folder
Numbers: open: all of SimPO's, batch, cap and steps; the samples are the paper's
Checked: its text, by hand; no code was found
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c = sizes.offline(
    size,
    cap=16_384,  # Open; SIRI's.
    samples=10,  # Section 3.1.
    problems=12_000,  # Section 3: PRM12K's.
    total_steps=187,  # Open: one epoch.
    prompts_per_step=64,  # Pairs; open.
    learning_rate=5e-7,  # Open: princeton-nlp/SimPO, README.md.
  )
  c.training_set = 'overthink'
  c.training_set_kw = dict(keep=2)  # FCS + Reflection, section 3.2.
  c.loss = 'simpo'
  c.loss_kw = dict(beta=2.0, gamma=1.0)  # princeton-nlp/SimPO, README.md.
  return c
