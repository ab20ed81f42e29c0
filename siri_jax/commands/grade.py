r"""Grades a file of responses.

  python -m siri_jax.commands.grade --rule=deepscaler IN.jsonl

Each row of IN.jsonl is {"gold", "pred"}; "gold" may be a list of accepted
answers. "kind" is the type of "pred": "response", a whole response (default);
"answer", only an answer; "text", prose without a box, where the answer is also
searched in "gold". "settings" may change math-verify's options for the row:
"match_types", "precision", "strict", "allow_set_relation_comp" (see
siri_jax/grading/equivalence.py). Other keys are ignored.

Prints a JSON line for each row, in order: {"correct", "extracted", "why"}. If
rows have "expected", it also prints the number of rows graded as expected.
--help lists what each rule accepts and what it refuses on purpose.
"""

import inspect
import json
import sys
import textwrap

import tqdm

from siri_jax import plugins
from siri_jax.config import base, command_line
from siri_jax.data import problems
from siri_jax.grading import equivalence
from siri_jax.grading.pool import GraderPool

KINDS = ('response', 'answer', 'text')
OPTIONS = tuple(inspect.signature(equivalence.options).parameters)
AT_ONCE = 64  # Rows graded at a time.


def main(argv=None):
  """Exit status: 0 done, 2 bad arguments or rows."""
  parser = _parser()
  flags = parser.parse_args(argv)
  try:
    rows = read(flags.rows)
    graders = _graders(flags)
  except ValueError as error:
    parser.error(str(error))
  with graders, tqdm.tqdm(total=len(rows), disable=None) as progress:
    batches = [rows[i : i + AT_ONCE] for i in range(0, len(rows), AT_ONCE)]
    tickets = [_submit(graders, flags.rule, batch) for batch in batches]
    agreed = []
    for batch, ticket in zip(batches, tickets, strict=True):
      verdicts = graders.collect(ticket)
      for row, verdict in zip(batch, verdicts, strict=True):
        if 'expected' in row:
          agreed.append(verdict.correct == row['expected'])
        print(json.dumps(vars(verdict)))
      sys.stdout.flush()
      progress.update(len(batch))
  if agreed:
    print(f'as expected: {sum(agreed)} of {len(agreed)}', file=sys.stderr)
  return 0


def read(path):
  """The rows of a file of cases.

  Raises:
    ValueError: the file is missing or has bad rows; names file and lines.
  """
  rows, bad = [], []
  for number, row, fault in problems.lines(path):
    fault = fault or _fault(row)
    if fault:
      bad.append(f'{path}:{number}: {fault}')
    rows.append(row)
  if bad:
    raise ValueError(problems.listed(f'{len(bad)} bad rows', bad))
  return rows


def _fault(row):
  """The faults of a row, '' if it has none."""
  wrong = [f'"{key}" is missing' for key in ('gold', 'pred') if key not in row]
  gold = row.get('gold', '')
  if not all(map(_is_text, gold if isinstance(gold, list) else [gold])):
    wrong.append(f'"gold" is {gold!r}; write a text or a list of texts')
  if not _is_text(row.get('pred', '')):
    wrong.append(f'"pred" is {row["pred"]!r}; write a text')
  if (row.get('kind') or 'response') not in KINDS:
    wrong.append(f'"kind" is {row["kind"]!r}; write one of {", ".join(KINDS)}')
  if not isinstance(row.get('settings') or {}, dict):
    wrong.append(f'"settings" is {row["settings"]!r}; write an object')
  return '; '.join(wrong)


def _is_text(value):
  """Whether a value is text, or a number, which some sets have."""
  return isinstance(value, str | int | float) and not isinstance(value, bool)


def _submit(graders, rule, rows):
  golds = [
    list(map(str, gold)) if isinstance(gold, list) else str(gold)
    for gold in (row['gold'] for row in rows)
  ]
  preds = [str(row['pred']) for row in rows]
  return graders.submit(golds, preds, [_settings(rule, row) for row in rows])


def _settings(rule, row):
  """The row's settings that the rule takes."""
  options = row.get('settings') or {}
  settings = dict(
    kind=row.get('kind') or 'response',
    verify_kw={name: options[name] for name in OPTIONS if name in options},
  )
  takes = plugins.settings_of(plugins.function('grading_rule', rule))
  return {name: settings[name] for name in settings if name in takes}


def _graders(flags):
  given = json.loads(flags.rule_kw)
  return GraderPool(
    flags.rule,
    _settings(flags.rule, {}) | given,
    workers=flags.workers,
    secs=flags.secs,
    memory_gb=flags.memory_gb,
  )


def _parser():
  parser = command_line.parser(__doc__, epilog=_rules())
  c = base.get_config()
  add = parser.add_argument
  add('rows', metavar='IN.jsonl', help='responses with their golds')
  names = ', '.join(plugins.names('grading_rule'))
  add('--rule', default=c.grading_rule, help=f'{names} or module:function')
  add('--rule_kw', default='{}', help='settings of the rule, as JSON')
  for name, type_, text in (
    ('workers', int, 'processes that grade'),
    ('secs', float, 'seconds after which a response is given up'),
    ('memory_gb', float, 'memory limit of a worker, GiB'),
  ):
    add(
      f'--{name}',
      type=type_,
      default=c.grader_kw[name],
      help=f'{text}; %(default)s',
    )
  return parser


def _rules():
  """The docstrings of the rules."""
  lines = ['rules:']
  for name in plugins.names('grading_rule'):
    text = inspect.getdoc(plugins.function('grading_rule', name))
    lines += ['', f'  {name}', textwrap.indent(text, '    ')]
  return '\n'.join(lines)


if __name__ == '__main__':
  sys.exit(main())
