"""Times a push of weights stage by stage, beside a plain write and read.

  python -m tools.benchmarks.push --config=configs/quickstart.py
  python -m tools.benchmarks.push --config=configs/cosine640.py --layers=7
    [--pushes=5] [--server] [--config.server_kw.folder=/dev/shm/pushes] [...]

Makes random parameters of the config's model, or of some of its layers, in the
dtype of a push. It needs no tokenizer, problems or parameters of a model that
siri_jax/data/workload.py knows.

This process takes the part of a server's rank too: it reads and checks each
push, and copies the tensors to memory of their own, as a server loads them.
With --server the first server of the config's server_kw does that; start it
with tools/serve_policy.sh and the same config.

The floor is a plain write and read of as many bytes in the same folder, before
each push. Neither it nor a push waits for the disk; a write that does is in the
table too. The times are medians over the pushes.
"""

import dataclasses
import functools
import pathlib
import shutil
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import tabulate

from siri_jax.config import command_line
from siri_jax.config import plan as plans
from siri_jax.data import workload
from siri_jax.models import decoder, hf_names
from siri_jax.rollout import http_client, weight_sync
from siri_jax.rollout.vllm_plugin import tensor_parallel, weight_reader
from siri_jax.runtime.exit_status import DONE, refuse
from tools.benchmarks import plain_file

RUN = 'bench'  # Its pushes are deleted at the end.
STAGES = ('export', 'write', 'checksums', 'check', 'load', 'server')
FLOOR = ('plain write', 'plain read')


def main(argv):
  """Prints the table; returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  faults = [*asked.faults, *plans.faults(asked.config)]
  if faults:
    return refuse(faults, asked.source)
  c, flags = asked.config, asked.flags
  shape = workload.of(c).shape
  if flags.layers:
    shape = dataclasses.replace(shape, layers=flags.layers)
  params = random(shape, jnp.dtype(c.compute_dtype))
  take = by_a_server(c) if flags.server else by_this_process(c, shape)
  try:
    print(table(*measured(c, params, take, flags.pushes)))
  finally:
    for push in pathlib.Path(c.server_kw.folder).glob(f'{RUN}-[0-9]*'):
      shutil.rmtree(push, ignore_errors=True)
  return DONE


def define(made):
  """This program's own flags."""
  add = made.add_argument
  add(
    '--pushes', type=int, default=5, help='timed pushes, after an untimed one'
  )
  add('--layers', type=int, default=0, help='layers of the model; 0: all')
  add('--server', action='store_true', help='push to a running server')


def random(shape, dtype):
  """Random parameters, in the dtype of a push to save memory."""
  keys = iter(jax.random.split(jax.random.key(0), 32))
  return jax.tree.map(
    lambda size: 0.02 * jax.random.normal(next(keys), size, dtype),
    decoder.param_shapes(shape),
    is_leaf=lambda x: isinstance(x, tuple),
  )


def by_a_server(c):
  """A function that pushes to the first server, and times it."""
  line = http_client.Connection(c.server_kw.urls[0])

  def take(publisher, pushed, clock):
    clock('server', lambda: publisher.bring(line, pushed))

  return take


def by_this_process(c, shape):
  """A function that does a server's part, as one rank, and times it."""
  wanted = {
    name: weight_reader.Wanted(
      source, c.compute_dtype, tensor_parallel.part_of(source, shape, 0, 1)
    )
    for name, source in hf_names.sources(shape).items()
  }
  model = {
    name: np.zeros(each.source.size, each.dtype)
    for name, each in wanted.items()
  }

  def take(publisher, pushed, clock):
    del publisher
    push = c.server_kw.folder, pushed.name, pushed.digest
    read = clock('check', lambda: weight_reader.read(*push, wanted, 0, 1))
    clock('load', lambda: load(read))

  def load(read):
    for name, array in read.arrays.items():
      np.copyto(model[name], array)

  return take


def measured(c, params, take, pushes):
  """The bytes of a push, and {stage: median seconds} after a first push."""
  size = sum(x.nbytes for x in jax.tree.leaves(params))
  dtype = jnp.dtype(c.compute_dtype)
  export = jax.jit(lambda p: hf_names.export(p, dtype))
  kw, rounds = c.server_kw, []
  publisher = weight_sync.WeightPublisher(
    kw.folder, RUN, export, push_secs=kw.push_secs, sleeps=False
  )
  for version in range(1 + pushes):
    found = {}

    def clock(stage, work, found=found):
      began = time.monotonic()
      result = work()
      found[stage] = time.monotonic() - began
      return result

    plain(pathlib.Path(kw.folder, 'floor'), size, clock)
    pushed = publisher.write(params, version)
    take(publisher, pushed, clock)
    rounds.append({**publisher.seconds, **found})
    whole, floor = (total(rounds[-1], names) for names in (STAGES, FLOOR))
    print(
      f'push {version}: {whole:.3f} s, floor {floor:.3f} s',
      file=sys.stderr,
      flush=True,
    )
  publisher.close()
  return size, {
    stage: statistics.median(each[stage] for each in rounds[1:])
    for stage in rounds[0]
  }


def total(found, names):
  """The sum of some stages' seconds."""
  return sum(found.get(name, 0.0) for name in names)


def plain(path, size, clock):
  """Times a plain write and read of `size` bytes, and a write to the disk."""
  write = functools.partial(plain_file.write, path, size)
  try:
    clock('plain write', lambda: write(wait=False))
    clock('plain read', lambda: plain_file.read(path))
    path.unlink()
    clock('plain write that waits for the disk', lambda: write(wait=True))
  finally:
    path.unlink(missing_ok=True)


def table(size, found):
  """The stages and the floor as text."""
  whole, least = total(found, STAGES), total(found, FLOOR)
  rows = [
    *((name, found[name]) for name in STAGES if name in found),
    ('the whole push', whole),
    *((name, found[name]) for name in found if name.startswith('plain')),
    ('the floor: plain write and read', least),
  ]
  rows = [(name, secs, size / secs / 1e9) for name, secs in rows]
  text = tabulate.tabulate(rows, ['stage', 's', 'GB/s'], 'pipe', floatfmt='.4f')
  return f'{size / 1e9:.4f} GB; {whole / least:.2f} times the floor\n\n{text}'


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
