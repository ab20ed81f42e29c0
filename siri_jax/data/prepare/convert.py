"""Conversion of files of problems to one problem file with a data card."""

import hashlib
import json
import pathlib
import sys
from typing import NamedTuple

import tqdm

from siri_jax.config import base
from siri_jax.data import problems
from siri_jax.data.prepare import card as cards
from siri_jax.data.prepare import clean, columns
from siri_jax.grading import pool
from siri_jax.runtime import files

COMPARED = {'kind': 'answer', 'verify_kw': {}}  # Two answers of a problem.
CHUNK = 2000  # Prompts encoded between two lines of progress.


class File(NamedTuple):
  """An input file and its rows."""

  path: pathlib.Path
  sha256: str
  rows: list[columns.Row]
  bad: list[str]


def read(path, name=''):
  """The File of a path.

  Args:
    path: ends in one of columns.SUFFIXES.
    name: for the ids and sources of rows that have none; '': the file's.
  """
  path = pathlib.Path(path)
  found = list(columns.read(path, name))
  rows = [row for row, _ in found if row]
  bad = [fault for _, fault in found if fault]
  return File(path, files.sha256(path), rows, bad)


def sifted(
  inputs,
  evals,
  talk=None,
  *,
  conflicts='drop',
  max_prompt_tokens=0,
  instruction='',
  remove_overlap=True,
):
  """One problem for each text of the inputs, and the data card.

  Args:
    inputs: list of File.
    evals: dict of the File of each held-out set, by name.
    talk: chat.Chat, to drop long prompts; None: drops none.
    conflicts: a key of clean.CONFLICTS.
    max_prompt_tokens: tokens; longer prompts are dropped.
    instruction: for the card, that of talk.
    remove_overlap: whether to drop the problems of held-out sets.
  Returns:
    (list of types.Problem, card as a dict).
  """
  rows = [row for file in inputs for row in file.rows]
  groups = _by_value(clean.grouped(rows))
  tokens = _tokens(talk, list(groups)) if talk else {}
  overlap = {
    name: clean.overlap(groups, [row.problem for row in file.rows])
    for name, file in evals.items()
  }
  held_out = {text for twins in overlap.values() for text in twins}
  kept, dropped = clean.sift(
    groups,
    conflicts=conflicts,
    too_long={t for t, size in tokens.items() if size > max_prompt_tokens},
    overlapping=held_out if remove_overlap else (),
  )
  bad = [fault for file in (*inputs, *evals.values()) for fault in file.bad]
  return kept, {
    'problems': len(kept),
    'fingerprint': problems.fingerprint(kept),
    'sources': cards.sources(kept),
    'inputs': [_origin(file) for file in inputs],
    'held_out': [_origin(file) for file in evals.values()],
    'bad_rows': len(bad),
    'bad_rows_named': bad[: problems.SHOWN],
    **cards.counted(rows, groups, policy=conflicts),
    'instruction': instruction,
    'prompts': (
      cards.lengths(rows, tokens, limit=max_prompt_tokens) if tokens else {}
    ),
    'overlap': {
      name: {groups[text][0].problem.id: twin for text, twin in twins.items()}
      for name, twins in overlap.items()
    },
    'dropped': dropped,
  }


def write(out, kept, card):
  """Writes the problems and the card, each atomically; returns the card's text.

  The problems come last, so that a file of problems has its card.
  """
  lines = (
    {'id': p.id, 'problem': p.text, 'answer': p.answer, 'source': p.source}
    for p in kept
  )
  body = ''.join(json.dumps(line) + '\n' for line in lines).encode()
  digest = hashlib.sha256(body).hexdigest()
  card = {'file': out.name, 'sha256': digest, **card}
  story = cards.markdown(card)
  out.parent.mkdir(parents=True, exist_ok=True)
  whole = json.dumps(card, indent=1) + '\n'
  files.write_atomically(out.with_suffix('.card.json'), whole.encode())
  files.write_atomically(out.with_suffix('.card.md'), story.encode())
  files.write_atomically(out, body)
  return story


def _by_value(groups):
  """The groups with answers of one value spelt alike: no conflict."""
  pairs = clean.contested(groups)
  if not pairs:
    return groups
  settings = base.get_config().grader_kw
  with pool.GraderPool('math_verify', COMPARED, **settings) as graders:
    verdicts = graders.grade(*zip(*pairs, strict=True))
  found = zip(pairs, verdicts, strict=True)
  return clean.joined(groups, {pair for pair, v in found if v.correct})


def _tokens(talk, texts):
  """Prompt tokens of each text; prints progress."""
  tokens = {}
  starts = range(0, len(texts), CHUNK)
  terminal = sys.stderr.isatty()
  for start in tqdm.tqdm(starts, 'prompts', disable=not terminal):
    chunk = texts[start : start + CHUNK]
    tokens.update(zip(chunk, talk.lengths(chunk), strict=True))
    if not terminal:
      print(f'{len(tokens):,} of {len(texts):,} prompts measured', flush=True)
  return tokens


def _origin(file):
  return {
    'file': file.path.name,
    'rows': len(file.rows),
    'bad_rows': len(file.bad),
    'sha256': file.sha256,
  }
