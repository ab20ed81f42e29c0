"""Log-ratios of two policies, float32 nats: bounded, and as an estimated KL.

Sources: verl, core_algos.py (both bounds); Schulman, Approximating KL
divergence, joschu.net/blog/kl-approx.html (k3).
"""

import jax.numpy as jnp

# exp overflows above 88 nats, and its gradient is NaN then. A loss's clip cuts
# a ratio of e^20 in any case.
MOST = 20.0  # Nats.
MOST_K3 = 10.0  # Nats, of one token in a loss.


def bounded(ratios):
  """Log-ratios [...] within MOST; what is not finite stays, and is skipped."""
  clipped = jnp.clip(ratios, -MOST, MOST)
  return jnp.where(jnp.isfinite(ratios), clipped, ratios)


def k3(ratios):
  """exp(d) - d - 1 of bounded d [...]: a KL's estimate, never below 0, nats.

  Written with expm1, so that the value keeps its digits near d = 0.
  """
  ratios = bounded(ratios)
  return jnp.expm1(ratios) - ratios
