"""Checkpoints: all state that a run needs to resume, with a manifest.

Orbax does not detect every flipped bit, so each checkpoint has a manifest of
checksums. The manifest is written last: a checkpoint without it is not
complete. Only the copy to the host blocks the run.
"""

import concurrent.futures
import contextlib
import errno
import logging
import pathlib
import shutil

import jax
import orbax.checkpoint as ocp

from siri_jax.runtime import files
from siri_jax.settings import whole

SETTINGS = {'every': whole(0), 'keep': whole(1), 'keep_every': whole(0)}

DIGITS = 6  # Of a step in the name of a folder: 000640.
SHA256_DIGITS = 64
NONE = -1  # Means: no step.
THREADS = 8  # Files read at a time for their checksums.


class CorruptCheckpointError(ValueError):
  """A checkpoint's files differ from its manifest."""


def _by_itself(decide):
  return decide()


class CheckpointManager:
  """The checkpoints of a run, by updates done."""

  def __init__(
    self, folder, *, keep, every=0, always=(), broadcast_value=_by_itself
  ):
    """Opens <folder>; makes it if it does not exist.

    Args:
      folder: path.
      keep: number of newest checkpoints to keep.
      every: multiples of it are kept too; 0: none.
      always: further steps to keep.
      broadcast_value: calls a function that returns an int in process 0, and
        returns its result in all processes.
    """
    files.refuse_backslash(folder)
    self._folder = pathlib.Path(folder).resolve()
    self._folder.mkdir(parents=True, exist_ok=True)
    self._broadcast_value = broadcast_value
    self._keep, self._every, self._always = keep, every, frozenset(always)
    # With the processes named, barriers are between hosts. Otherwise they use
    # the devices, which may be busy with the update.
    together = ocp.options.MultiprocessingOptions(
      active_processes=set(range(jax.process_count()))
    )
    self._manager = ocp.CheckpointManager(
      self._folder,
      # Without them the metadata of a state would be empty.
      item_handlers={
        'state': ocp.StandardCheckpointHandler(
          multiprocessing_options=together
        ),
        'facts': ocp.JsonCheckpointHandler(multiprocessing_options=together),
      },
      options=ocp.CheckpointManagerOptions(
        step_format_fixed_length=DIGITS,
        cleanup_tmp_directories=True,
        create=False,  # It exists.
        multiprocessing_options=together,
      ),
    )
    silence_orbax()
    self._thread = concurrent.futures.ThreadPoolExecutor(1, 'checkpoint')
    self._unfinished = None

  def save(self, state, facts, always=()):
    """Starts to save a types.TrainState and facts of the run.

    The state may be changed or donated as soon as this returns.

    Args:
      state: the state; its `step` names the checkpoint.
      facts: dict of JSON values.
      always: further steps to keep from now on.
    Raises:
      OSError: the disk is full, or the last save failed.
    """
    self.finish()
    self._always |= {*always}
    step = int(state.step)
    if step in self._manager.all_steps():
      return  # Saved already: an extremum at the end, or a finished run.
    self._refuse_full_disk(state)
    args = ocp.args.Composite(
      state=ocp.args.StandardSave(state), facts=ocp.args.JsonSave(facts)
    )
    with self._naming(step):
      self._manager.save(step, args=args, force=True)
    self._unfinished = self._thread.submit(self._complete, step)

  def check(self):
    """Raises OSError if the newest save failed; never waits."""
    if self._unfinished and self._unfinished.done():
      self.finish()

  def finish(self):
    """Waits until the newest checkpoint is complete.

    Raises:
      OSError: it could not be written; earlier ones are not affected.
    """
    unfinished, self._unfinished = self._unfinished, None
    if unfinished:
      unfinished.result()

  def restore(self, like, tell):
    """Restores the newest valid checkpoint.

    Skips damaged and unfinished checkpoints with a message.

    Args:
      like: a TrainState of jax.ShapeDtypeStruct with shardings.
      tell: called with a message for each checkpoint that is skipped.
    Returns:
      (state, facts), or None if there is no checkpoint.
    Raises:
      CorruptCheckpointError: all checkpoints are damaged.
      ValueError: the newest valid one is of another model.
    """
    newest = self._broadcast_value(lambda: self._newest_whole(tell))
    restored = self._read(newest, like) if newest != NONE else None
    self._delete(s for s in self._manager.all_steps() if s > newest)
    return restored

  def close(self):
    """Waits for the save in progress, and ends the threads."""
    try:
      self.finish()
    finally:
      self._thread.shutdown()
      with contextlib.suppress(ValueError, OSError):  # finish raises it.
        self._manager.close()

  def _complete(self, step):
    """Writes the manifest of a saved checkpoint and deletes older ones."""
    with self._naming(step):
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    if jax.process_index() == 0:
      _seal(self._folder, step)
    # Only now: a kill before the manifest must leave a valid checkpoint.
    older = sorted(self._manager.all_steps())[: -self._keep]
    self._delete(s for s in older if not self._stays(s))

  def _newest_whole(self, tell):
    """Step of the newest valid checkpoint, NONE if there are none at all."""
    damaged = []
    for step in sorted(self._manager.all_steps(), reverse=True):
      if not self._manifest(step).exists():
        tell(f'checkpoint {_name(step)} was not finished')
      elif wrong := _damage(self._folder, step):
        tell(f'checkpoint {_name(step)} is damaged: {wrong}')
        damaged.append(step)
      else:
        return step
    if damaged:
      raise CorruptCheckpointError(
        f'{self._folder}: none of the checkpoints {damaged} is valid. Restore '
        'one from a copy, or delete the folder to start from the beginning.'
      )
    return NONE

  def _stays(self, step):
    """Whether a checkpoint is kept regardless of its age."""
    return step in self._always or (self._every and step % self._every == 0)

  def _refuse_full_disk(self, state):
    """Raises OSError if a state does not fit; Orbax's own error is long."""
    need = sum(x.nbytes for x in jax.tree.leaves(state))
    free = shutil.disk_usage(self._folder).free
    if free < need:
      why = f'need {need / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free'
      raise OSError(errno.ENOSPC, why, str(self._folder))

  @contextlib.contextmanager
  def _naming(self, step):
    """Converts any error of Orbax to an OSError with the path."""
    path = str(self._path(step))
    try:
      yield
    except OSError as error:
      error.filename = error.filename or path
      raise
    except Exception as error:  # tensorstore raises ValueError.
      why = str(error).partition('\n')[0]
      raise OSError(errno.EIO, why, path) from error

  def _read(self, step, like):
    """State and facts of one valid checkpoint."""
    saved = self._manager.item_metadata(step).state
    _refuse_other(self._path(step), saved, like)
    args = ocp.args.Composite(
      state=ocp.args.StandardRestore(like), facts=ocp.args.JsonRestore()
    )
    restored = self._manager.restore(step, args=args)
    return restored.state, restored.facts

  def _delete(self, steps):
    """Deletes checkpoints, so that their steps can be saved again."""
    for step in list(steps):
      self._manifest(step).unlink(missing_ok=True)
      self._manager.delete(step)

  def _path(self, step):
    return self._folder / _name(step)

  def _manifest(self, step):
    return manifest(self._folder, step)


