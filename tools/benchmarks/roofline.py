"""An upper bound of the MFU, from the update compiled for H100s.

  python -m tools.benchmarks.roofline [--model=1.5b|7b] [--remat=products]
    [--param_sharding=zero3|zero1] [--rows=1] [--program=FILE]

Compiles the update as tools/benchmarks/memory.py does, which needs no GPU but
the plug-in of jax[cuda12], or reads the text of a compiled program (--program).
Each kernel takes at least its FLOPs or its bytes at the rates of the data
sheet, one kernel after another. Transfers, and copies within a device, run
beside the kernels that the compiler scheduled between their start and their
end; what is left of them is waiting. Real kernels are slower, and launches and
the imbalance of devices are left out: the result is a bound, not a prediction.

Responses have lengths as configs/cosine640.py assumes: lognormal, cut at 16,384
tokens, 1,024 a step in two mini-batches. Attention is counted by their
sequences.

Source of the rates: NVIDIA H100 Tensor Core GPU data sheet, SXM: 989 TFLOP/s
dense bfloat16, 3.35 TB/s HBM3, NVLink 900 GB/s, half of it in each direction;
a 400 Gb/s InfiniBand adapter a GPU.
"""

import collections
import dataclasses
import importlib
import pathlib
import sys
from typing import NamedTuple

import numpy as np
import tabulate

from siri_jax.algorithm import packing
from siri_jax.config import command_line
from siri_jax.models import attention, flops
from tools.benchmarks import full_size, hlo, memory

PRODUCTS = 989e12  # FLOP/s, dense bfloat16.
MEMORY = 3.35e12  # Bytes/s.
NODE, NETWORK = 450e9, 50e9  # Bytes/s that a GPU sends: NVLink, InfiniBand.
# Config and remat that fit 80 GB.
RUNS = {'1.5b': ('cosine640', 'products'), '7b': ('cosine640_7b', 'gate')}
# Backward, attention computes its scores again: five products, forward two.
BACKWARD = 2.5


class Batch(NamedTuple):
  """The sequences of a mini-batch, packed.

  Attributes:
    lengths: int [B], tokens.
    micro_batches: of the update.
    squares: mean over rows of the sum of squared lengths.
  """

  lengths: np.ndarray
  micro_batches: int
  squares: float


@dataclasses.dataclass
class Cost:
  """What a part of the program costs a device; adds up."""

  flops: float = 0.0
  again: float = 0.0  # FLOPs that recompute.
  bytes: float = 0.0
  secs: float = 0.0

  def add(self, times, flops, again, bytes):
    """Adds a kernel that runs `times` times."""
    self.flops += times * flops
    self.again += times * flops * again
    self.bytes += times * bytes
    self.secs += times * max(flops / PRODUCTS, bytes / MEMORY)


class Walk:
  """Walks a program on the clocks of its kernels, copies and transfers."""

  def __init__(self, text, shape, batch, chunks):
    self.computations, self.entry = hlo.parse(text)
    self.shape, self.batch, self.chunks = shape, batch, chunks
    self.parts = collections.defaultdict(Cost)
    self.sent = collections.Counter()  # Bytes by kind of transfer.
    self.busy = 0.0  # Seconds of transfers.
    self.waited = 0.0  # Seconds in which kernels wait for a transfer.

  def run(self):
    """Seconds of an update."""
    return self._of(self.entry, 1, 0)

  def _of(self, name, times, depth):
    """Seconds of one run of a computation that runs `times` times."""
    computation = self.computations[name]
    now, arrives = 0.0, {}
    free = collections.Counter()  # When the link and the copies are idle again.
    for x in computation.values():
      if x.op == 'while':
        trips = self._trips(x, depth)
        body = x.attribute(r'body=%([^\s,]+)')
        now += trips * self._of(body, times * trips, depth + 1)
      elif x.op in ('call', 'conditional'):
        inner = x.attribute(r'(?:to_apply|true_computation)=%([^\s,]+)')
        now += self._of(inner, times, depth) if inner else 0.0
      elif x.op in hlo.TRANSFERS:  # Kernels wait for it.
        secs = self._transfer(x, computation, times)
        self.waited += times * secs
        now += secs
      elif x.op.endswith('-start'):
        if x.op == 'fusion-start':  # A copy within the device's memory.
          kind = 'copies'
          secs = hlo.traffic(x, computation, self.computations) / MEMORY
        else:
          kind, secs = 'link', self._transfer(x, computation, times)
        arrives[x.name] = free[kind] = max(free[kind], now) + secs
      elif x.op.endswith('-done'):
        arrival = arrives.get(x.operands[0], now)
        self.waited += times * max(0.0, arrival - now)
        now = max(now, arrival)
      elif x.op not in hlo.FREE:
        now += self._kernel(x, computation, times, depth)
    return now

  def _trips(self, x, depth):
    """Iterations of a loop: the outermost's are micro-batches."""
    known = x.attribute(r'"known_trip_count":\{"n":"(\d+)"')
    if known:
      return int(known)
    return self.batch.micro_batches if depth == 0 else self.chunks

  def _transfer(self, x, computation, times):
    sent = hlo.sent(x, computation)
    _, near = hlo.group(x)
    secs = sent / (NODE if near else NETWORK)
    kind = x.op.removesuffix('-start')
    self.sent[kind, 'NVLink' if near else 'InfiniBand'] += times * sent
    self.busy += times * secs
    return secs

  def _kernel(self, x, computation, times, depth):
    part, count = self.parts[self._part(x, depth)], self._flops(x, computation)
    moved = hlo.traffic(x, computation, self.computations)
    before = part.secs
    part.add(times, count, self._again(x), moved)
    return (part.secs - before) / times if times else 0.0

  def _part(self, x, depth):
    where = x.attribute(r'op_name="([^"]*)"')
    if 'fmha' in x.rest:
      return 'attention'
    if any(name in where for name in ('td,dv->tv', 'tv,dv->td', 'td,tv->dv')):
      return 'head, products'
    if 'matmul' in x.rest:
      return 'layers, products'
    if depth == 0:
      return 'optimiser'
    # The loops over tokens of the head are inside that over micro-batches.
    return 'other kernels'

  def _flops(self, x, computation):
    if 'fmha' not in x.rest:
      return hlo.product_flops(x, computation)
    forward = 2 * self.shape.heads * self.shape.head_dim * self.batch.squares
    return forward * (BACKWARD if 'Backward' in x.rest else 1)

  def _again(self, x):
    """The share of an instruction's FLOPs that recompute."""
    where = x.attribute(r'op_name="([^"]*)"')
    if 'fmhaSoftmaxBackward' in x.rest:
      return 1 - 2 / BACKWARD
    logits = 'td,dv->tv' in where and 'transpose(jvp' in where
    return float('rematted' in where or logits)


