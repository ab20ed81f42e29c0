"""Compares the memory estimate with the buffers that XLA assigns.

  python -m tools.benchmarks.memory [--model=NAME] [--remat full products]
    [--rows=1] [--param_sharding=zero3|zero1] [--mesh data=1,fsdp=8,tensor=1]
    [--lora_rank=32]
    [--compiler=gpu|cpu] [--program=FILE] [--head]

Compiles the real update at full size, on the mesh of tools/benchmarks/
full_size.py, from shapes only: nothing is allocated, and it takes about a
minute.

`gpu` is XLA's compiler for H100s. It needs jax[cuda12] or its plug-in, but no
GPU. It uses bfloat16, cuDNN's attention and the flags of
siri_jax/runtime/xla_flags.py, as a run does; cuDNN's workspace is not counted.
`cpu` compiles for virtual CPU devices, in float32 because a CPU copies bfloat16
arrays where a GPU does not. It computes attention in blocks, which like cuDNN's
needs no T x T memory.
"""

import contextlib
import functools
import math
import os
import pathlib
import sys
import tempfile

import jax
import jax.numpy as jnp
import tabulate

from siri_jax import compiled
from siri_jax.algorithm import packing
from siri_jax.config import base, command_line, memory
from siri_jax.config import recipe as recipes
from siri_jax.models import attention, decoder, flops, logprobs, lora, sharding
from siri_jax.runtime import xla_flags
from tools.benchmarks import full_size, gpu_compiler

ROW_TOKENS = 17_408  # The highest cap and the longest prompt, rounded.
MICRO_BATCHES = 64
# Settings of the update for each compiler.
SETTINGS = {
  'gpu': dict(attend=attention.cudnn, dtype=jnp.dtype('bfloat16')),
  'cpu': dict(attend=attention.blocked, dtype=jnp.dtype('float32')),
}


def main(argv=None):
  """Prints the table; returns 0."""
  flags = parse(argv)
  set_up(flags.compiler, math.prod(flags.mesh.values()))
  if flags.head:
    found = head(full_size.SHAPES[flags.model], flags.compiler)
    print(f'head: {found[0] / 1e9:.2f} GB, and {found[1] / 1e9:.2f} gradients')
    return 0
  rows, adapters = [], base.get_config().lora_kw
  adapters.rank = flags.lora_rank
  for remat in flags.remat:
    guessed, program = compare(
      full_size.SHAPES[flags.model],
      flags.mesh,
      rows=flags.rows,
      compiler=flags.compiler,
      remat=remat,
      param_sharding=flags.param_sharding,
      adapters=lora.of(adapters),
    )
    found = assigned(program)
    rows.append([remat, guessed / 1e9, found / 1e9, guessed / found])
    print(f'{remat}: {guessed / 1e9:.2f} GB, {found / 1e9:.2f} assigned')
    if flags.program:
      flags.program.write_text(program.as_text())
  heads = ['remat', 'estimated, GB', 'assigned by XLA, GB', 'ratio']
  print(tabulate.tabulate(rows, heads, floatfmt='.2f'))
  return 0


def parse(argv):
  """The command line."""
  parser = command_line.parser(__doc__)
  add = parser.add_argument
  here = 'gpu' if gpu_compiler.installed() else 'cpu'
  add('--model', choices=full_size.MESHES, default='1.5b')
  policies = [name for name in decoder.REMAT if name != 'nothing']
  add('--remat', nargs='+', choices=decoder.REMAT, default=policies)
  add('--rows', type=int, default=1, help='rows of a micro-batch per device')
  add('--param_sharding', choices=('zero3', 'zero1'), default='zero3')
  add('--lora_rank', type=int, default=0, help='0: full fine-tuning')
  add('--mesh', type=_mesh, help='axes left out are 1')
  add('--compiler', choices=SETTINGS, default=here)
  add('--program', type=pathlib.Path, help='file for the last program')
  add('--head', action='store_true', help='only the head, 16,384 tokens')
  flags = parser.parse_args(argv)
  if flags.compiler == 'gpu' and here == 'cpu':
    parser.error('--compiler=gpu needs `pip install jax-cuda12-plugin`')
  flags.mesh = flags.mesh or full_size.MESHES[flags.model]
  return flags