def finished(folder):
  """Steps of the finished checkpoints in a folder, ascending; reads only."""
  manifests = pathlib.Path(folder).glob('[0-9]*.manifest.json')
  return sorted(int(path.name.split('.')[0]) for path in manifests)


def read_parameters(folder, step, like=None):
  """Restores only the parameters of one checkpoint.

  The folder is not changed: a run may be writing to it.

  Args:
    folder: path of a run's checkpoints.
    step: updates done.
    like: the model's tree of jax.ShapeDtypeStruct with shardings; by default
      the saved tree, on this process's first device.
  Returns:
    The tree of decoder.param_shapes.
  Raises:
    ValueError: there is no such checkpoint, or it is of another model.
    CorruptCheckpointError: its files differ from its manifest.
  """
  files.refuse_backslash(folder)
  folder = pathlib.Path(folder).resolve()
  _refuse_damaged(folder, step)
  path = folder / _name(step) / 'state'
  reader = ocp.PyTreeCheckpointHandler()
  saved = reader.metadata(path).tree['params']
  if like is None:
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = abstract(saved, jax.tree.map(lambda _: device, saved))
  _refuse_other(folder / _name(step), saved, like)
  wanted = {'params': like}
  how = ocp.checkpoint_utils.construct_restore_args(wanted)
  args = ocp.args.PyTreeRestore(wanted, partial_restore=True, restore_args=how)
  restored = reader.restore(path, args=args)
  reader.close()
  return restored['params']


