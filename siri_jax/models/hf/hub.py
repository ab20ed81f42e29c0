"""Names on the Hugging Face Hub where a path may stand.

A name is OWNER/NAME, OWNER/NAME@REVISION or, of a data set,
OWNER/NAME@REVISION:SPLIT. huggingface_hub fetches into its cache and follows
HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE. Only the files of a kind's
patterns are fetched: nothing is unpickled, and no code from the Hub is run.
"""

import functools
import pathlib
import re
from typing import NamedTuple

import huggingface_hub
from huggingface_hub import constants, errors

TOKENIZER = (
  'config.json',
  'generation_config.json',
  *('tokenizer*', 'special_tokens_map.json', 'added_tokens.json'),
  *('vocab.json', 'merges.txt', '*.jinja', 'LICENSE*'),
)
MODEL = (*TOKENIZER, '*.safetensors', 'model.safetensors.index.json')
DATA = ('.jsonl', '.json', '.parquet')
ANSWER_SECS = 10
_PART = r'[A-Za-z0-9][\w.-]*'
_NAME = re.compile(
  rf'(?P<repo>{_PART}/{_PART})(?:@(?P<revision>[\w./-]+))?'
  r'(?::(?P<split>[\w./-]+))?'
)


_FOUND = {}  # A process uses one commit of a name, even if a branch moves.


class Name(NamedTuple):
  """A name on the Hub.

  Attributes:
    repo: OWNER/NAME.
    revision: a commit, tag or branch.
    split: the name of a data set's file, without its suffix; '': it has one.
  """

  repo: str
  revision: str
  split: str

  def __str__(self):
    return f'{self.repo}@{self.revision}' + f':{self.split}' * bool(self.split)


class HubError(ValueError):
  """A name's files cannot be fetched; says why and what to set."""


class UnreachableError(HubError):
  """The Hub does not answer, and the cache lacks a name's files."""


class File(NamedTuple):
  """A file of a name: its path there, bytes, and whether the cache has it."""

  path: str
  size: int
  cached: bool


def parse(text):
  """The Name that a setting's text is, or None if it is a path.

  A path exists, or ends as a file of problems does.
  """
  found = _NAME.fullmatch(text)
  if not found or pathlib.Path(text).exists():
    return None
  if found['repo'].endswith(DATA):
    return None
  return Name(found['repo'], found['revision'] or 'main', found['split'] or '')


def folder(text, patterns=MODEL):
  """The folder of a path, or of a name's files, which are fetched if need be.

  Args:
    text: path of a folder, or a name.
    patterns: of the files to fetch; other than DATA's, those of a model.
  Raises:
    HubError: they cannot be fetched.
  """
  name = parse(text)
  return fetched(name, patterns) if name else pathlib.Path(text)


def fetched(name, patterns, **options):
  """The folder in the cache that has a Name's files; see `folder`.

  Args:
    name: Name.
    patterns: of the files.
    **options: local_files_only=True sends no request.
  """
  if (name, patterns) not in _FOUND:
    _FOUND[name, patterns] = pathlib.Path(_snapshot(name, patterns, **options))
  return _FOUND[name, patterns]


def in_cache(name, patterns):
  """Whether the cache has all files of a Name; sends no request.

  If it has, this process uses them and looks for no newer ones.
  """
  kind = 'dataset' if _is_data(patterns) else 'model'
  where = dict(repo_type=kind, revision=name.revision)
  try:
    # Without the list of files, an incomplete folder would seem complete.
    huggingface_hub.get_cached_repo_tree(name.repo, **where)
    path = _ask(name, patterns, local_files_only=True)
  except (errors.CachedRepoTreeNotFoundError, errors.LocalEntryNotFoundError):
    return False
  _FOUND.setdefault((name, patterns), pathlib.Path(path))
  return True


def cached_file(name, file):
  """The path of one file of a Name in the cache, or None; sends no request."""
  found = huggingface_hub.try_to_load_from_cache(
    name.repo, file, cache_dir=constants.HF_HUB_CACHE, revision=name.revision
  )
  return pathlib.Path(found) if isinstance(found, str) else None


@functools.cache
def reachable():
  """Whether the Hub answers, asked once and without a second attempt."""
  try:
    huggingface_hub.get_session().head(constants.ENDPOINT, timeout=ANSWER_SECS)
  except Exception:  # Its HTTP client has errors of its own.
    return False
  return True


@functools.cache
def listed(name, patterns):
  """The Files of a Name on the Hub, sorted by path; fetches none of them.

  Raises:
    HubError: the Hub does not answer, or has no such name.
  """
  # huggingface_hub lists them in the order in which its threads end.
  return sorted(
    File(each.filename, each.file_size or 0, each.is_cached)
    for each in _snapshot(name, patterns, dry_run=True)
  )


def data_patterns(name):
  """The patterns of a data set's files of one split, or of all."""
  return tuple(f'*{pathlib.Path(name.split).stem}*{end}' for end in DATA)


def _ask(name, patterns, **options):
  """huggingface_hub.snapshot_download of a Name."""
  return huggingface_hub.snapshot_download(
    name.repo,
    repo_type='dataset' if _is_data(patterns) else 'model',
    revision=name.revision,
    allow_patterns=list(patterns),
    **options,
  )


def _snapshot(name, patterns, **options):
  """Calls `_ask`; turns every error into a HubError with one message."""
  try:
    return _ask(name, patterns, **options)
  except Exception as error:  # Its HTTP client has errors of its own.
    if isinstance(error, errors.DryRunError):
      error = error.__cause__ or error
    what = 'data set' if _is_data(patterns) else 'model'
    why, kind = _refusal(error, what), HubError
    if not why:
      why, kind = _no_answer(error), UnreachableError
    raise kind(f'{str(name)!r} is no path here, and {why}') from error


def _is_data(patterns):
  return patterns[0].endswith(DATA[0])


def _refusal(error, what):
  """Why the Hub refuses, and what to do; '' if it did not answer."""
  where = constants.ENDPOINT
  if isinstance(error, errors.GatedRepoError):
    return (
      f'{where} gives this {what} only to those whom its owner lets in: ask '
      'for access on its page, and set HF_TOKEN to your token'
    )
  if isinstance(error, errors.RevisionNotFoundError):
    return f'{where} has this {what}, but no such revision; name another'
  if isinstance(error, errors.RepositoryNotFoundError):
    return (
      f'{where} (HF_ENDPOINT) has no {what} of this name: correct it; if the '
      f'{what} is private, set HF_TOKEN to your token'
    )
  if isinstance(error, errors.HfHubHTTPError):
    return (
      f'{where} (HF_ENDPOINT) answers {error.response.status_code}; run the '
      'same command again later'
    )
  return ''


def _no_answer(error):
  """Why the Hub gave no answer, and what to do."""
  why = ''
  if not isinstance(error, errors.LocalEntryNotFoundError):
    why = f' ({str(error).splitlines()[0]:.200})'
  lacks = f'the cache {constants.HF_HUB_CACHE} (HF_HOME) does not have it whole'
  if constants.HF_HUB_OFFLINE:
    return (
      f'{lacks}, and HF_HUB_OFFLINE forbids fetching it: unset it, or copy a '
      'cache that has it'
    )
  return (
    f'{lacks}, while {constants.ENDPOINT} (HF_ENDPOINT) cannot be reached: '
    f'connect and run the same command, or copy a cache that has it{why}'
  )
