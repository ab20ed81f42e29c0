"""The folder of a run: its lock, settings and records.

Records are JSON lines in order of steps. Times of day are for the user; no code
reads them back.
"""

import datetime
import fcntl
import gzip
import os
import pathlib
import re
import secrets
import shlex
import socket
import sys

from siri_jax.runtime import credentials, files, provenance

ABSENT = '(absent)'
# Settings that do not change the result of training. A run may be resumed with
# other values of them, and runs that differ only in them are compared as seeds.
RESUMABLE_SETTINGS = (
  'cache_dir',
  'writers',
  'writers_kw',
  'grader_kw.workers',
  'grader_kw.memory_gb',
  'eval_kw.every',
  'checkpoint_kw.every',
  'checkpoint_kw.keep',
  'checkpoint_kw.keep_every',
  'record_kw',
  'eval_kw.table_samples',
  'eval_kw.table_caps',
  'hosts_kw',
  'limits_kw.stop_secs',
  'limits_kw.stall_secs',
  'server_kw',
  'alarms_kw',
  'uncapped_length_kw',
  # These change it by rounding:
  'mesh_kw',
  'update_kw',
)

# Content of a run's folder, and of one that has yet to be started.
OWN = {
  *('config.json', 'metrics.jsonl', 'eval.jsonl', 'events.jsonl', 'eval'),
  *('rollouts', 'checkpoints', 'tensorboard', 'wandb', 'picture.png', 'cache'),
  *('evaluations', 'export', 'continued', 'stalls', 'disagreements.jsonl'),
  *('servers', 'presample', 'training_set'),
}
LOGS = ('.txt', '.log', '.out', '.err')


class RunFolderError(Exception):
  """The folder cannot be used; the message has the reason and the remedy."""


class RunFolder:
  """One run's folder, open in one process at a time.

  Attributes:
    path: the folder.
    info: content of RUN.json.
  """

  def __init__(
    self, path, config, *, source, overrides, free=(), allow_change=()
  ):
    """Opens and locks the folder; makes it if it does not exist.

    Args:
      path: the folder.
      config: nested dict of every setting, from ConfigDict.to_dict().
      source: the config's file as on the command line, 'file.py:argument'.
      overrides: dict of the settings that the command line changed.
      free: settings that may differ from the run's; a name includes everything
        below it. total_steps may always grow.
      allow_change: more such settings, named by the user for this attempt;
        None if the command has no such flag.
    Raises:
      RunFolderError: another process uses it, it was started with other
        settings, or a setting looks like an API key.
    """
    written = {**flatten(config), 'the command line': sys.orig_argv}
    if wrong := credentials.faults(written):
      raise RunFolderError('\n'.join(wrong))
    try:
      files.refuse_backslash(path)
    except ValueError as error:
      raise RunFolderError(str(error)) from None
    self.path = pathlib.Path(path)
    try:
      self.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise RunFolderError(
        f'the folder {path} cannot be made ({error.strerror}); name another '
        'with --workdir'
      ) from error
    self._lock = _take_lock(self.path)
    try:
      self._config, self._allow_change = config, allow_change
      self._free = (*free, *(allow_change or ()))
      settings = self.path / 'config.json'
      written = _object_of(settings) if settings.exists() else config
      self._changed = self.refuse_settings(written, 'was started with')
      for records in self.path.glob('*.jsonl'):
        files.cut_torn_end(records)
      self.info = _run_info(self.path)
      self._about = provenance.about(config, source, overrides)
    except BaseException:
      self.close()
      raise

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def close(self):
    """Unlocks the folder."""
    self._lock.close()

  def refuse_settings(self, written, how):
    """Refuses to resume with other settings, unless they may change.

    Args:
      written: dict of the earlier settings.
      how: words for the message between the folder and 'other settings'.
    Returns:
      list of `differences`.
    Raises:
      RunFolderError: settings differ that may not; names each.
    """
    flag = self._allow_change is not None
    changes = differences(written, self._config)
    _refuse(self.path, how, changes, self._free, flag)
    return changes

  def refuse_change(self, written, now):
    """Refuses to resume with other fingerprints, unless allowed to.

    Args:
      written: fingerprints of the checkpoint, by name.
      now: fingerprints of this attempt, by name.
    Raises:
      RunFolderError: some differ; names each.
    """
    wrong = [name for name, value in now.items() if written.get(name) != value]
    wrong = [name for name in wrong if name not in self._allow_change]
    if wrong:
      raise RunFolderError(
        f'{self.path}: its checkpoints were trained with other contents of '
        f'{", ".join(wrong)}. Take another folder, or let that change by '
        f'--allow_change={",".join(wrong)}'
      )

  def start(self, step, sources=(), hub=()):
    """Writes to RUN.json and config.json that an attempt starts from `step`.

    RUN.json describes the first attempt; later ones list their differences. An
    attempt that is refused before this call leaves no settings in the folder.

    Args:
      step: updates done.
      sources: plugins.sources of the attempt.
      hub: OWNER/NAME@COMMIT of each setting that is a Hub name.
    """
    files.write_json(self.path / 'config.json', self._config)
    if self._changed:
      self.event('settings_changed', changes=self._changed)
    about = {**self._about, 'plugins': dict(sources), 'hub': dict(hub)}
    for key, value in about.items():
      self.info.setdefault(key, value)
    differs = {k: v for k, v in about.items() if v != self.info[k]}
    attempt = {'started': _time_of_day(), 'step': step, **differs}
    self.info.setdefault('attempts', []).append(attempt)
    files.write_json(self.path / 'RUN.json', self.info)

  def append(self, name, record):
    """Adds one record to <name>.jsonl, keys in the order given."""
    files.append(self.path / f'{name}.jsonl', record)

  def rewind(self, name, step):
    """Drops the records of <name>.jsonl beyond `step`, all or none."""
    files.rewind(self.path / f'{name}.jsonl', step)

  def event(self, kind, **details):
    """Adds an event to events.jsonl, with the time of day."""
    self.append('events', {'kind': kind, 'time': _time_of_day(), **details})

  def write_rollouts(self, step, rows):
    """Writes a step's samples."""
    self.write_rows(f'rollouts/{step:06d}', rows)

  def write_evaluation(self, step, name, rows):
    """Writes the samples of an evaluation after `step` updates."""
    self.write_rows(f'eval/{step:06d}/{name}', rows)

  def write_rows(self, name, rows):
    """Writes <name>.jsonl.gz atomically; equal rows give equal bytes."""
    path = self.path / f'{name}.jsonl.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ''.join(files.to_json(row) + '\n' for row in rows)
    # No time of writing in the header, so that bytes are equal.
    files.write_atomically(path, gzip.compress(text.encode(), 6, mtime=0))