def copy(folder, step, to, changes):
  """Copies one checkpoint to another folder, with some facts changed.

  Args:
    folder: path of a run's checkpoints; it is not changed.
    step: updates done.
    to: path of the other run's checkpoints, made if it does not exist.
    changes: dict of facts to change in the copy.
  Raises:
    ValueError: there is no such checkpoint.
    CorruptCheckpointError: its files differ from its manifest.
  """
  folder, to = pathlib.Path(folder).resolve(), pathlib.Path(to)
  _refuse_damaged(folder, step)
  shutil.copytree(folder / _name(step), to / _name(step))
  facts = read_facts(folder, step) | changes
  files.write_atomically(
    to / _name(step) / 'facts' / 'metadata', files.to_json(facts).encode()
  )
  _seal(to, step)


def read_facts(folder, step):
  """What was saved with a checkpoint's state, as plain values.

  Raises:
    ValueError: there is no such checkpoint, or its facts are damaged.
  """
  _refuse_missing(folder, step)
  path = pathlib.Path(folder, _name(step), 'facts', 'metadata')
  try:
    return files.read_object(path)
  except (OSError, ValueError) as error:
    raise CorruptCheckpointError(f'{path} is damaged: {error}') from error


def _refuse_missing(folder, step):
  """Raises where a folder has no such checkpoint."""
  if step not in (there := finished(folder)):
    raise ValueError(f'{folder} has no checkpoint {step}; it has {there}')


def _refuse_damaged(folder, step):
  """Raises if a checkpoint is missing or damaged."""
  _refuse_missing(folder, step)
  if wrong := _damage(folder, step):
    raise CorruptCheckpointError(f'{folder / _name(step)} is damaged: {wrong}')


def manifest(folder, step):
  """Path of a checkpoint's manifest."""
  return pathlib.Path(folder) / f'{_name(step)}.manifest.json'


def _seal(folder, step):
  """Writes the manifest of a checkpoint, which makes it complete."""
  files.write_json(manifest(folder, step), checksums(folder / _name(step)))


def _name(step):
  return f'{step:0{DIGITS}d}'


def _damage(folder, step):
  """What differs from the manifest, '' where nothing does."""
  written = manifest(folder, step)
  try:
    expected = files.read_object(written)
  except ValueError:
    return written.name
  found = checksums(folder / _name(step), of=_sum_of(expected))
  names = sorted({*expected, *found})
  return ', '.join(n for n in names if expected.get(n) != found.get(n))


def _sum_of(expected):
  """The sum that a manifest was made with; before xxh3 it was sha256."""
  old = any(len(str(each)) == SHA256_DIGITS for each in expected.values())
  return files.sha256 if old else files.checksum


def _refuse_other(path, saved, like):
  """Raises if a checkpoint's arrays are not those of the model."""
  saved, wanted = dict(_leaves(saved)), dict(_leaves(like))
  wrong = [
    f'{name} is {saved.get(name)}, the model has {wanted.get(name)}'
    for name in {**wanted, **saved}
    if wanted.get(name) != saved.get(name)
  ]
  if wrong:  # Orbax would cast a dtype silently.
    listed = '; '.join(wrong[:5])
    raise ValueError(f'{path} is of another model: {listed}')


def abstract(state, shardings):
  """A state's shapes, dtypes and shardings, for `restore`."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    state,
    shardings,
  )


def _leaves(tree):
  """(path, (shape, dtype)) of each array of a state or of its metadata."""
  for path, x in jax.tree_util.tree_leaves_with_path(tree):
    keys = [getattr(k, 'name', getattr(k, 'key', None)) for k in path]
    keys = [
      str(getattr(k, 'idx', name)) for k, name in zip(path, keys, strict=True)
    ]
    yield '/'.join(keys), (tuple(x.shape), str(x.dtype))


def silence_orbax():
  """Keeps Orbax from logging errors that it also raises."""
  logging.getLogger('absl').addFilter(_is_not_of_orbax)


def _is_not_of_orbax(record):
  return 'orbax' not in pathlib.Path(record.pathname).parts


def checksums(folder, of=files.checksum):
  """Sums of all files below a folder by relative path, the largest first."""
  paths = [path for path in folder.rglob('*') if path.is_file()]
  # So no thread is left with a large one at the end.
  paths.sort(key=lambda path: (-path.stat().st_size, path))
  with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    found = pool.map(of, paths)
    return {
      str(path.relative_to(folder)): each
      for path, each in zip(paths, found, strict=True)
    }
