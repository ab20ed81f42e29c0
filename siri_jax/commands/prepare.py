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
import pathlib
import sys

from siri_jax.config import base, command_line
from siri_jax.data import chat, problems
from siri_jax.data.prepare import clean, columns, convert
from siri_jax.models.hf import hub


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
  kept, card = convert.sifted(
    files,
    {file.path.stem: file for file in evals},
    talk,
    conflicts=options.conflicts,
    max_prompt_tokens=options.max_prompt_tokens,
    instruction=options.instruction,
    remove_overlap=options.remove_overlap,
  )
  if not kept:
    print('no problem is left; nothing written', file=sys.stderr)
    return 1
  out = pathlib.Path(options.out)
  story = convert.write(out, kept, card)
  print(f'\n{story}\nWrote {out} with its .card.json and .card.md')
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
      talk = chat.load(
        hub.folder(options.tokenizer, hub.TOKENIZER),
        instruction=options.instruction,
        template_kw={},
        thought=False,
      )
    except ValueError as error:
      wrong.append(f'--tokenizer: {error}')
  if wrong:
    raise ValueError('\n  '.join(['', *wrong]))
  return talk


def _read(path):
  """The convert.File of a path."""
  file = convert.read(path)
  counts = f'{len(file.rows):,} rows, {len(file.bad):,} of them bad'
  print(f'{path}: {counts}', flush=True)
  return file


if __name__ == '__main__':
  sys.exit(main())
