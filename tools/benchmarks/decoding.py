"""Bytes that a decoding step reads, from its program compiled for an H100.

  python -m tools.benchmarks.decoding [--model=1.5b] [--slots=64]
    [--columns=16384] [--filled 256 1024 4096 16384] [--program=FILE]

Needs no GPU but the plug-in of jax[cuda12]. Each kernel of the compiled step
reads its operands; attention reads the blocks of the cache that a slot fills.
A slot holds between half of --filled tokens and one and a half of them. Beside
it, a program that reads all columns of all slots, as on other devices. The goal
is 1.3 times the weights and the filled cache.
"""

import dataclasses
import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import tabulate

from siri_jax.config import command_line
from siri_jax.models import decode, decode_attention, decoder, ragged_attention
from tools.benchmarks import full_size, gpu_compiler, hlo
from tools.gpu_check import sampler

DTYPE = jnp.dtype('bfloat16')
PROMPT = 160  # Tokens of the longest prompt.
KERNEL = '/decode_attention/'  # In the operation's name of its instructions.


def main(argv=None):
  """Prints the table; returns 0."""
  flags = parse(argv)
  jax.config.update('jax_platforms', 'cpu')
  shape = full_size.SHAPES[flags.model]
  size = dict(slots=flags.slots, columns=flags.columns)
  names = {'ragged': ragged_attention.RAGGED, 'all': decode_attention.DENSE}
  programs = {
    name: compiled(shape, attention, **size)
    for name, attention in names.items()
  }
  if flags.program:
    flags.program.write_text(programs['ragged'].as_text())
  weights = weight_bytes(shape)
  rows = []
  for mean in flags.filled:
    lengths = spread(mean, **size)
    least = weights + np.sum(lengths) * column_bytes(shape)
    read = [
      read_bytes(program.as_text(), shape, lengths)
      for program in programs.values()
    ]
    rows.append([mean, *(x / 1e9 for x in (least, *read)), read[0] / least])
  print(f'{flags.model}, {flags.slots} slots of {flags.columns:,} tokens')
  heads = ['tokens a slot', 'weights and filled cache, GB', 'read, GB']
  heads += ['reading all columns, GB', 'ratio']
  print(tabulate.tabulate(rows, heads, floatfmt=('.0f', *['.2f'] * 4)))
  for name, program in programs.items():
    found = program.memory_analysis()
    print(
      f'{name}: {found.argument_size_in_bytes / 1e9:.2f} GB of arguments, '
      f'{found.temp_size_in_bytes / 1e9:.2f} GB besides'
    )
  return 0


def parse(argv):
  """The command line."""
  parser = command_line.parser(__doc__)
  add = parser.add_argument
  add('--model', choices=full_size.SHAPES, default='1.5b')
  add('--slots', type=int, default=64)
  add('--columns', type=int, default=16_384, help='of the longest response')
  add('--filled', type=int, nargs='+', default=[256, 1024, 4096, 16_384])
  add('--program', type=pathlib.Path, help='file for the compiled program')
  flags = parser.parse_args(argv)
  if not gpu_compiler.installed():
    parser.error('needs `pip install jax-cuda12-plugin`')
  return flags


def compiled(shape, attention, *, slots, columns):
  """decode.decode_steps, compiled for an H100.

  Args:
    shape: decoder.ModelConfig.
    attention: decode_attention.Attention.
    slots: S.
    columns: C, tokens of the longest response.
  """
  (gpu,) = gpu_compiler.h100s(1)
  place = jax.sharding.SingleDeviceSharding(gpu)

  def there(tree):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
    )

  def start(key):
    params = decoder.unstacked(decoder.init(key, shape))
    params = jax.tree.map(lambda x: x.astype(DTYPE), params)
    return params, decode.prefill(
      params,
      ask,
      shape=shape,
      slots=slots,
      columns=columns,
      block=attention.block,
    )

  ask = sampler.requests(shape, slots, PROMPT, columns)
  ask = dataclasses.replace(ask, top_p=None, top_k=None)
  params, state = jax.eval_shape(start, jax.random.key(0))
  advance = functools.partial(
    decode.decode_steps,
    shape=shape,
    eos_ids=(shape.vocab,),
    stretch=128,
    attend=attention.attend,
  )
  given = map(there, (params, ask, state))
  with gpu_compiler.with_triton():
    lowered = jax.jit(advance, donate_argnums=2).lower(*given)
  return lowered.compile()


def read_bytes(text, shape, lengths):
  """Bytes that the kernels of a step read.

  Args:
    text: of the compiled program.
    shape: decoder.ModelConfig.
    lengths: int [S], tokens in each slot.
  """
  computations, entry = hlo.parse(text)
  for _ in range(2):  # The loop of steps is in the loop of refills.
    (loop,) = (x for x in computations[entry].values() if x.op == 'while')
    entry = loop.attribute(r'body=%([^\s,]+)')
  step, total = computations[entry], 0
  for x in step.values():
    if x.op in hlo.FREE:
      continue
    total += hlo.reads(x, step, computations)
    if x.op == 'custom-call' and KERNEL in x.rest:
      *_, k, v = (hlo.size(step[name].shape) for name in x.operands)
      total -= k + v
      total += cache_bytes(shape, lengths) / shape.layers
  return total


def cache_bytes(shape, lengths):
  """Bytes of the blocks of the cache that ragged_attention reads."""
  block = ragged_attention.BLOCK
  return np.sum(-(-lengths // block) * block) * column_bytes(shape)


def column_bytes(shape):
  """Bytes of one token in the cache."""
  return 2 * shape.layers * shape.kv_heads * shape.head_dim * DTYPE.itemsize


def weight_bytes(shape):
  """Bytes of the weights that a step reads: without the table of tokens."""
  count = decoder.param_count(shape)
  table = 0 if shape.tied else shape.vocab * shape.dim
  return (count - table) * DTYPE.itemsize


def spread(mean, *, slots, columns):
  """int [S], lengths evenly between half of a mean and one and a half."""
  lengths = np.linspace(mean / 2, 3 * mean / 2, slots)
  return np.clip(lengths, 1, PROMPT + columns).astype(int)


if __name__ == '__main__':
  sys.exit(main())
