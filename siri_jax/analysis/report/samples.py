"""Samples of the same problems at two points, for the report."""

import re

from siri_jax.analysis.figures import style, words

UNSEEN = re.compile(
  r'[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]'
)
PROBLEMS = 4  # Problems with samples shown, for each setting.


def of_group(group, chosen):
  """The newest samples of a group's first run at two points; None without.

  The points are compressed and expanded, or the first and last evaluation if
  the cap has no extrema.
  """
  run = group.runs[0]
  newest = {record['kind']: record['step'] for record in run.evals}
  ends = [kind for kind in style.MARKERS if kind in newest]
  if len(ends) < 2:
    steps = sorted({record['step'] for record in run.evals})
    newest = {f'step {step}': step for step in steps}
    ends = list(newest)[:: max(len(newest) - 1, 1)]
  tables = [words.samples_at(run, newest[kind]) for kind in ends]
  if not tables or not all(tables):
    return None
  titles = [f'{k}, step {newest[k]}' if k in style.MARKERS else k for k in ends]
  return {
    'label': group.label,
    'run': run.name,
    'says': ' beside '.join(titles),
    'pairs': [
      (
        _visible(str(pair[0].get('problem', ''))),
        _visible(str(pair[0].get('answer', ''))),
        [_sample(*part, chosen) for part in zip(titles, pair, strict=True)],
      )
      for pair in _pairs(tables)
    ],
  }


def _pairs(tables):
  """The first samples of the same problems at each point.

  If possible, half of the pairs have equal verdicts and half different ones.
  """
  first = [{row['problem_id']: row for row in reversed(t)} for t in tables]
  common = [key for key in reversed(first[0]) if all(key in f for f in first)]
  pairs = [[f[key] for f in first] for key in common]
  if not pairs:  # The points have no common problems; pair any two.
    ways = (list(f.values())[::-1] for f in first)
    pairs = [list(pair) for pair in zip(*ways, strict=False)]
  alike, apart = [], []
  for pair in pairs:
    same = len({row['correct'] for row in pair}) == 1
    (alike if same else apart).append(pair)
  shown = apart[: max(PROBLEMS // 2, PROBLEMS - len(alike))]
  return alike[: PROBLEMS - len(shown)] + shown


def _sample(at, row, chosen):
  segments = words.segments(_visible(row['response']), chosen)
  return {
    'at': at,
    'verdict': 'correct' if row['correct'] else 'incorrect',
    'truncated': row['finish_reason'] == 'length',
    'extracted': _visible(str(row.get('extracted') or '')),
    'length': row['length'],
    'marked': sum(marked for _, marked in segments),
    'segments': segments,
  }


def _visible(text):
  """Text with visible control characters, which could reverse it."""
  return UNSEEN.sub(lambda found: f'<{ord(found[0]):04X}>', text)
