"""A settings line for each schedule: what it is compared with others by.

A schedule of your own is one function in siri_jax/algorithm/schedules.py and
one line here. `configs/quickstart.py:NAME`, ablations, figures, the planner
and the tests of the family then have it.
"""


def presets(low, high, period):
  """Settings by the schedule's name, all for the same caps and cycle.

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
