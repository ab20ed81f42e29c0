"""Pushes parameters to servers: files on disk, then four requests.

The trainer writes a push to a folder that servers can read. A server receives
only the name of the push and the sha256 of its manifest.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import stat
import time
import types
from collections.abc import Callable
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp
import tensorstore

from siri_jax.rollout import http_client
from siri_jax.rollout.vllm_plugin import weight_reader
from siri_jax.runtime import checkpoint, files

KEPT = 2  # Pushes kept on disk.
ARRAYS, MANIFEST = weight_reader.ARRAYS, weight_reader.MANIFEST
# Frees a server's device memory; its weights stay in the host's.
SLEEP = '/sleep?level=1'
# Nothing waits for the disk: a push need not outlive this machine, because the
# run's next attempt writes its own. Orbax renames the folder of whole files.
STORE = {'file_io_sync': False, 'file_io_locking': {'mode': 'non_atomic'}}
ROOT = 0  # The user whom a machine trusts anyway.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Pushed(NamedTuple):
  """A weight version on disk, ready to be loaded.

  Attributes:
    version: version of the parameters.
    name: name of its folder.
    digest: sha256 of its manifest.
    label: name of these weights on a server that serves them.
  """

  version: int
  name: str
  digest: str
  label: str


class WeightPublisher:
  """Writes pushes and makes servers load them.

  Attributes:
    sleeps: whether servers sleep while nothing is sampled.
    seconds: seconds of each stage of the newest push, by name.
  """

  def __init__(self, folder, run, export: Callable, *, push_secs, sleeps):
    """Makes the folder if it does not exist.

    Args:
      folder: path on the servers' machine or a shared file system.
      run: the run's name.
      export: jitted; parameters -> arrays of hf_names.export, in the sampling
        dtype.
      push_secs: timeout of a server's update.
      sleeps: see Attributes.
    Raises:
      OSError: the folder cannot be made.
      ValueError: its path has a backslash, or others can write there.
    """
    files.refuse_backslash(folder)
    self._folder = pathlib.Path(folder).resolve()
    self._folder.mkdir(parents=True, exist_ok=True)
    _refuse_other_writers(self._folder)
    self._run, self._export, self._secs = run, export, push_secs
    self.sleeps = sleeps
    # It separates attempts of a run, and runs of the same name.
    self._label = f'{run}-{secrets.token_hex(4)}'
    checkpoint.silence_orbax()
    self._writer = ocp.Checkpointer(
      # One uncompressed file for each shard: weights do not compress.
      ocp.PyTreeCheckpointHandler(
        use_ocdbt=False,
        use_compression=False,
        type_handler_registry=ocp.type_handlers.create_type_handler_registry(
          (jax.Array, _ArrayHandler())
        ),
      )
    )
    self._cleaner = concurrent.futures.ThreadPoolExecutor(1, 'pushes')
    self._cleaned = None
    self.seconds = {}

  def write(self, params, version):
    """Writes the files of a push.

    Older pushes except the last KEPT are deleted afterwards, in a thread. Every
    process of a run writes its shards of the arrays.

    Args:
      params: tree of decoder.param_shapes.
      version: version of the parameters.
    Returns:
      Pushed in process 0, None in the others.
    Raises:
      OSError: they could not be written.
    """
    name = f'{self._run}-{version:06d}'
    folder = self._folder / name
    if self._cleaned:  # It must not find the folder of this push.
      self._cleaned.result()
    with self._timed('export'):
      arrays = jax.block_until_ready(self._export(params))
    with self._timed('write'):
      if jax.process_index() == 0:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
      self._writer.save(folder / ARRAYS, args=ocp.args.PyTreeSave(arrays))
    if jax.process_index() != 0:
      return None
    with self._timed('checksums'):
      manifest = {
        'version': version,
        'arrays': {k: [x.shape, str(x.dtype)] for k, x in arrays.items()},
        'files': checkpoint.checksums(folder / ARRAYS),
      }
      data = json.dumps(manifest).encode()
      (folder / MANIFEST).write_bytes(data)
    self._cleaned = self._cleaner.submit(self._forget, folder)
    digest = hashlib.sha256(data).hexdigest()
    return Pushed(version, name, digest, f'{self._label}:{version}')

  def _forget(self, newest):
    """Deletes this run's pushes except the last KEPT up to the newest."""
    found = sorted(self._folder.glob(f'{self._run}-' + '[0-9]' * 6))
    place = found.index(newest)
    # Pushes of higher versions are from an attempt that was killed.
    for old in found[: max(0, place + 1 - KEPT)] + found[place + 1 :]:
      shutil.rmtree(old, ignore_errors=True)

  def bring(self, line, pushed):
    """Makes a server serve a push, from any state.

    Args:
      line: http_client.Connection to it.
      pushed: Pushed.
    Raises:
      http_client.TransientError: it refuses the push, or cannot be reached.
    """
    if self.sleeps:
      line.post('/wake_up', secs=self._secs)
    if version_of(line) == pushed.label:
      return
    with self._timed('update'):
      line.post('/init_weight_transfer_engine', {'init_info': {}})
      try:
        # Keys and values of old weights must not serve prompts of new ones.
        line.post('/pause?mode=wait&clear_cache=true', secs=self._secs)
        # A trainer that was killed may have started an update.
        with contextlib.suppress(http_client.TransientError):
          line.post('/start_weight_update', {}, secs=self._secs)
        for load in (False, True):  # All ranks check it, then all load it.
          update = {'name': pushed.name, 'digest': pushed.digest, 'load': load}
          line.post('/update_weights', {'update_info': update}, secs=self._secs)
        label = {'weight_version': pushed.label}
        line.post('/finish_weight_update', label, secs=self._secs)
      finally:
        line.post('/resume')
    if (found := version_of(line)) != pushed.label:
      raise http_client.TransientError(
        f'{line.url} serves weights {found} after a push of {pushed.label}'
      )

  def put_to_sleep(self, line):
    """Makes a server free its devices' memory but keep its weights.

    Raises:
      http_client.TransientError: it cannot be reached, or the request fails.
    """
    line.post(SLEEP, secs=self._secs)

  def close(self):
    """Waits until older pushes are deleted."""
    if self._cleaned:
      self._cleaned.result()

  @contextlib.contextmanager
  def _timed(self, stage):
    began = time.monotonic()
    yield
    self.seconds[stage] = time.monotonic() - began


