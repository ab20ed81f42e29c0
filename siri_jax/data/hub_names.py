"""The Hub names among a config's settings: what a run fetches."""

from typing import NamedTuple

from huggingface_hub import constants

from siri_jax.models.hf import hub


class Need(NamedTuple):
  """A setting that is a Hub name.

  Attributes:
    setting: such as 'task_kw.train'.
    name: hub.Name.
    patterns: of its files.
  """

  setting: str
  name: hub.Name
  patterns: tuple[str, ...]


def needs(c):
  """The Needs of a config; none of a setting that is not text."""
  given = []
  if c.policy == 'pretrained':
    given.append(('model_path', c.model_path, hub.MODEL))
  if c.task == 'jsonl':
    kw = c.task_kw.to_dict()
    given.append(('task_kw.tokenizer', kw.get('tokenizer'), hub.TOKENIZER))
    given.append(('task_kw.train', kw.get('train'), None))
    evals = kw.get('evals')
    if isinstance(evals, dict):
      given += [(f'task_kw.evals.{k}', v, None) for k, v in evals.items()]
  named = (
    (setting, hub.parse(text), patterns)
    for setting, text, patterns in given
    if isinstance(text, str)
  )
  return [
    Need(setting, name, patterns or hub.data_patterns(name))
    for setting, name, patterns in named
    if name
  ]


def absent(c):
  """The Needs of a config whose files are not all in the cache."""
  return [n for n in needs(c) if not hub.in_cache(n.name, n.patterns)]


def check(c):
  """Asks the Hub for what is not in the cache, before anything is fetched.

  Raises:
    ValueError: some names cannot be fetched; lists all.
  """
  _each(absent(c), _ask)


def commits(c):
  """OWNER/NAME@COMMIT of each setting that is a Hub name, once fetched."""
  return {
    need.setting: f'{need.name.repo}@{hub.fetched(*need[1:]).name}'
    for need in needs(c)
  }


def table(c):
  """The Hub names of a config, their sizes and what the cache has of them.

  Asks the Hub for what is not in the cache, but fetches no file.

  Raises:
    ValueError: the Hub refuses some of them; lists all.
  """
  shown = _each(
    needs(c), lambda need: f'  {need.setting}: {_state(need)}\n    {need.name}'
  )
  if not shown:
    return ''
  where = f'{constants.ENDPOINT} -> {constants.HF_HUB_CACHE}'
  return '\n'.join([f'From the Hugging Face Hub ({where})', *shown])


def _ask(need):
  """Raises if a Need's files are neither on the Hub nor in the cache."""
  if hub.reachable():
    hub.listed(need.name, need.patterns)
  else:  # Another program's may be whole, without the list of files.
    hub.fetched(need.name, need.patterns, local_files_only=True)


def _each(found, ask):
  """The results of a function of Needs, or one error with all their faults."""
  results, wrong = [], []
  for need in found:
    try:
      results.append(ask(need))
    except hub.HubError as error:
      wrong.append(f'{need.setting}: {error}')
  if wrong:
    raise ValueError('\n'.join(wrong))
  return results


def _state(need):
  """The files of a Need as text: their number, sizes and what is to fetch."""
  if hub.in_cache(need.name, need.patterns):
    folder = hub.fetched(need.name, need.patterns)
    sizes = [
      path.stat().st_size
      for path in folder.rglob('*')
      if path.is_file() and any(map(path.match, need.patterns))
    ]
    return f'{_count(sizes)} in the cache, {sum(sizes) / 1e6:,.1f} MB'
  if not hub.reachable():
    return 'not in the cache; the Hub was not reached'
  files = hub.listed(need.name, need.patterns)
  left = sum(file.size for file in files if not file.cached)
  return (
    f'{_count(files)}, {sum(file.size for file in files) / 1e6:,.1f} MB, '
    f'{left / 1e6:,.1f} MB to fetch'
  )


def _count(files):
  return f'{len(files)} file' + 's' * (len(files) != 1)
