"""Problem files: checked JSON lines of id, problem, answer and source."""

import codecs
import dataclasses
import functools
import hashlib
import itertools
import json
import logging
import os
import re

from siri_jax import types
from siri_jax.rollout import asking

KEYS = ('id', 'problem', 'answer', 'source')
TOO_LONG = 'a number of too many digits: write it as a string, in quotes'
SHOWN = 20  # Faults listed in one message.
_SET_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_+.-]{0,63}')


def read(path, *, skip_bad=False):
  """The problems of a JSONL file, in its order.

  Args:
    path: UTF-8 lines {"id", "problem", "answer", "source"}, each a string;
      `id` is unique, and only `source` may be empty. An answer that is a JSON
      list of texts stands for all of them. Further keys are the problem's
      columns. A byte-order mark, CRLF and blank lines are ignored.
    skip_bad: skip bad lines and log their number instead of raising.
  Returns:
    list of types.Problem, at least one.
  Raises:
    ValueError: the file is missing, has bad lines (all named) or no problem.
  """
  good, bad = scan(path)
  if bad and not skip_bad:
    headline = (
      f'{path}: bad lines ({len(bad):,}); correct them or run '
      'siri_jax.commands.prepare'
    )
    raise ValueError(listed(headline, bad))
  if bad:
    logging.warning('%s', listed(f'{path}: lines skipped ({len(bad):,})', bad))
  if not good:
    raise ValueError(
      f'{path} has no problems; write lines of {{"id": ..., "problem": ..., '
      '"answer": ..., "source": ...}'
    )
  return good


def scan(path):
  """(problems, faults) of a JSONL file; a fault is 'file:line: message'."""
  name = os.path.basename(path)
  good, bad, seen = [], [], {}
  for number, row, fault in lines(path):
    fault = fault or _fault(row)
    if not fault and row['id'] in seen:
      first = seen[row['id']]
      fault = f'"id" {row["id"]!r} is already in line {first}; change one'
    if fault:
      bad.append(f'{name}:{number}: {fault}')
    else:
      seen[row['id']] = number
      problem = types.Problem(
        id=row['id'],
        text=row['problem'],
        answer=_answer(row['answer']),
        source=row['source'],
        columns={k: v for k, v in row.items() if k not in KEYS},
      )
      good.append(problem)
  return good, bad


def lines(path):
  """Yields (line number, object or None, fault or '') of non-empty lines."""
  if not os.path.isfile(path):
    raise ValueError(f'{str(path)!r} is not a file; name a problem file')
  with open(path, 'rb') as file:
    for number, line in enumerate(file, 1):
      if number == 1:
        line = line.removeprefix(codecs.BOM_UTF8)
      if line.strip():
        yield number, *_object(line)


def _object(line):
  """(object, '') of a line, or (None, fault)."""
  try:
    row = json.loads(line.decode())
  except UnicodeDecodeError as error:
    return None, f'byte {error.start + 1} is not UTF-8; save the file as UTF-8'
  except json.JSONDecodeError as error:
    cut = '' if line.endswith(b'\n') else '; the file ends here: is it cut?'
    return None, f'not JSON at column {error.colno}: {error.msg}{cut}'
  except ValueError:
    return None, TOO_LONG
  except RecursionError:
    return None, 'nested too deeply; write one flat object a line'
  if not isinstance(row, dict):
    return None, f'a {type(row).__name__}; write one object {{...}} a line'
  return row, ''


def _answer(text):
  """An answer, or the answers of a JSON list of texts, any of which will do."""
  if not text.startswith('["'):
    return text
  try:
    listed = json.loads(text)
  except (ValueError, RecursionError):
    return text
  texts = all(isinstance(each, str) and each.strip() for each in listed)
  return tuple(listed) if texts else text


