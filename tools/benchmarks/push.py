"""Times a push of weights to a server stage by stage.

  bash tools/serve_policy.sh --config=configs/quickstart.py    # other terminal
  python -m tools.benchmarks.push --config=configs/quickstart.py [--pushes=5]
    [--noserver] [--config.KEY=VALUE ...]

Makes random parameters of the config's model_kw and pushes them to the first
server of its server_kw. The floor is the time of a plain write and read of as
many bytes in the same folder. For a model of the 1.5B's shape (3.55 GB in
bfloat16), give both commands --config.policy=fresh and its model_kw. With
--noserver this process reads and checks each push, as a server's rank does
before it loads the weights.
"""

import os
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import tabulate

from siri_jax.config import command_line
from siri_jax.config import plan as plans
from siri_jax.data import load
from siri_jax.models import decoder, hf_names
from siri_jax.models.hf import initial
from siri_jax.rollout import http_client, weight_sync
from siri_jax.rollout.vllm_plugin import tensor_parallel, weight_reader
from siri_jax.runtime.exit_status import DONE, refuse

# The stages that a WeightPublisher times.
WRITTEN = ('export', 'write', 'checksums')
CHUNK = 2**24  # Bytes of a plain write or read.


def main(argv):
  """Prints the table; returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  faults = [*asked.faults, *plans.faults(asked.config)]
  if faults:
    return refuse(faults, asked.source)
  c = asked.config
  shape = initial.shape_of(c, load.read(c)[0].vocab)
  params = random(shape, jnp.dtype(c.compute_dtype))
  size = sum(x.nbytes for x in jax.tree.leaves(params))
  take = by_its_reader(c, shape) if asked.flags.noserver else by_a_server(c)
  found = [measured(c, params, take, asked.flags.pushes), floor(c, size)]
  print(table(size, *found))
  return DONE


def define(add):
  """This program's own flags."""
  add.add_argument(
    '--pushes', type=int, default=5, help='timed pushes, after an untimed one'
  )
  add.add_argument(
    '--noserver',
    action='store_true',
    help='read each push here instead of by a server',
  )


def random(shape, dtype):
  """Random parameters, in the dtype of a push to save memory."""
  keys = iter(jax.random.split(jax.random.key(0), 32))
  return jax.tree.map(
    lambda size: 0.02 * jax.random.normal(next(keys), size, dtype),
    decoder.param_shapes(shape),
    is_leaf=lambda x: isinstance(x, tuple),
  )


def by_a_server(c):
  """A function that pushes to the first server; its name is the stage's."""
  line = http_client.Connection(c.server_kw.urls[0])

  def server(publisher, pushed):
    publisher.bring(line, pushed)

  return server


def by_its_reader(c, shape):
  """A function that reads and checks a push, as a server's rank does."""
  wanted = {
    name: weight_reader.Wanted(
      source.size, c.compute_dtype, tensor_parallel.part_of(source, shape, 0, 1)
    )
    for name, source in hf_names.sources(shape).items()
  }

  def read_and_check(publisher, pushed):
    del publisher
    push = pushed.name, pushed.digest
    weight_reader.read(c.server_kw.folder, *push, wanted, 0, 1)

  return read_and_check


def measured(c, params, take, pushes):
  """Median seconds of each stage, over pushes after a first one."""
  export = jax.jit(
    lambda p: hf_names.export(decoder.unstacked(p), jnp.dtype(c.compute_dtype))
  )
  publisher = weight_sync.WeightPublisher(
    c.server_kw.folder,
    'bench',
    export,
    push_secs=c.server_kw.push_secs,
    sleeps=False,
  )
  seen = []
  for version in range(1 + pushes):
    pushed = publisher.write(params, version)
    began = time.monotonic()
    take(publisher, pushed)
    took = {take.__name__.replace('_', ' '): time.monotonic() - began}
    seen.append({k: publisher.seconds[k] for k in WRITTEN} | took)
    print(f'push {version}: {sum(seen[-1].values()):.2f} s', flush=True)
  return {
    stage: statistics.median(s[stage] for s in seen[1:]) for stage in seen[0]
  }


def floor(c, size):
  """Seconds of a plain write and a plain read of `size` bytes."""
  path = pathlib.Path(c.server_kw.folder) / 'floor'
  block, found = os.urandom(CHUNK), {}
  try:
    began = time.monotonic()
    with open(path, 'wb') as file:
      for _ in range(-(-size // CHUNK)):
        file.write(block)
      file.flush()
      os.fsync(file.fileno())
    found['plain write'] = time.monotonic() - began
    began, memory = time.monotonic(), bytearray(CHUNK)
    with open(path, 'rb', buffering=0) as file:
      while file.readinto(memory):
        pass
    found['plain read'] = time.monotonic() - began
  finally:
    path.unlink(missing_ok=True)
  return found


def table(size, stages, plain):
  """The stages and the floor as text."""
  total, least = sum(stages.values()), sum(plain.values())
  rows = [
    *stages.items(),
    ('the whole push', total),
    *plain.items(),
    ('the floor', least),
  ]
  rows = [(name, secs, size / secs / 1e9) for name, secs in rows]
  text = tabulate.tabulate(rows, ['stage', 's', 'GB/s'], 'pipe', floatfmt='.3f')
  return f'{size / 1e9:.3f} GB; {total / least:.2f} times the floor\n\n{text}'


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
