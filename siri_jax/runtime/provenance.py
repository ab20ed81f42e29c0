"""The settings, program, versions and machine of an attempt."""

import contextlib
import importlib.metadata
import pathlib
import platform
import socket
import subprocess
import sys

from siri_jax.runtime import files

PACKAGES = (
  'siri_jax',
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'orbax-checkpoint',
  'grain',
  'ml-collections',
  'numpy',
  'transformers',
  'math-verify',
  'vllm',
)


def about(config, source, overrides):
  """The settings, program, versions and machine of this attempt."""
  file, _, argument = source.partition(':')
  about = {
    'config': file,
    'arg': argument,
    'overrides': overrides,
    'seed': config['seed'],
    'argv': sys.orig_argv,
    'git': commit(pathlib.Path(__file__).resolve().parents[2]),
    'versions': _versions(),
    'host': socket.gethostname(),
  }
  return files.plain(about)


def _versions():
  """Versions of Python and of the main packages that are installed."""
  versions = {'python': platform.python_version()}
  for name in PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[name] = importlib.metadata.version(name)
  return versions


def commit(checkout):
  """Commit of the checkout and whether it was changed; {} outside of one."""

  def ask(*words):
    return subprocess.run(
      ['git', '-C', str(checkout), *words],
      capture_output=True,
      text=True,
      check=True,
      timeout=20,
    ).stdout.strip()

  try:
    # An installed package may be inside another project's repository.
    if pathlib.Path(ask('rev-parse', '--show-toplevel')) != checkout:
      return {}
    dirty = bool(ask('status', '--porcelain'))
    return {'sha': ask('rev-parse', 'HEAD'), 'dirty': dirty}
  except (OSError, subprocess.SubprocessError):
    return {}
