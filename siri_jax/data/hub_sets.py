"""Data sets of the Hugging Face Hub as problem files.

A set is prepared as by siri_jax.commands.prepare, once, in HF_HOME/siri_jax.
"""

import contextlib
import fcntl
import hashlib
import json
import pathlib
import re
import sys

from huggingface_hub import constants

from siri_jax.data import problems
from siri_jax.data.prepare import columns, convert
from siri_jax.models.hf import hub
from siri_jax.runtime import files

RULES = 1  # Raise it if the same rows are prepared otherwise.
# What a repository has in JSON besides its rows.
ABOUT = ('dataset_infos', 'dataset_info', 'config', 'state')
_SHARD = re.compile(r'-\d+-of-\d+$')


def problem_file(text, held_out=None):
  """The path of a problem file, or of a Hub data set's, which it prepares.

  Args:
    text: a path, or OWNER/NAME[@REVISION][:SPLIT].
    held_out: of training problems: dict from the name of each held-out set to
      its problem file. Their problems are dropped from a data set, and so are
      its rows without an answer; a held-out set must be whole.
  Raises:
    hub.HubError: its files cannot be fetched.
    ValueError: it has no such split, or its rows are no problems.
  """
  name = hub.parse(text)
  if not name:
    return pathlib.Path(text)
  folder = hub.fetched(name, hub.data_patterns(name))
  inputs = _of_split(folder, name)
  key = [
    *(RULES, held_out is None),
    [str(path.relative_to(folder)) for path in inputs],
    {key: files.sha256(path) for key, path in (held_out or {}).items()},
  ]
  key = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
  made = pathlib.Path(constants.HF_HOME, 'siri_jax', *name.repo.split('/'))
  out = made / folder.name / key[:16] / 'problems.jsonl'
  with _locked(out.parent):
    if not out.is_file():
      print(f'preparing {name}, once, in {out.parent}', file=sys.stderr)
      _prepare(name, inputs, held_out, out)
  return out


def _prepare(name, inputs, held_out, out):
  """Writes the problem file of a data set's files, and its card."""
  short = name.repo.partition('/')[2]
  found = [convert.read(path, short) for path in inputs]
  bad = [fault for file in found for fault in file.bad]
  if held_out is None and bad:
    raise ValueError(problems.listed(f'{name}: {len(bad):,} bad rows', bad))
  evals = {key: _own(path) for key, path in (held_out or {}).items()}
  kept, card = convert.sifted(found, evals)
  if not kept:
    raise ValueError(f'{name}: no row is a problem: {"; ".join(bad[:3])}')
  convert.write(out, kept, card | {'hub': f'{name.repo}@{out.parts[-3]}'})


def _own(path):
  """The convert.File of a problem file."""
  rows = [columns.Row(p, p.answer, False) for p in problems.read(path)]
  return convert.File(pathlib.Path(path), files.sha256(path), rows, [])


def _of_split(folder, name):
  """The files of a data set's split, in order."""
  splits = {}
  for path in sorted(folder.rglob('*')):
    short = _SHARD.sub('', path.stem)
    if path.suffix in hub.DATA and short not in ABOUT:
      key = path.relative_to(folder).with_name(short + path.suffix)
      splits.setdefault(str(key), []).append(path)
  fits = [key for key in splits if name.split in ('', *_spellings(key))]
  if len(fits) != 1:
    known = ', '.join(
      f':{pathlib.Path(key).with_suffix("")!s}' for key in splits
    )
    raise ValueError(
      f'{str(name)!r} fits {len(fits)} of the splits of this data set, and '
      f'must fit one; end the name in one of {known or "none: it has no rows"}'
    )
  return splits[fits[0]]


def _spellings(key):
  """The names of a split: of its path data/test.jsonl also test."""
  path = pathlib.Path(key)
  return key, str(path.with_suffix('')), path.stem


@contextlib.contextmanager
def _locked(folder):
  """A context in which no other process prepares in this folder."""
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / '.lock', 'a') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield
