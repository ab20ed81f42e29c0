"""The memory estimate against the buffers that XLA assigns to the program.

  python -m tools.bench_memory [--model=1.5b|7b] [--remat full products]
    [--rows=1] [--gather=layer|update]

Compiles the real update at its full size for virtual CPU devices, 8 for the
1.5B and 16 for the 7B, from shapes alone: nothing is allocated, and a minute
is enough. In float32, for a CPU makes copies of bfloat16 that a GPU does not,
and with attention in blocks, which like cuDNN's needs no T x T memory.
"""

import argparse
import math
import sys

import jax
import jax.numpy as jnp
import tabulate

from configs import base
from siri_jax import blueprint, memory, sharding, steps
from siri_jax.data import packing
from siri_jax.models import attention, flops, qwen2
from tools import full_size

ROW_TOKENS = 17_408  # The highest cap and the longest prompt, rounded.
MICRO_BATCHES = 64


def main(argv=None):
  """Prints the table; returns 0."""
  flags = parse(argv)
  mesh = full_size.MESHES[flags.model]
  jax.config.update('jax_platforms', 'cpu')
  jax.config.update('jax_num_cpu_devices', math.prod(mesh.values()))
  rows = []
  for remat in flags.remat:
    guessed, found = compare(
      full_size.SHAPES[flags.model],
      mesh,
      rows=flags.rows,
      remat=remat,
      gather=flags.gather,
    )
    rows.append([remat, guessed / 1e9, found / 1e9, guessed / found])
    print(f'{remat}: {guessed / 1e9:.2f} GB, {found / 1e9:.2f} assigned')
  heads = ['remat', 'estimated, GB', 'assigned by XLA, GB', 'ratio']
  print(tabulate.tabulate(rows, heads, floatfmt='.2f'))
  return 0


def parse(argv):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m tools.bench_memory',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('--model', choices=full_size.MESHES, default='1.5b')
  policies = [name for name in qwen2.REMAT if name != 'nothing']
  add('--remat', nargs='+', choices=qwen2.REMAT, default=policies)
  add('--rows', type=int, default=1, help='of a device in a micro-batch')
  add('--gather', choices=('layer', 'update'), default='layer')
  return parser.parse_args(argv)


def compare(shape, mesh, *, rows, remat, gather):
  """Bytes of one device, estimated and as XLA assigns them.

  Args:
    shape: qwen2.Shape.
    mesh: dict of the mesh's axes.
    rows: of a device in a micro-batch.
    remat: a key of qwen2.REMAT.
    gather: one of update.GATHER.
  """
  devices = mesh['data'] * mesh['fsdp']
  recipe = full_size.recipe_of(
    base.get_config(),
    shape,
    attend=attention.blocked,
    dtype=jnp.dtype('float32'),
    remat=remat,
    gather=gather,
  )
  fit = packing.Fit(
    row_tokens=ROW_TOKENS,
    sequences=attention.SEQUENCES,
    micro_rows=rows * devices,
    devices=devices,
    cost=flops.forward(shape),
  )
  state = blueprint.blank(recipe)
  layout = sharding.layout(sharding.make_mesh(jax.devices(), **mesh), state)
  guessed = memory.estimate(recipe, layout, state, fit, MICRO_BATCHES)
  program = steps.learner(recipe, layout).lower(
    state, blank_rows(fit), *(jax.ShapeDtypeStruct((), t) for t in SCALARS)
  )
  found = program.compile().memory_analysis()
  return memory.total(guessed), (
    found.argument_size_in_bytes
    + found.temp_size_in_bytes
    + found.output_size_in_bytes
    - found.alias_size_in_bytes
  )


SCALARS = ('int32', 'float32', 'bool', 'bool')


def blank_rows(fit):
  """Rows of shapes alone."""
  size = (MICRO_BATCHES, fit.micro_rows, fit.row_tokens)
  rows, _ = packing.pack([], [], [], fit._replace(row_tokens=1), capacity=1)
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(size, x.dtype), rows)


if __name__ == '__main__':
  sys.exit(main())
