r"""Converts problem sets to one checked problem file with a data card.

  python -m siri_jax.commands.prepare deepscaler.json more.parquet \
    --out=data/train.jsonl --tokenizer=models/r1 \
    --evals=data/aime24.jsonl,data/math500.jsonl --remove_overlap

Reads JSONL, JSON and Parquet in the schemas of DeepScaleR, VeRL and Hugging
Face's sets of mathematics. Writes lines {"id", "problem", "answer", "source"}
to OUT.jsonl, and counts of rows, changes and drops to OUT.card.json and
OUT.card.md. If a row is bad, its file and line are printed and nothing is
written; --skip_bad drops and counts such rows. 40,308 rows take half a minute.
"""

import collections
import hashlib
import json
import os
import pathlib
import sys
from typing import NamedTuple

import tqdm

from siri_jax.config import base, command_line
from siri_jax.data import chat, problems
from siri_jax.data.prepare import card as cards
from siri_jax.data.prepare import clean, columns
from siri_jax.grading import pool

COMPARED = {'kind': 'answer', 'verify_kw': {}}  # Two answers of a problem.
CHUNK = 2000  # Prompts encoded between two lines of progress.


class File(NamedTuple):
  """An input file and its rows."""

  path: pathlib.Path
  sha256: str
  rows: list[columns.Row]
  bad: list[str]


def main(argv=None):
  """Exit status: 0 done, 1 bad rows, 2 bad arguments."""
  parser = _parser()
  options = parser.parse_args(argv)
  try:
    talk = _checked(options)
    files = [_read(path) for path in options.inputs]
    evals = [_read(path) for path in options.evals]
  except ValueError as error:
    parser.error(str(error))
  bad = [fault for file in files + evals for fault in file.bad]
  if bad and not options.skip_bad:
    headline = f'{len(bad):,} bad rows; nothing written (--skip_bad drops them)'
    print(problems.listed(headline, bad), file=sys.stderr)
    return 1
  kept, card = _sifted(files, evals, talk, options)
  if not kept:
    print('no problem is left; nothing written', file=sys.stderr)
    return 1
  _write(pathlib.Path(options.out), kept, card)
  return 0


def _parser():
  parser = command_line.parser(__doc__)
  c, add = base.get_config(), parser.add_argument
  add('inputs', nargs='+', metavar='IN', help='.jsonl, .json or .parquet files')
  add('--out', required=True, metavar='OUT.jsonl', help='the problem file')
  add(
    '--tokenizer',
    default='',
    metavar='FOLDER',
    help='tokenizer that measures prompts; without it none is dropped',
  )
  add(
    '--max_prompt_tokens',
    type=int,
    default=c.max_prompt_tokens,
    help='longer prompts are dropped, tokens; %(default)s',
  )
  add(
    '--instruction',
    default=c.task_kw.instruction,
    help='text around each problem, as in task_kw.instruction of the run',
  )
  add(
    '--evals',
    type=lambda text: [path for path in text.split(',') if path],
    action='extend',
    default=[],
    metavar='A,B',
    help='held-out sets that the problems must not overlap',
  )
  add('--remove_overlap', action='store_true', help='drop overlapping problems')
  add(
    '--conflicts',
    choices=clean.CONFLICTS,
    default='drop',
    help='; '.join(f'{k}: {v}' for k, v in clean.CONFLICTS.items()),
  )
  add(
    '--skip_bad',
    action='store_true',
    help='drop and count bad rows instead of refusing the file',
  )
  return parser


def _checked(options):
  """The tokenizer or None.

  Raises:
    ValueError: arguments are invalid; lists all faults.
  """
  wrong, talk = [], None
  paths = [pathlib.Path(path) for path in options.inputs + options.evals]
  for path in paths:
    if not path.is_file():
      wrong.append(f'{path} is not a file')
    elif path.suffix not in columns.SUFFIXES:
      known = ', '.join(columns.SUFFIXES)
      wrong.append(f'{path} does not end in one of {known}')
  out = pathlib.Path(options.out)
  if out.suffix != '.jsonl':
    wrong.append(f'--out={out} does not end in .jsonl')
  if out.resolve() in [path.resolve() for path in paths]:
    wrong.append(f'--out={out} would overwrite an input; name another file')
  names = collections.Counter(pathlib.Path(p).stem for p in options.evals)
  wrong += [
    f'--evals has {n} sets called {k}' for k, n in names.items() if n > 1
  ]
  if options.remove_overlap and not options.evals:
    wrong.append('--remove_overlap needs --evals')
  if options.tokenizer:
    try:
      talk = chat.load(options.tokenizer, instruction=options.instruction)
    except ValueError as error:
      wrong.append(f'--tokenizer: {error}')
  if wrong:
    raise ValueError('\n  '.join(['', *wrong]))
  return talk


def _read(path):
  """The File of a path."""
  path = pathlib.Path(path)
  found = list(columns.read(path))
  rows = [row for row, _ in found if row]
  bad = [fault for _, fault in found if fault]
  print(f'{path}: {len(rows):,} rows, {len(bad):,} of them bad', flush=True)
  return File(path, hashlib.sha256(path.read_bytes()).hexdigest(), rows, bad)


def _sifted(files, evals, talk, options):
  """(problems to keep, data card)."""
  rows = [row for file in files for row in file.rows]
  groups = _by_value(clean.grouped(rows))
  tokens = _tokens(talk, list(groups)) if talk else {}
  limit = options.max_prompt_tokens
  overlap = {
    file.path.stem: clean.overlap(groups, [row.problem for row in file.rows])
    for file in evals
  }
  held_out = {text for twins in overlap.values() for text in twins}
  kept, dropped = clean.sift(
    groups,
    conflicts=options.conflicts,
    too_long={text for text, size in tokens.items() if size > limit},
    overlapping=held_out if options.remove_overlap else (),
  )
  bad = [fault for file in files + evals for fault in file.bad]
  return kept, {
    'problems': len(kept),
    'fingerprint': problems.fingerprint(kept),
    'sources': cards.sources(kept),
    'inputs': [_origin(file) for file in files],
    'held_out': [_origin(file) for file in evals],
    'bad_rows': len(bad),
    'bad_rows_named': bad[: problems.SHOWN],
    **cards.counted(rows, groups, policy=options.conflicts),
    'instruction': options.instruction,
    'prompts': cards.lengths(rows, tokens, limit=limit) if tokens else {},
    'overlap': {
      name: {groups[text][0].problem.id: twin for text, twin in twins.items()}
      for name, twins in overlap.items()
    },
    'dropped': dropped,
  }


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


def _write(out, kept, card):
  """Writes the problems and the card, each atomically."""
  lines = (
    {'id': p.id, 'problem': p.text, 'answer': p.answer, 'source': p.source}
    for p in kept
  )
  body = ''.join(json.dumps(line) + '\n' for line in lines)
  digest = hashlib.sha256(body.encode()).hexdigest()
  card = {'file': out.name, 'sha256': digest, **card}
  story = cards.markdown(card)
  _replace(out, body)
  _replace(out.with_suffix('.card.json'), json.dumps(card, indent=1) + '\n')
  _replace(out.with_suffix('.card.md'), story)
  print(f'\n{story}\nWrote {out} with its .card.json and .card.md')


def _replace(path, text):
  """Writes a file atomically."""
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.with_name(path.name + '.tmp')
  draft.write_text(text, encoding='utf-8')
  os.replace(draft, path)


if __name__ == '__main__':
  sys.exit(main())