def main(argv=None):
  """Prints the tables; returns 0."""
  flags = parse(argv)
  shape, mesh = full_size.SHAPES[flags.model], full_size.MESHES[flags.model]
  devices = mesh['data'] * mesh['fsdp']
  if flags.program:
    program = flags.program.read_text()
  else:
    memory.set_up('gpu', devices)
    _, compiled = memory.compare(
      *(shape, mesh),
      rows=flags.rows,
      compiler='gpu',
      remat=flags.remat,
      param_sharding=flags.param_sharding,
    )
    program = compiled.as_text()
  c = importlib.import_module(f'configs.{RUNS[flags.model][0]}').get_config()
  batch = draw(c, shape, devices, flags.rows)
  tokens = flags.rows * memory.ROW_TOKENS
  chunks = -(-tokens // c.update_kw.logprob_chunk_tokens)
  walk = Walk(program, shape, batch, chunks)
  print(report(walk, shape, devices))
  return 0


def parse(argv):
  """The command line."""
  parser = command_line.parser(__doc__)
  add = parser.add_argument
  add('--model', choices=RUNS, default='1.5b')
  add('--remat', default='', help='by default the one that fits 80 GB')
  add('--param_sharding', choices=('zero3', 'zero1'), default='zero3')
  add('--rows', type=int, default=1, help='rows of a micro-batch per device')
  add('--program', type=pathlib.Path, help='text of a compiled program')
  flags = parser.parse_args(argv)
  flags.remat = flags.remat or RUNS[flags.model][1]
  return flags


def draw(c, shape, devices, rows):
  """The Batch of a mini-batch with lengths that a config assumes.

  Args:
    c: ConfigDict.
    shape: decoder.ModelConfig.
    devices: that share a micro-batch.
    rows: rows of a micro-batch per device.
  """
  count = c.prompts_per_step * c.group_size // c.minibatches
  lengths = full_size.sequences(c, count)
  placed = packing.first_fit_decreasing(
    lengths, memory.ROW_TOKENS, attention.SEQUENCES
  )
  micro_batches = -(-len(placed) // (rows * devices))
  squares = np.sum(lengths.astype(float) ** 2) / (micro_batches * devices)
  return Batch(lengths, micro_batches, squares)


def report(walk, shape, devices):
  """The tables, as text."""
  secs, batch = walk.run(), walk.batch
  model = flops.update(shape, batch.lengths) / devices
  parts = [
    [
      name,
      f'{cost.flops / 1e12:,.1f}',
      f'{100 * cost.again / cost.flops:.0f} %' if cost.flops else '',
      f'{cost.bytes / 1e9:,.0f}',
      f'{cost.secs:.3f}',
      f'{100 * cost.secs / secs:.1f} %',
    ]
    for name, cost in sorted(walk.parts.items(), key=lambda x: -x[1].secs)
  ]
  waiting = f'{walk.waited:.3f}', f'{100 * walk.waited / secs:.1f} %'
  parts.append(['waiting for transfers', '', '', '', *waiting])
  done = sum(cost.flops for cost in walk.parts.values())
  again = sum(cost.again for cost in walk.parts.values())
  heads = ['a device', 'TFLOP', 'recomputed', 'GB', 's, at least', 'share']
  sent = [
    [f'{kind}, {link}', f'{total / 1e9:,.1f}']
    for (kind, link), total in walk.sent.items()
  ]
  hidden = 1 - walk.waited / walk.busy if walk.busy else 1.0
  return '\n'.join(
    [
      f'{len(batch.lengths)} sequences, {sum(batch.lengths):,} tokens, '
      f'{batch.micro_batches} micro-batches on {devices} H100s',
      tabulate.tabulate(parts, heads, disable_numparse=True),
      tabulate.tabulate(sent, ['sent by a device', 'GB']),
      f'transfers take {walk.busy:.3f} s, {100 * hidden:.1f} % of it beside '
      'kernels',
      f'recomputed: {100 * again / done:.1f} % of {done / 1e12:,.0f} TFLOP; '
      f'the model has {model / 1e12:,.0f}',
      f'an update takes {secs:.2f} s at least: MFU at most '
      f'{100 * model / secs / PRODUCTS:.1f} %',
    ]
  )


if __name__ == '__main__':
  sys.exit(main())
