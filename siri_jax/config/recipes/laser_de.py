"""LASER-DE: LASER-D, and the bonus for wrong answers that go on exploring.

  python -m siri_jax.main --config=configs/recipes/laser_de.py

The targets follow what the policy can do: a monitor pass measures it on the
same 500 problems every 20 steps. Without Laser's entropy term of 0.001: a loss
here has one further term, and this one has the KL.

Paper: arxiv.org/abs/2505.15612
Needs: nothing
Numbers: complete
Checked: Laser's code as loops, by hand
"""

from siri_jax.config.recipes import laser_d


def get_config(size='paper'):
  c = laser_d.get_config(size)  # laser-de-1.5b-l4096.sh has its numbers.
  c.text_rewards = ('laser_de',)
  c.text_rewards_kw = dict(laser_de=c.text_rewards_kw.laser_d)
  return c
