"""Memory of a GPU that samples and trains in turns.

This is server_kw.placement='shared'. The server's share of the GPU is
server_kw.memory. vLLM fills the rest of its share with keys and values.
"""

import jax.numpy as jnp
import tabulate

from siri_jax.config import memory
from siri_jax.models import decoder

# Our assumptions for a GPU; a run's log of vLLM has its own numbers.
WORKING = 4e9  # Bytes of vLLM's CUDA graphs, activations and libraries.
ASLEEP = 2e9  # Bytes of them that stay while it sleeps.
STATE = ('parameters', 'optimiser')  # On the GPU in both halves.


def halves(plan, shape):
  """Bytes of one GPU by purpose, while it samples and while it trains.

  Args:
    plan: plan.Plan.
    shape: the policy's decoder.ModelConfig.
  Returns:
    dict, purpose -> (sampling, training).
  """
  c = plan.c
  found = memory.of_plan(plan, shape)
  update = found[memory.choose_remat(c, found)]
  state = sum(update[name] for name in STATE)
  width = jnp.dtype(c.compute_dtype).itemsize
  weights = width * decoder.param_count(shape) / c.server_kw.tensor
  cache = c.server_kw.memory * c.device_gb * 1e9 - weights - WORKING
  return {
    'parameters and optimiser': (state, state),
    'server: weights': (weights, 0),
    'server: graphs, activations': (WORKING, ASLEEP),
    'server: keys and values': (max(cache, 0), 0),
    'rest of the update': (0, memory.total(update) - state),
  }


def cached_tokens(plan, shape):
  """Tokens whose keys and values a server of one GPU holds."""
  c = plan.c
  width = jnp.dtype(c.compute_dtype).itemsize
  heads = max(1, shape.kv_heads // c.server_kw.tensor)
  a_token = 2 * width * shape.layers * heads * shape.head_dim
  return int(halves(plan, shape)['server: keys and values'][0] / a_token)


def text(plan, shape):
  """The table of `halves`, and whether both fit."""
  found, limit = halves(plan, shape), plan.c.device_gb
  totals = [sum(column) for column in zip(*found.values(), strict=True)]
  rows = {**found, 'in all': totals}
  lines = tabulate.tabulate(
    [[name, *(n / 1e9 for n in pair)] for name, pair in rows.items()],
    ('', 'sampling', 'training'),
    floatfmt='.2f',
  ).splitlines()
  tokens, most = cached_tokens(plan, shape), (1 - memory.SPARE) * limit * 1e9
  responses = tokens // (plan.c.max_prompt_tokens + plan.longest)
  verdict = 'fit' if max(totals) <= most else 'do NOT fit'
  return '\n'.join(
    [
      'Estimated memory of one GPU in both halves of a step, GB',
      *lines,
      f'Both halves {verdict} {limit:g} GB. The server has room for {tokens:,} '
      f'tokens:\n{responses:,} responses of the greatest length at a time.',
    ]
  )
