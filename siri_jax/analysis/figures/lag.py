"""The lag of the length of responses behind the cap, in steps."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from siri_jax.analysis import seeds
from siri_jax.analysis.figures import panels, style

DRAWS = 1000  # Bootstrap draws.
LEVEL = 95  # Per cent of an interval.


class Lag(NamedTuple):
  """A lag with its interval.

  Attributes:
    lag: steps from the cap to the length; negative if the length is first.
    low, high: its interval at LEVEL per cent, steps.
    correlation: correlation of cap and length at that lag.
    lags: int [L], all lags tried.
    curve: float [L], the correlation at each.
  """

  lag: int
  low: float
  high: float
  correlation: float
  lags: np.ndarray
  curve: np.ndarray


def estimate(series, most, block, seed=0):
  """The lag with the highest correlation of length and earlier cap.

  It uses the steps of each series whose caps are known from `most` steps before
  to `most` after. Linear trends of length and cap are removed, because a drift
  of the length is not caused by the cap. The interval is from a moving-block
  bootstrap: blocks of consecutive steps are drawn with replacement from all
  series, and the lag is estimated for each draw.

  Args:
    series: list of (cap, length), float [n] each, tokens at every step.
    most: the largest lag in either direction, steps; half a cycle, because a
      larger lag equals a smaller one of the opposite sign.
    block: steps of a block.
    seed: seed of the bootstrap.
  Returns:
    Lag.
  Raises:
    ValueError: a series has fewer than 2 * most + block steps.
  """
  lags = np.arange(-most, most + 1)
  windows = [_window(np.asarray(c), np.asarray(y), lags) for c, y in series]
  if min(len(y) for _, y in windows) < block:
    raise ValueError(f'needs {2 * most + block} steps')
  caps = np.concatenate([c for c, _ in windows])
  lengths = np.concatenate([y for _, y in windows])
  (curve,) = _correlations(np.ones((1, len(lengths))), caps, lengths)
  rng = np.random.default_rng(seed)
  weights = _blocks(rng, [len(y) for _, y in windows], block)
  found = lags[np.argmax(_correlations(weights, caps, lengths), axis=1)]
  tail = (100 - LEVEL) / 2
  low, high = np.percentile(found, [tail, 100 - tail])
  best = int(np.argmax(curve))
  return Lag(int(lags[best]), low, high, float(curve[best]), lags, curve)


def of_group(group):
  """The lag of a group of runs, or the reason why it has none.

  Args:
    group: seeds.Group.
  Returns:
    Lag or str.
  """
  run = group.longest
  # A sawtooth that rises has no stretch of compression.
  spans = panels.compressed_spans(run) or panels.expanded_spans(run)
  if not spans:
    return 'the cap never moves'
  starts = np.array([begin for begin, _ in spans])
  if len(starts) < 2:
    return 'the cap does not come back within the steps done'
  period = int(np.median(np.diff(starts)))
  series = [
    (run.column('cap'), run.column('length_mean'))
    for run in group.runs
    if len(run.column('cap')) >= 2 * period
    and np.isfinite(run.column('length_mean').astype(float)).all()
  ]
  if not series:
    return f'fewer than two cycles of {period} steps are done'
  return estimate(series, period // 2, max(period // 4, 1))


def table(runs):
  """The lag of each setting.

  Args:
    runs: list of runs.Run.
  Returns:
    DataFrame: setting, seeds, lag, low, high (steps), correlation, told (the
    reason why there is no lag).
  """
  rows = []
  for group in seeds.of(runs):
    found, row = of_group(group), {'setting': group.label}
    row['seeds'] = len(group.runs)
    if isinstance(found, str):
      row['told'] = found
    else:
      row |= {k: v for k, v in found._asdict().items() if np.isscalar(v)}
    rows.append(row)
  names = ['setting', 'seeds', 'lag', 'low', 'high', 'correlation', 'told']
  return pd.DataFrame(rows, columns=names)


def draw(runs):
  """Correlation of length and cap against the lag, with maximum and interval.

  Args:
    runs: list of runs.Run.
  Returns:
    matplotlib Figure, a curve for each setting.
  Raises:
    NothingToDrawError: no setting has a lag; gives the reasons.
  """
  found = [(group, of_group(group)) for group in seeds.of(runs)]
  none = _reasons(found)
  style.need(any(isinstance(lag, Lag) for _, lag in found), none)
  fig, axes = style.sheet(1, heights=2.2)
  ax = axes[0, 0]
  tops = []
  for (group, lag), look in style.cycled(found):
    if isinstance(lag, str):
      continue
    label = f'{lag.lag} steps ({lag.low:.0f} to {lag.high:.0f})'
    ax.plot(
      lag.lags,
      lag.curve,
      linewidth=1.2,
      label=f'{group.label}: {label}',
      **look,
    )
    tops.append((lag, look['color']))
  for lag, colour in tops:
    reach = [[lag.lag - lag.low], [lag.high - lag.lag]]
    reach = np.maximum(reach, 0)  # The maximum may be outside its interval.
    ax.errorbar(
      lag.lag,
      lag.correlation,
      xerr=reach,
      color=colour,
      marker='o',
      markersize=4,
      capsize=2,
      linewidth=1,
    )
  ax.axvline(0, color='0.7', linewidth=0.6, zorder=0)
  ax.set_xlabel('lag of the length behind the cap, steps')
  ax.set_ylabel('correlation')
  style.legend(fig, [ax], columns=1)
  how = (
    f'Dots: highest correlation; bars: its {LEVEL} % interval, by bootstrap of '
    'blocks of a quarter cycle over steps and seeds.'
  )
  style.note(fig, how, none)
  return fig


def _reasons(found):
  """A sentence with the reasons for missing lags; '' if none is missing."""
  by_reason = {}
  for group, lag in found:
    if isinstance(lag, str):
      by_reason.setdefault(lag, []).append(group.label)
  parts = [f'{", ".join(own)} ({why})' for why, own in by_reason.items()]
  return f'No lag: {"; ".join(parts)}.' if parts else ''


def _window(cap, length, lags):
  """The caps at every lag and the length of each step, without trends.

  Returns:
    float [rows, L] and [rows].
  """
  most = -int(lags[0])
  steps = np.arange(most, max(len(cap) - most, most))
  caps = cap[steps[:, None] - lags].astype(float)
  lengths = length[steps].astype(float)
  line = np.stack([np.ones(len(steps)), steps], axis=1)
  both = np.column_stack([caps, lengths])
  both -= line @ np.linalg.lstsq(line, both, rcond=None)[0]
  return both[:, :-1], both[:, -1]


def _blocks(rng, sizes, block):
  """Counts of each row in each resample of blocks, float [DRAWS, rows]."""
  firsts = np.concatenate(
    [
      begin + np.arange(size - block + 1)
      for begin, size in zip(np.cumsum([0, *sizes]), sizes, strict=False)
    ]
  )
  rows = sum(sizes)
  taken = rng.choice(firsts, (DRAWS, -(-rows // block)))
  picked = (taken[:, :, None] + np.arange(block)).reshape(DRAWS, -1)
  picked += rows * np.arange(DRAWS)[:, None]
  counts = np.bincount(picked.ravel(), minlength=DRAWS * rows)
  return counts.reshape(DRAWS, rows).astype(float)


def _correlations(weights, caps, lengths):
  """Weighted correlation of the length with the caps at every lag.

  Args:
    weights: float [draws, rows].
    caps: float [rows, L].
    lengths: float [rows].
  Returns:
    float [draws, L]; 0 if one of the two is constant.
  """
  shares = weights / weights.sum(axis=1, keepdims=True)
  cap, length = shares @ caps, (shares @ lengths)[:, None]
  both = shares @ (caps * lengths[:, None]) - cap * length
  of_caps = shares @ caps**2 - cap**2
  of_lengths = (shares @ lengths**2)[:, None] - length**2
  scale = np.sqrt(np.maximum(of_caps * of_lengths, 0))
  return np.divide(both, scale, out=np.zeros_like(both), where=scale > 0)
