"""Memory of a GPU that samples and trains in turns.

This is server_kw.placement='shared'. The server's share of the GPU is
server_kw.memory. vLLM fills the rest of its share with keys and values.
"""

import tabulate

from siri_jax.config import forecast, memory

# Bytes of forecast.WORKING that stay while vLLM sleeps: assumed. A run's log of
# vLLM has its own numbers.
ASLEEP = 2e9
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
  held = forecast.serving(plan, shape, c.update_kw.device_gb)
  return {
    'parameters and optimiser': (state, state),
    'server: weights': (held.weights, 0),
    'server: graphs, activations': (forecast.WORKING, ASLEEP),
    'server: keys and values': (held.cache, 0),
    'rest of the update': (0, memory.total(update) - state),
  }


def text(plan, shape):
  """The table of `halves`, and whether both fit."""
  found, limit = halves(plan, shape), plan.c.update_kw.device_gb
  totals = [sum(column) for column in zip(*found.values(), strict=True)]
  rows = {**found, 'in all': totals}
  lines = tabulate.tabulate(
    [[name, *(n / 1e9 for n in pair)] for name, pair in rows.items()],
    ('', 'sampling', 'training'),
    floatfmt='.2f',
  ).splitlines()
  responses = forecast.serving(plan, shape, limit).responses
  most = (1 - memory.SPARE) * limit * 1e9
  verdict = 'fit' if max(totals) <= most else 'do NOT fit'
  return '\n'.join(
    [
      'Estimated memory of one GPU in both halves of a step, GB',
      *lines,
      f'Both halves {verdict} {limit:g} GB. The server has room for '
      f'{responses:,}\nresponses of the greatest length at a time.',
    ]
  )
