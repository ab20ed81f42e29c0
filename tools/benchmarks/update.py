"""Measures one GRPO update: speed, memory, and the time of its parts.

  python -m tools.benchmarks.update --model=1.5b|7b|tiny [--remat=qkv]
    [--attention=cudnn] [--rows=1] [--layers=14] [--updates=3] [--no_torch]

Response lengths are random with a mean of half the cap: 8K under 16K, and 128
under 256 for `tiny`, which fits a laptop. One process makes our update on all
devices. If torch is installed, another makes torch's update on one device with
the same lengths (tools/benchmarks/peers/torch_update.py). On a CPU both compute
in float32, on a GPU in bfloat16 with float32 parameters.

Model FLOP utilisation counts half of the attention matrix, because it is
causal, and no recomputation (siri_jax/models/flops.py). Its reference is the
speed of a large matrix product in the same process. The fastest of several
updates counts, because the machine may be shared. `--layers` uses only some
layers of a model that does not fit.
"""

import argparse
import dataclasses
import functools
import json
import operator
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import tabulate

from siri_jax.config import command_line

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Mean and cap of the responses, tokens of a prompt, number of responses.
LENGTHS = {
  '1.5b': (8192, 16_384, 150, 32),
  '7b': (8192, 16_384, 150, 32),
  'tiny': (128, 256, 16, 64),
}
SPREAD = 0.7  # Standard deviation of log-lengths.


def main(argv=None):
  """Prints the tables; returns 0 if all ran."""
  flags = parse(argv)
  if flags.child:
    from siri_jax.runtime import xla_flags

    with tempfile.TemporaryDirectory() as cache:
      xla_flags.set_up(cache)  # As a run does, with an empty cache.
      print(json.dumps(ours(flags)))
    return 0
  rest = sys.argv[1:] if argv is None else argv
  found = [child('tools.benchmarks.update', '--child', *rest)]
  if flags.torch and 'failed' not in found[0]:
    settings = json.dumps(found[0]['settings'])
    for more in ('--checkpointing', '--no-checkpointing'):
      found.append(child('tools.benchmarks.peers.torch_update', settings, more))
  print(report(flags, found))
  return int(any('failed' in row for row in found))


def parse(argv):
  """The command line."""
  parser = command_line.parser(__doc__)
  add = parser.add_argument
  add('--model', choices=LENGTHS, default='tiny')
  add(
    '--remat', default='', help='of decoder.REMAT; default: the fastest to fit'
  )
  add('--attention', default='', help='default: cudnn on GPUs, else reference')
  add('--param_sharding', default='zero3', choices=('zero3', 'zero1'))
  add('--rows', type=int, default=1, help='rows of a micro-batch per device')
  add('--layers', type=int, default=0, help='0: all layers of the model')
  add('--sequences', type=int, default=0, help="0: the model's default")
  add('--updates', type=int, default=3, help='updates to time')
  add('--no_torch', dest='torch', action='store_false')
  add('--child', action='store_true', help=argparse.SUPPRESS)
  return parser.parse_args(argv)


