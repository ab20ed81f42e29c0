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
  # Our choice: a closed loop crosses the range in half a cycle at most, its
  # phases last an eighth of one at least, its average is over a sixteenth.
  rate, eighth = max(high - low, 1) / half, max(period // 8, 2)
  loop = dict(
    low=low,
    high=high,
    fall=rate,
    rise=rate,
    smoothing=min(16 / period, 1.0),
    least=eighth,
  )
  return {
    'constant': dict(cap=high),
    'stair': dict(**cycle, low_share=0.5, first='low'),  # Paper's Figure 3.
    'cosine': cycle,
    'stair_cosine': cycle,
    'piecewise': dict(caps=(low, high), starts=(0, half), phase=0),  # 8K, 16K.
    'asymmetric_cosine': dict(**cycle, fall=max(half // 2, 1)),
    # 5 points and 1 point of accuracy; the average needs an eighth to recover.
    'accuracy_turns': dict(**loop, drop=0.05, gain=0.01, patience=2 * eighth),
    # The cap is a tenth above 95 % of the right responses.
    'length_quantile': dict(**loop, quantile=0.95, margin=1.1, band=0.02),
    # A tenth off the target moves the highest cap at the full rate.
    'truncation_target': dict(
      **loop, target=0.2, gain=10 * rate / high, band=0.02
    ),
  }
