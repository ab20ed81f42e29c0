"""Log-ratios of two policies, float32 nats: bounded, and the k3 KL estimate.

Sources: verl, core_algos.py (both bounds); Schulman, Approximating KL
divergence, joschu.net/blog/kl-approx.html (k3).
"""

import jax.numpy as jnp

# exp overflows above 88 nats, and its gradient is NaN then. The losses clip a
# ratio of e^20 anyway.
MOST = 20.0  # Nats.
MOST_K3 = 10.0  # Nats, of one token in a loss.


def bounded(ratios):
  """Clips log-ratios [...] to MOST; keeps inf and NaN, which skip an update."""
  clipped = jnp.clip(ratios, -MOST, MOST)
  return jnp.where(jnp.isfinite(ratios), clipped, ratios)


def k3(ratios):
  """exp(d) - d - 1 of bounded d [...]: an estimate of a KL, >= 0, nats.

  expm1 keeps the precision near d = 0.
  """
  ratios = bounded(ratios)
  return jnp.expm1(ratios) - ratios