def _fault(row):
  """The faults of one row, '' if it has none."""
  wrong = [f'"{key}" is missing' for key in KEYS if key not in row]
  for key in KEYS:
    value = row.get(key, '-')
    if not isinstance(value, str):
      wrong.append(f'"{key}" is {value!r}; write it as a string, in quotes')
    elif not value.strip() and key != 'source':
      wrong.append(f'"{key}" is empty; fill it in or delete the row')
    elif not encodable(value):
      wrong.append(f'"{key}" has half of a surrogate pair; remove it')
  return '; '.join(wrong)


def encodable(text):
  """Whether a text is valid Unicode; JSON can hold invalid text."""
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


def listed(headline, faults):
  """A headline, the first faults below it, and the number of the others."""
  more = len(faults) - SHOWN
  end = [f'... and {more:,} more'] if more > 0 else []
  return '\n  '.join([f'{headline}:', *faults[:SHOWN], *end])


def fingerprint(problems):
  """sha256 of problems, in order; independent of the file's format."""
  digest = hashlib.sha256()
  for problem in problems:
    row = [problem.id, problem.text, problem.answer, problem.source]
    row += [dict(problem.columns)] if problem.columns else []
    digest.update(json.dumps(row).encode() + b'\n')
  return digest.hexdigest()


def check_names(evals):
  """Refuses names of held-out sets that cannot be names of files.

  Raises:
    ValueError: some cannot; names each.
  """
  wrong = [name for name in evals if not _SET_NAME.fullmatch(name)]
  if wrong:
    raise ValueError(
      f'bad names of held-out sets: {", ".join(map(repr, wrong))}; files are '
      'named after them, so use letters, digits and _ + - . inside'
    )


def drop_long(task, max_prompt_tokens, asked=None):
  """Drops the training problems whose prompt is too long.

  Args:
    task: types.Task. Only prompts that may be too long by its `longest` and
      `most_tokens` are encoded.
    max_prompt_tokens: most tokens of a prompt, with template, instruction and
      the words of any budget.
    asked: problem -> list of the types.Budget that lengthen its prompt most;
      None if none does.
  Returns:
    (task, number of dropped problems). Dropping changes the fingerprint.
  Raises:
    ValueError: no problem is left, or a held-out problem is too long: without
      it the set would be a different one, so the limit must be raised.
  """
  most = None if task.longest is None else task.longest + _added(task, asked)
  if most is not None and most <= max_prompt_tokens:
    return task, 0
  fits = functools.partial(_fits, task, max_prompt_tokens, asked)
  kept = [problem for problem in task.train if fits(problem)]
  wrong = []
  if task.train and not kept:
    wrong.append(f'no training prompt fits in {max_prompt_tokens} tokens')
  for name, held_out in task.evals.items():
    long = [problem.id for problem in held_out if not fits(problem)]
    if long:
      wrong.append(
        f'{name}: {len(long)} of {len(held_out)} prompts do not fit, '
        f'such as {long[0]!r}'
      )
  if wrong:
    raise ValueError(
      listed(
        f'max_prompt_tokens={max_prompt_tokens} is too low; raise it', wrong
      )
    )
  dropped = len(task.train) - len(kept)
  if not dropped:
    return task, 0
  prints = {**task.fingerprints, 'data': fingerprint(kept)}
  return dataclasses.replace(task, train=kept, fingerprints=prints), dropped


def _added(task, asked):
  """Tokens that budgets add to a prompt of a task of prompts alike."""
  if not asked:
    return 0
  problem = next(itertools.chain(task.train, *task.evals.values()))
  longest = max(len(asking.encode(task, problem, b)) for b in asked(problem))
  return longest - len(task.encode(problem))


def _fits(task, most, asked, problem):
  budgets = asked(problem) if asked else ()
  # A token has at least a byte; a template may put two between the words.
  words = [2 + len((b.words + b.first).encode()) for b in budgets]
  longest = max(words, default=0)
  if task.most_tokens and task.most_tokens(problem) + longest <= most:
    return True
  prompts = [asking.encode(task, problem, b) for b in budgets]
  return all(len(ids) <= most for ids in prompts or [task.encode(problem)])