def _mesh(text):
  sizes = dict(part.split('=') for part in text.split(','))
  return {axis: int(sizes.get(axis, 1)) for axis in sharding.MESH_AXES}


def set_up(compiler, devices):
  """Sets XLA's flags and the number of CPU devices before JAX starts."""
  jax.config.update('jax_platforms', 'cpu')
  if compiler == 'cpu':
    jax.config.update('jax_num_cpu_devices', devices)
    return
  with tempfile.TemporaryDirectory() as cache:
    os.environ['XLA_FLAGS'] = ' '.join(
      xla_flags.accepted(xla_flags.GPU_FLAGS, cache)
    )


def compare(shape, mesh, *, rows, compiler, remat, **changes):
  """Bytes of one device as estimated, and the compiled program.

  Args:
    shape: decoder.ModelConfig.
    mesh: dict of the mesh's axes.
    rows: rows of a micro-batch per device.
    compiler: a key of SETTINGS.
    remat: a key of decoder.REMAT.
    **changes: further fields of update.UpdateConfig.
  """
  devices = mesh['data'] * mesh['fsdp']
  recipe = full_size.recipe_of(
    base.get_config(),
    shape,
    remat=remat,
    **changes,
    **SETTINGS[compiler],
  )
  fit = packing.PackingConfig(
    row_tokens=ROW_TOKENS,
    sequences=attention.SEQUENCES,
    micro_batch_rows=rows * devices,
    devices=devices,
    cost=flops.forward(shape),
  )
  state = recipes.blank(recipe)
  there = contextlib.nullcontext()
  if compiler == 'gpu':
    there = gpu_compiler.with_cudnn()
  frozen = recipes.frozen(recipe)
  layout = sharding.layout(_mesh_for(compiler, mesh), state, frozen)
  guessed = memory.estimate(recipe, layout, state, fit, MICRO_BATCHES)
  scalars = (jax.ShapeDtypeStruct((), t) for t in SCALARS)
  with there:
    program = compiled.compile_update(recipe, layout).lower(
      frozen, state, blank_rows(fit), *scalars
    )
  return memory.total(guessed), program.compile()


def head(shape, compiler):
  """Bytes of one device for the head, and for its gradients.

  Forward and backward over 16,384 tokens, all of them response tokens.

  Args:
    shape: decoder.ModelConfig.
    compiler: a key of SETTINGS.
  """
  chunk, tokens = base.get_config().update_kw.logprob_chunk_tokens, 16_384
  dtype = SETTINGS[compiler]['dtype']
  one = dict(data=1, fsdp=1, tensor=1)
  whole = jax.sharding.NamedSharding(
    _mesh_for(compiler, one), jax.sharding.PartitionSpec()
  )
  blank = functools.partial(jax.ShapeDtypeStruct, sharding=whole)

  def total(hidden, matrix, targets, live):
    found = logprobs.logp_and_entropy(
      hidden, matrix, targets, live, jnp.float32(1), chunk
    )
    return sum(map(jnp.sum, found))

  program = jax.jit(jax.value_and_grad(total, argnums=(0, 1))).lower(
    blank((tokens, shape.dim), dtype),
    blank((shape.dim, shape.vocab), dtype),
    blank((tokens,), 'int32'),
    blank((tokens,), 'bool'),
  )
  found = program.compile().memory_analysis()
  return found.temp_size_in_bytes, found.output_size_in_bytes


def _mesh_for(compiler, mesh):
  """The mesh of the devices that a compiler compiles for."""
  count = math.prod(mesh.values())
  there = gpu_compiler.h100s(count) if compiler == 'gpu' else jax.devices()
  return sharding.make_mesh(there, **mesh)


def assigned(program):
  """Bytes of one device that XLA assigns to a compiled program."""
  found = program.memory_analysis()
  return (
    found.argument_size_in_bytes
    + found.temp_size_in_bytes
    + found.output_size_in_bytes
    - found.alias_size_in_bytes
  )


SCALARS = ('int32', 'float32', 'bool', 'bool')


def blank_rows(fit):
  """Packed rows as shapes without data."""
  size = (MICRO_BATCHES, fit.micro_batch_rows, fit.row_tokens)
  rows, _ = packing.pack([], [], [], fit._replace(row_tokens=1), capacity=1)
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(size, x.dtype), rows)


if __name__ == '__main__':
  sys.exit(main())
