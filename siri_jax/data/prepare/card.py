"""The data card of a prepared set: counts of rows, changes and drops."""

import collections

import numpy as np
import tabulate

from siri_jax.data.prepare import clean

LIMITS = (512, 1024)  # Prompt lengths counted in every card, tokens.


def counted(rows, groups, *, policy):
  """Counts of the rows of all inputs.

  Args:
    rows: list of columns.Row.
    groups: prepare.grouped(rows).
    policy: a key of clean.CONFLICTS.
  Returns:
    dict of counts. `conflicting_problems` compares the answers as written,
    `conflicting_once_unwrapped` the values of the unwrapped answers.
  """
  written = [len({row.answer for row in group}) for group in groups.values()]
  return {
    'rows': len(rows),
    'unique_problems': len(groups),
    'duplicate_rows': len(rows) - len(groups),
    'conflicting_problems': sum(count > 1 for count in written),
    'conflicting_once_unwrapped': sum(
      not clean.agree(group) for group in groups.values()
    ),
    'conflict_policy': f'{policy}: {clean.CONFLICTS[policy]}',
    'answers_unwrapped': sum(r.answer != r.problem.answer for r in rows),
    'instructions_removed': sum(row.instructed for row in rows),
  }


def lengths(rows, tokens, *, limit):
  """Statistics of the prompts' tokens, with template and instruction.

  Args:
    rows: list of columns.Row.
    tokens: dict from a problem's text to its prompt's tokens.
    limit: tokens; longer prompts are dropped.
  """
  sizes = np.array([tokens[row.problem.text] for row in rows])
  return {
    'median': int(np.median(sizes)),
    'p99': int(np.percentile(sizes, 99)),
    'longest': int(sizes.max()),
    'limit': limit,
    'rows_over': {
      str(n): int((sizes > n).sum()) for n in sorted({*LIMITS, limit})
    },
  }


def sources(kept):
  """Number of problems of each source, largest first."""
  return dict(collections.Counter(p.source for p in kept).most_common())


def markdown(card):
  """A card as Markdown."""
  prompts, dropped = card['prompts'], card['dropped']
  found = [
    ('rows', card['rows']),
    ('bad rows left out', card['bad_rows']),
    ('rows that repeat a problem', card['duplicate_rows']),
    ('problems', card['unique_problems']),
    ('... with several answers', card['conflicting_problems']),
    ('... still, once unwrapped', card['conflicting_once_unwrapped']),
    ('answers unwrapped', card['answers_unwrapped']),
    ('instructions removed', card['instructions_removed']),
    *_prompt_lines(prompts),
    *(
      (f'problems that are in {name} too', len(twins))
      for name, twins in card['overlap'].items()
    ),
  ]
  done = [
    (f'for their answers ({card["conflict_policy"]})', dropped['conflict']),
    ('for their length', dropped['too_long']),
    ('for being held out', dropped['overlap']),
  ]
  files = [
    (file['file'], file['rows'], file['bad_rows'], file['sha256'])
    for file in card['inputs'] + card['held_out']
  ]
  return '\n\n'.join(
    [
      f'# {card["file"]}: {card["problems"]:,} problems',
      f'sha256 {card["sha256"]}  \nfingerprint {card["fingerprint"]}',
      _table(found, ('found', 'count')),
      _table(done, ('problems dropped', 'count')),
      _table(card['sources'].items(), ('source', 'problems')),
      _table(files, ('file read', 'rows', 'bad', 'sha256')),
      *(['Bad rows:', *card['bad_rows_named']] if card['bad_rows'] else []),
    ]
  )


def _prompt_lines(prompts):
  """The table's rows about prompt lengths."""
  if not prompts:
    return [('prompts over the limit', 'not measured: no tokenizer')]
  spread = [('median', 'median'), ('p99', '99th percentile')]
  spread.append(('longest', 'longest'))
  lines = [(f'prompt tokens, {name}', prompts[key]) for key, name in spread]
  over = prompts['rows_over'].items()
  return lines + [(f'rows whose prompt is over {n}', k) for n, k in over]


def _table(rows, headers):
  """A Markdown table with escaped bars."""
  rows = [
    [
      cell.replace('|', '\\|') if isinstance(cell, str) else cell
      for cell in row
    ]
    for row in rows
  ]
  return tabulate.tabulate(rows, headers, tablefmt='pipe', intfmt=',')