class _ArrayHandler(ocp.type_handlers.ArrayHandler):
  """Writes arrays as STORE says, and no files about shardings."""

  def __init__(self):
    super().__init__(
      enable_write_sharding_file=False, array_metadata_store=None
    )

  async def serialize(self, values, infos, args=None):
    context = tensorstore.Context(STORE)
    for info in infos:
      info.ts_context = context
    return await super().serialize(values, infos, args)


class FollowerEngine:
  """The engine of a process other than 0: it makes no requests."""

  counts = types.MappingProxyType({})

  def __init__(self, publisher):
    self._publisher = publisher

  def push(self, params, version):
    """Writes this process's shards of a push."""
    self._publisher.write(params, version)

  def pending(self):
    return []

  def close(self):
    pass


def _refuse_other_writers(folder):
  """Takes the right to write in a folder from others.

  The checksums of a push show damage, not forgery.

  Raises:
    ValueError: others keep it.
  """
  if folder.stat().st_uid == os.getuid():
    folder.chmod(folder.stat().st_mode & ~OTHERS_WRITE)
  found = folder.stat()
  if found.st_uid not in (os.getuid(), ROOT) or found.st_mode & OTHERS_WRITE:
    raise ValueError(
      f'{folder}: other users can write there, and so give servers other '
      'weights; name a folder of your own in server_kw.folder'
    )


def version_of(line):
  """The label of the weights that a server serves."""
  return line.get('/weight_info').get('weight_version')