def flatten(config, prefix=''):
  """Settings by dotted name: {'schedule_kw.low': 46, ...}."""
  flat = {}
  for key, value in config.items():
    if isinstance(value, dict):
      flat.update(flatten(value, f'{prefix}{key}.'))
    else:
      flat[f'{prefix}{key}'] = value
  return flat


def differences(old, new):
  """(name, old value, new value) of every setting that differs.

  A setting that one config does not have has the value ABSENT there.
  """
  old, new = flatten(files.plain(old)), flatten(files.plain(new))
  return [
    (name, old.get(name, ABSENT), new.get(name, ABSENT))
    for name in dict.fromkeys([*old, *new])
    if old.get(name, ABSENT) != new.get(name, ABSENT)
  ]


def check(folder, config, free):
  """Refuses a folder in which a run with these settings would be refused.

  Writes and locks nothing.

  Args:
    folder: path, which may not exist.
    config: nested dict of every setting.
    free: names of settings that may differ from the folder's.
  Raises:
    RunFolderError: see RunFolder.
  """
  refuse_foreign(folder)
  path = pathlib.Path(folder) / 'config.json'
  if path.exists():
    changes = differences(_object_of(path), config)
    _refuse(folder, 'was started with', changes, free, flag=True)


def _refuse(folder, how, changes, free, flag):
  """Raises if settings of `differences` may not change; see RunFolder."""
  refused = [c for c in changes if not may_change(*c, free)]
  if not refused:
    return
  listed = ''.join(f'\n  {n}: {old} -> {new}' for n, old, new in refused)
  names = ','.join(name for name, _, _ in refused)
  way_out = f', or let them change by --allow_change={names}'
  way_out = way_out if flag else ' with --out'
  raise RunFolderError(
    f'{folder} {how} other settings:{listed}\nTake another folder{way_out}'
  )


def refuse_foreign(folder):
  """Refuses a folder that is not a run's but has other things.

  Raises:
    RunFolderError: names them. Logs and hidden files may be there.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir() or (folder / 'RUN.json').exists():
    return
  found = [p for p in sorted(folder.iterdir()) if p.name not in OWN]
  found = [p.name for p in found if p.name[0] != '.' and p.suffix not in LOGS]
  if found:
    what = 'an ablation' if 'ablation.json' in found else 'something else'
    more = ', ...' if len(found) > 3 else ''
    raise RunFolderError(
      f'{folder} is the folder of {what}: it has {", ".join(found[:3])}{more} '
      'and no RUN.json. Name another with --workdir'
    )


def _take_lock(folder):
  """The open, locked .lock file; the lock ends with the process."""
  # Never deleted: two processes could then hold locks on two files. Child
  # processes do not inherit it, except by a plain os.fork.
  file = open(folder / '.lock', 'a+')  # noqa: SIM115
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    file.seek(0)
    holder = file.read().strip() or 'a process that just started'
    file.close()
    raise RunFolderError(
      f'{folder} is in use by {holder}. Wait for it, end it, or take another '
      'folder'
    ) from None
  file.truncate(0)
  command = shlex.join(sys.orig_argv)
  file.write(f'pid {os.getpid()} on {socket.gethostname()} ({command})\n')
  file.flush()
  return file


def is_among(name, names):
  """Whether a dotted setting is one of these names, or below one."""
  return any(name == n or name.startswith(f'{n}.') for n in names)


def may_change(name, old, new, names=RESUMABLE_SETTINGS):
  """Whether a run may resume with another value of this setting."""
  if name == 'total_steps' and ABSENT not in (old, new) and new > old:
    return True
  return is_among(name, names)


def _object_of(path):
  """The JSON object of a file in a run's folder."""
  try:
    return files.read_object(path)
  except ValueError as error:
    raise RunFolderError(f'{path} is damaged: {error}') from error


def _run_info(folder):
  """RUN.json as written, or the first fields of a new run's.

  The id is also a label of weights on servers, which limits its characters.
  """
  path = folder / 'RUN.json'
  name = re.sub('[^A-Za-z0-9_]+', '-', folder.resolve().name).strip('-')
  new = {'id': f'{name or "run"}-{secrets.token_hex(4)}'}
  info = new | (_object_of(path) if path.exists() else {})
  rules = {
    'id': lambda v: isinstance(v, str) and re.fullmatch('[A-Za-z0-9_-]+', v),
    'attempts': lambda v: isinstance(v, list),
  }
  for key, holds in rules.items():
    if key in info and not holds(info[key]):
      raise RunFolderError(f'{path} is damaged: {key} is {info[key]!r:.60}')
  return info


def _time_of_day():
  """The time in UTC to the second."""
  now = datetime.datetime.now(datetime.UTC)
  return now.isoformat(timespec='seconds')
