"""VibeThinker's MGPO: groups with even odds weigh most.

  python -m siri_jax.main --config=configs/recipes/vibethinker.py

The report gives the weight's form. Its lambda, batch and caps were not found;
batch and cap are the base's.

Paper: arxiv.org/abs/2511.06221
Needs: nothing; its own run starts from a model of its own
Numbers: open: lambda (1 here), batch, caps
Checked: the report's formula in numpy; by hand
"""

from siri_jax.config import sizes


def get_config(size='paper'):
  c, _, _ = sizes.start(size, cap=16_384, total_steps=640)
  c.advantage = 'maxent_guided'
  c.advantage_kw = dict(eps=1e-6, strength=1.0)  # Our choice.
  return c
