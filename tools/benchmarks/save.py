"""Times the save of a checkpoint beside a plain write of as many bytes.

  python -m tools.benchmarks.save [--gigabytes=0.2] [--saves=3]
    [--folder=/dev/shm/saves]

Saves a random state of parameters and Adam's two moments in float32. A run
stands still until save() returns; the rest is written in the background. The
plain write waits for the disk, as a save does.
"""

import functools
import pathlib
import shutil
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import tabulate

from siri_jax import types
from siri_jax.config import command_line
from siri_jax.runtime import checkpoint
from tools.benchmarks import plain_file

ARRAYS = 8  # Arrays of each of the three trees.
HEADS = ('stands still, s', 'saved, s', 'CPU s', 'plain write, s', 'CPU s')


def main(argv=None):
  """Prints the table; returns 0."""
  parser = command_line.parser(__doc__)
  parser.add_argument('--gigabytes', type=float, default=0.2)
  parser.add_argument('--saves', type=int, default=3)
  parser.add_argument('--folder', type=pathlib.Path, default=None)
  flags = parser.parse_args(argv)
  state = random(int(flags.gigabytes * 1e9))
  if flags.folder:
    flags.folder.mkdir(parents=True, exist_ok=True)
  folder = pathlib.Path(tempfile.mkdtemp(dir=flags.folder))
  try:
    rows = measured(state, folder, flags.saves)
  finally:
    shutil.rmtree(folder)
  size = sum(x.nbytes for x in jax.tree.leaves(state))
  print(f'{size / 1e9:.3f} GB\n')
  print(tabulate.tabulate(rows, HEADS, 'pipe', floatfmt='.3f'))
  return 0


def random(size):
  """A types.TrainState of about `size` bytes."""
  draw = np.random.default_rng(0).standard_normal
  count = size // (3 * ARRAYS * 4)

  def tree():
    return {f'{i}': jnp.asarray(draw(count, np.float32)) for i in range(ARRAYS)}

  zero = jnp.zeros((), jnp.int32)
  moments = {'mu': tree(), 'nu': tree()}
  return types.TrainState(tree(), moments, zero, zero, zero)


def measured(state, folder, saves):
  """A row of HEADS for each save."""
  size = sum(x.nbytes for x in jax.tree.leaves(state))
  manager, rows = checkpoint.CheckpointManager(folder / 'saved', keep=1), []
  floor = functools.partial(plain_file.write, folder / 'plain', size, wait=True)
  for step in range(1, saves + 1):
    plain = timed(floor)
    (folder / 'plain').unlink()
    state = state.replace(step=jnp.int32(step))
    began, cpu = time.monotonic(), time.process_time()
    manager.save(state, {})
    still = time.monotonic() - began
    manager.finish()
    saved = time.monotonic() - began, time.process_time() - cpu
    rows.append((still, *saved, *plain))
  manager.close()
  return rows


def timed(work):
  """Seconds and CPU seconds of a function."""
  began, cpu = time.monotonic(), time.process_time()
  work()
  return time.monotonic() - began, time.process_time() - cpu


if __name__ == '__main__':
  sys.exit(main())
