"""Settings of each schedule for comparisons with the same caps and cycle.

A new schedule needs a function in siri_jax/algorithm/schedules.py and a line
here. `configs/quickstart.py:NAME`, ablations, figures, the cost table and the
tests then include it.
"""


def presets(low, high, period):
  """The settings of every schedule, all for the same caps and cycle.

  Args:
    low: lowest cap, tokens.
    high: highest cap, tokens.
    period: steps of a cycle.
  Returns:
    dict from the name of a schedule to its settings.
  """
  cycle = dict(low=low, high=high, period=period, phase=0)
  half = period // 2
  return {
    'constant': dict(cap=high),
    'stair': dict(**cycle, low_share=0.5, first='low'),  # Paper's Figure 3.
    'cosine': cycle,
    'stair_cosine': cycle,
    'piecewise': dict(caps=(low, high), starts=(0, half), phase=0),  # 8K, 16K.
    'asymmetric_cosine': dict(**cycle, fall=max(half // 2, 1)),
  }
