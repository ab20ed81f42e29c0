r"""Measures the graders: python -m tools.benchmarks.grading

Prints grades a second and the latency of one response (p50, p99), for each rule
in worker processes and for plain math-verify in one process. There are two
sets: grading cases of other systems (*.jsonl files of a folder, --cases), and
synthetic responses of 16K tokens with the usual kinds of answers. The
throughput is measured with all responses submitted at once to started workers
with an empty cache. The latency is measured one by one, over the first --singly
responses of the set. Plain math-verify grades only those.
"""

import json
import logging
import os
import pathlib
import random
import sys
import time
from typing import NamedTuple

import numpy as np
import tabulate

from siri_jax.config import base, command_line
from siri_jax.grading.pool import GraderPool

DATA = pathlib.Path(
  os.environ.get('SIRI_DATA', pathlib.Path(__file__).parents[3] / 'shared/data')
)
RULES = ('deepscaler', 'math_verify', 'either')
REPLY_CHARACTERS = 64_000  # 16K tokens of four characters.
GROUP = 8  # Responses to one problem.
# Filler text with formulas, guesses and boxes that do not count.
THOUGHT = (
  'Wait, let me check that again. If $x^2 - 5x + 6 = 0$ then $x = 2$ or '
  '$x = 3$, so the sum is \\boxed{5}, but the problem asks for the product. '
  'Hmm, \\[ \\frac{1}{2} + \\frac{1}{3} = \\frac{5}{6}. \\] '
)
# (weight, right answer, other spellings of it, wrong answers). The weights are
# about those of DeepScaleR, where three in five answers are integers.
ANSWERS = (
  (58, '{n}', ('{n}', '{n}.0', 'x = {n}'), ('{m}', '-{n}')),
  (13, '\\frac{{{n}}}{{97}}', ('\\dfrac{{{n}}}{{97}}', '{n}/97'), ('{m}/97',)),
  (16, '{n}\\sqrt{{2}}', ('\\sqrt{{2}} \\cdot {n}',), ('{m}\\sqrt{{2}}',)),
  (5, '({n}, {m})', ('\\left({n},{m}\\right)',), ('({m}, {n})',)),
  (4, '[{n}, \\infty)', ('x \\ge {n}',), ('({n}, \\infty)',)),
  (4, 'x^2 + {n}x', ('x(x + {n})', '{n}x + x^2'), ('x^2 - {n}x',)),
)


class Case(NamedTuple):
  """An answer to grade."""

  gold: str | list[str]
  text: str
  kind: str


def main(argv=None):
  logging.disable(logging.CRITICAL)  # math-verify logs every timeout.
  flags = _flags(argv)
  sets = {
    'cases': cases(flags.cases),
    '16K tokens': replies(flags.replies, random.Random(0)),
  }
  if not sets['cases']:
    print(
      f'Skipping cases: {flags.cases} has no *.jsonl; set --cases=FOLDER.',
      file=sys.stderr,
    )
    del sets['cases']
  table = []
  for name, rows in sets.items():
    print(f'{name}: {len(rows)} answers ...', file=sys.stderr)
    table.append([name, 'math-verify, plain', 1, *plain(rows[: flags.singly])])
    for rule in RULES:
      numbers = pooled(rule, rows, flags)
      table.append([name, rule, flags.workers, *numbers])
  headers = ['set', 'grader', 'processes', 'answers', 'grades/s', 'all, s']
  headers += ['p50, ms', 'p99, ms']
  print(tabulate.tabulate(table, headers, 'github', floatfmt='.4g'))


def cases(folder):
  """The grading cases of a folder's *.jsonl files; [] if it has no files."""
  rows = [
    json.loads(line)
    for path in sorted(folder.glob('*.jsonl'))
    for line in path.read_text().splitlines()
  ]
  return [Case(row['gold'], row['pred'], row['kind']) for row in rows]


def replies(count, draws):
  """Responses of 16K tokens, GROUP per problem, about half of them right."""
  weights = [weight for weight, *_ in ANSWERS]
  made = []
  while len(made) < count:
    _, gold, right, wrong = draws.choices(ANSWERS, weights)[0]
    n, m = draws.sample(range(1, 97), 2)
    for _ in range(GROUP):
      answer = draws.choice(draws.choice((right, wrong))).format(n=n, m=m)
      thought = THOUGHT * (REPLY_CHARACTERS // len(THOUGHT))
      text = f'{thought}{len(made)}</think> Thus \\boxed{{{answer}}}.'
      made.append(Case(gold.format(n=n, m=m), text, 'continuation'))
  return made[:count]


def plain(rows):
  """math-verify with its defaults, called in this process, one by one."""
  import math_verify

  def grade(row):
    golds = [row.gold] if isinstance(row.gold, str) else row.gold
    parsed = math_verify.parse(row.text)
    return any(math_verify.verify(math_verify.parse(g), parsed) for g in golds)

  grade(Case('1 + x', '\\boxed{x + 1}', 'response'))
  secs = [_timed(grade, row) for row in rows]
  return _numbers(len(rows), sum(secs), secs)


def pooled(rule, rows, flags):
  """A rule in its worker processes: all at once, then one by one."""
  spare = dict(kind='response', verify_kw={})
  settings = dict(workers=flags.workers, secs=flags.secs, memory_gb=4.0)

  def grade(some):
    kinds = [{'kind': row.kind} for row in some]
    golds, texts = [row.gold for row in some], [row.text for row in some]
    return graders.grade(golds, texts, kinds)

  with GraderPool(rule, spare, **settings) as graders:
    total = _timed(grade, rows)
  with GraderPool(rule, spare, **settings) as graders:
    secs = [_timed(grade, [row]) for row in rows[: flags.singly]]
  return _numbers(len(rows), total, secs)


def _timed(work, rows):
  start = time.perf_counter()
  work(rows)
  return time.perf_counter() - start


def _numbers(count, total, secs):
  """Answers, grades a second, seconds in all, p50 and p99 in milliseconds."""
  p50, p99 = 1000 * np.percentile(secs, [50, 99])
  return count, count / total, total, p50, p99


def _flags(argv):
  parser = command_line.parser(__doc__)
  c = base.get_config()
  add = parser.add_argument
  add('--cases', default=DATA / 'graders', type=pathlib.Path, help='a folder')
  add('--replies', type=int, default=1024, help='responses of 16K tokens')
  add('--singly', type=int, default=320, help='responses graded one by one')
  add('--workers', type=int, default=c.grader_kw.workers, help='processes')
  add('--secs', type=float, default=c.grader_kw.secs, help='time limit')
  return parser.parse_args(argv)


if __name__ == '__main__':
  main()