def child(module, *words):
  """The results of a child process, or the reason why it failed."""
  went = subprocess.run(
    [sys.executable, '-m', module, *words],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  if went.returncode:
    lines = went.stderr.strip().splitlines() or [f'status {went.returncode}']
    return {'system': module, 'failed': lines[-1]}
  return json.loads(went.stdout.splitlines()[-1])


def ours(flags):
  """All measurements of our update, over all devices of this process."""
  return functools.reduce(operator.or_, stages(flags))


def stages(flags):
  """Yields the measurements of our update as they come, each a dict."""
  import jax

  from siri_jax import compiled as steps
  from siri_jax.models import decoder, flops
  from tools.benchmarks import update_parts

  settings, recipe, layout, fit, samples = prepared(flags)
  rows, count = packed(samples, fit, layout)
  shape, lengths = recipe.shape, settings['lengths']
  yield {
    'system': 'siri_jax',
    'settings': settings,
    'fill': sum(lengths) / (int(count) * fit.micro_batch_rows * fit.row_tokens),
    'flops': flops.update(shape, lengths),
    'devices': layout.mesh.size,
    'device': jax.devices()[0].device_kind,
    'matmul_flops': update_parts.matmul_flops(recipe.dtype),
    'estimated_gb': estimated_gb(recipe, layout, fit, rows.tokens.shape[0]),
  }
  make = functools.partial(decoder.init, shape=shape)
  params = jax.jit(make, out_shardings=layout.state.params)(jax.random.key(0))
  state = steps.init_state(params, recipe.tx, layout)
  del params
  scalars = (count, np.float32(len(samples)), np.bool_(True), np.bool_(True))
  began = time.monotonic()
  update = (
    steps.compile_update(recipe, layout)
    .lower({}, state, rows, *scalars)
    .compile()
  )
  yield {'compile_secs': time.monotonic() - began}
  secs, cpu = [], []
  for _ in range(flags.updates + 1):
    began, worked = time.monotonic(), time.process_time()
    state, metrics = update({}, state, rows, *scalars)
    jax.block_until_ready((state, metrics))
    secs.append(time.monotonic() - began)
    cpu.append(time.process_time() - worked)
  best = {'secs': min(secs[1:]), 'cpu_secs': min(cpu[1:])}
  yield {**best, 'peak_gb': peak_memory()}
  yield {'parts': update_parts.seconds(recipe, layout, state, rows, int(count))}


def prepared(flags):
  """(settings, UpdateConfig, Layout, PackingConfig, samples)."""
  import jax
  import jax.numpy as jnp

  from siri_jax.algorithm import packing
  from siri_jax.config import base, plan
  from siri_jax.config import recipe as recipes
  from siri_jax.models import attention, flops, sharding
  from tools.benchmarks import full_size

  gpu = jax.default_backend() == 'gpu'
  shape = full_size.SHAPES[flags.model]
  shape = dataclasses.replace(shape, layers=flags.layers or shape.layers)
  _, cap, prompt, _ = LENGTHS[flags.model]
  samples = draw(flags, shape.vocab)
  devices = jax.devices()
  fit = packing.PackingConfig(
    row_tokens=-(-(cap + prompt) // plan.ROW_MULTIPLE) * plan.ROW_MULTIPLE,
    sequences=attention.SEQUENCES,
    micro_batch_rows=flags.rows * len(devices),
    devices=len(devices),
    cost=flops.forward(shape),
  )
  attend = flags.attention or ('cudnn' if gpu else 'reference')
  recipe = full_size.recipe_of(
    base.get_config(),
    shape,
    attend=attention.IMPLEMENTATIONS[attend],
    dtype=jnp.dtype('bfloat16' if gpu else 'float32'),
    remat=flags.remat or 'full',
    param_sharding=flags.param_sharding,
  )
  mesh = sharding.make_mesh(devices, data=1, fsdp=len(devices), tensor=1)
  layout = sharding.layout(mesh, recipes.blank(recipe))
  if not flags.remat:
    recipe = roomiest(recipe, layout, fit, len(samples), device_gb(devices[0]))
  settings = {
    'shape': dataclasses.asdict(shape),
    'lengths': [s.prompt_ids.size + s.response_ids.size for s in samples],
    'prompt': prompt,
    'remat': recipe.remat,
    'attention': attend,
    'updates': flags.updates,
    'learning_rate': base.get_config().learning_rate,
    'chunk': recipe.chunk,
  }
  return settings, recipe, layout, fit, samples


def roomiest(recipe, layout, fit, micro_batches, room):
  """The recipe with the least recomputation that fits `room` GB of a device."""
  from siri_jax.config import memory
  from siri_jax.config import recipe as recipes

  state = recipes.blank(recipe)
  needs = memory.estimates(recipe, layout, state, fit, micro_batches)
  return dataclasses.replace(recipe, remat=memory.best(needs, room))


def estimated_gb(recipe, layout, fit, micro_batches):
  """The memory estimate of an update on a device, GB."""
  from siri_jax.config import memory
  from siri_jax.config import recipe as recipes

  state = recipes.blank(recipe)
  found = memory.estimate(recipe, layout, state, fit, micro_batches)
  return memory.total(found) / 1e9


def draw(flags, vocab):
  """Samples of random tokens with lognormal lengths."""
  from siri_jax import types

  mean, cap, prompt, count = LENGTHS[flags.model]
  rng = np.random.default_rng(0)
  median = mean / np.exp(SPREAD**2 / 2)
  drawn = rng.lognormal(np.log(median), SPREAD, flags.sequences or count)
  return [
    types.Tokens(
      prompt_ids=rng.integers(0, vocab, prompt, np.int32),
      response_ids=rng.integers(0, vocab, length, np.int32),
    )
    for length in np.clip(drawn, 1, cap).astype(int)
  ]


def packed(samples, fit, layout):
  """The samples as rows on the devices, and the micro-batches in use."""
  from siri_jax.algorithm import packing
  from siri_jax.models import sharding

  rows, count = packing.pack(
    samples,
    [1 / s.response_ids.size for s in samples],
    np.linspace(-1, 1, len(samples), dtype=np.float32),
    fit,
  )
  return sharding.put(rows, layout.rows), np.int32(count)


def device_gb(device):
  """Memory of a device, GB; 8 for a CPU."""
  stats = device.memory_stats() or {}
  return stats.get('bytes_limit', 8e9) / 1e9


def peak_memory():
  """Peak memory, GB: of the GPU, or of the whole process on a CPU."""
  import jax

  stats = jax.devices()[0].memory_stats() or {}
  usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  return stats.get('peak_bytes_in_use', usage) / 1e9


def report(flags, found):
  """The tables, as text."""
  first, *_ = found
  if 'failed' in first:
    return f'siri_jax failed: {first["failed"]}'
  given, tokens = first['settings'], sum(first['settings']['lengths'])
  rows = []
  for row in found:
    if 'failed' in row:
      rows.append([row['system'], row['failed']])
      continue
    rate = first['flops'] / row['secs'] / row.get('devices', 1)
    share = rate / first['matmul_flops']
    rows.append(
      [
        row['system'],
        f'{row["secs"]:.2f}',
        f'{row["cpu_secs"]:.2f}',
        f'{tokens / row["secs"]:,.0f}',
        f'{rate / 1e12:,.3f}',
        f'{100 * share:.1f} %',
        f'{row["peak_gb"]:.2f}',
        f'{row["compile_secs"]:.1f}',
      ]
    )
  heads = ['system', 's', 'CPU s', 'tokens/s', 'TFLOP/s', 'MFU', 'peak GB']
  heads.append('compile s')
  parts = first['parts']
  parts['matrix products and the rest'] = first['secs'] - sum(parts.values())
  shares = [
    [name, f'{secs:.3f}', f'{100 * secs / first["secs"]:.0f} %']
    for name, secs in parts.items()
  ]
  return '\n\n'.join(
    [
      f'{flags.model}, {given["shape"]["layers"]} layers, {first["devices"]} * '
      f'{first["device"]}, a large product {first["matmul_flops"] / 1e12:,.3f} '
      'TFLOP/s a device',
      f'{len(given["lengths"])} sequences, {tokens:,} tokens, rows '
      f'{100 * first["fill"]:.0f} % full; remat {given["remat"]!r}, attention '
      f'{given["attention"]!r}',
      tabulate.tabulate(rows, heads, 'github', stralign='right'),
      tabulate.tabulate(shares, ['of siri_jax', 's', 'share'], 'github'),
    ]
  )


if __name__ == '__main__':
  sys.exit(main())
