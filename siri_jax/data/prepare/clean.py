"""Cleaning of problem sets: duplicates, conflicts, length and overlap.

Rows with the same text are one problem.
"""

import collections
import dataclasses
import functools
import itertools
import re

CONFLICTS = {
  'drop': 'a problem with several answers is dropped',
  'first': 'the first answer is kept',
  'majority': 'the most frequent answer is kept; a tie drops the problem',
}
# What does not change a problem, in the order in which it goes; lower case.
_LAYOUT = [
  (re.compile(pattern), spelt)
  for pattern, spelt in (
    (r'\\(?:left|right|displaystyle|textstyle|limits)(?![a-z])', ''),
    (r'\\[dtc]frac(?![a-z])', r'\\frac'),
    (r'\\(?:leq?|leqslant)(?![a-z])|≤', '<='),
    (r'\\(?:geq?|geqslant)(?![a-z])|≥', '>='),
    (r'\\neq?(?![a-z])|≠', '!='),
    (r'\\lt(?![a-z])', '<'),
    (r'\\gt(?![a-z])', '>'),
    (r'\\(?:cdot|times)(?![a-z])|[·×⋅]', '*'),
    (r'\\div(?![a-z])|÷', '/'),
    (r'[−–]', '-'),
    # A box of words, a line break, spaces, the edges of a formula.
    (r'\\(?:text|mathrm|textbf|textit|mbox)\s*\{([^{}]*)\}', r'\1'),
    (r'\\\\(?:\[[^\]]*\])?', r'\\\\ '),
    (r'\\[,;:!> ]|\\q?quad(?![a-z])|~', ' '),
    (r'(?<!\\)\$|(?<!\\)\\[()\[\]]', ' '),
    # Signs of a sentence: after a word, or a full stop that is no point.
    (r'(?<=[^\W\d_]{2})\s*[,;:!?.]+(?=\s|$)', ' '),
    (r'\.(?!\d)|\?|[\'"`‘’“”]{2}|["“”]', ' '),
    (r'(?<=[^\W\d_]{2})-(?=[^\W\d_]{2})|—', ' '),
    (r'\{\s*(\w(?:_\w)?)\s*\}', r'\1'),
    (r'\\(?=[a-z{}%&])', ''),
    (r'\s+', ''),
  )
]


def grouped(rows):
  """The rows of each problem, by its text, in the order of the first."""
  groups = collections.defaultdict(list)
  for row in rows:
    groups[row.problem.text].append(row)
  return dict(groups)


def contested(groups):
  """(answer, other answer) of one problem that are spelt differently."""
  unlike = (group for group in groups.values() if not agree(group))
  given = (dict.fromkeys(r.problem.answer for r in group) for group in unlike)
  return [pair for each in given for pair in itertools.combinations(each, 2)]


def joined(groups, same):
  """The groups with answers of one value spelt as the first of them.

  Args:
    groups: what `grouped` returns.
    same: set of those pairs of `contested` that are of one value.
  """
  return {text: _joined(group, same) for text, group in groups.items()}


def _joined(group, same):
  spelt = {}
  for answer in dict.fromkeys(row.problem.answer for row in group):
    firsts = (first for first in spelt if (first, answer) in same)
    spelt[answer] = spelt.get(next(firsts, None), answer)
  return [
    row._replace(
      problem=dataclasses.replace(row.problem, answer=spelt[row.problem.answer])
    )
    for row in group
  ]


def chosen(group, conflicts):
  """The row that is kept for a problem, or None.

  Args:
    group: the rows of one problem.
    conflicts: a key of CONFLICTS; unused if the answers agree.
  """
  votes = collections.Counter(_spelled(row.problem.answer) for row in group)
  (answer, most), *others = votes.most_common()
  if not others or conflicts == 'first':
    return group[0]
  if conflicts == 'drop' or others[0][1] == most:
    return None
  return next(r for r in group if _spelled(r.problem.answer) == answer)


def agree(group):
  """Whether the unwrapped answers of a problem are equal."""
  return len({_spelled(row.problem.answer) for row in group}) == 1


def _spelled(answer):
  """An answer with one spelling of equivalent LaTeX."""
  return re.sub(r'\s+', '', re.sub(r'\\[dt]frac', r'\\frac', answer))


@functools.lru_cache(2**17)  # Training problems meet several held-out sets.
def asked(text):
  """A problem's text without spaces, layout and punctuation, to find overlap.

  Operators, commas between values and decimal points stay, because problems
  may differ in them alone. A text without letters and digits stays whole.
  """
  text = text.lower()
  bare = text if re.search(r'[^\W_]', text) else ''
  for pattern, spelt in _LAYOUT:
    bare = pattern.sub(spelt, bare)
  return bare or re.sub(r'\s+', '', text)


def overlap(texts, held_out):
  """Problems that are also in a held-out set, ignoring their layout.

  Args:
    texts: the problems' texts.
    held_out: list of types.Problem.
  Returns:
    dict from the text of a problem to the id of its held-out twin.
  """
  twins = {asked(problem.text): problem.id for problem in held_out}
  found = ((text, twins.get(asked(text))) for text in texts)
  return {text: twin for text, twin in found if twin is not None}


def sift(groups, *, conflicts, too_long, overlapping):
  """One problem for each group, without those to drop.

  Args:
    groups: result of `grouped`.
    conflicts: a key of CONFLICTS.
    too_long: texts of the problems to drop for their length.
    overlapping: texts of the problems to drop because they are held out.
  Returns:
    (problems, counts): list of types.Problem with unique ids; and the number
    of problems dropped for each reason, counted under the first that applies.
  """
  kept, counts = [], dict.fromkeys(('conflict', 'too_long', 'overlap'), 0)
  for text, group in groups.items():
    row = chosen(group, conflicts)
    if row is None:
      counts['conflict'] += 1
    elif text in too_long:
      counts['too_long'] += 1
    elif text in overlapping:
      counts['overlap'] += 1
    else:
      kept.append(row.problem)
  return _own_ids(kept), counts


def _own_ids(problems):
  """The same problems with unique ids: a second `id` becomes `id~2`."""
  taken, times, named = set(), collections.Counter(), []
  for problem in problems:
    name = problem.id
    while name in taken:
      times[problem.id] += 1
      name = f'{problem.id}~{1 + times[problem.id]}'
    taken.add(name)
    named.append(dataclasses.replace(problem, id=name))
  return named
