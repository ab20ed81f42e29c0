"""Reads a compiled program's text: kernels with FLOPs and bytes, transfers.

The text of an executable is XLA's HLO after scheduling: the instructions of a
computation run in their order, and a transfer runs from its -start to its
-done. Only what takes time on a GPU is counted: kernels and transfers.
"""

import math
import re
from typing import NamedTuple

import numpy as np

from tools.benchmarks.gpu_compiler import NODE

WIDTHS = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's64': 8, 'u64': 8}
# Instructions without a kernel.
FREE = {
  *('parameter', 'constant', 'bitcast', 'get-tuple-element', 'tuple'),
  *('after-all', 'partition-id', 'replica-id', 'iota', 'broadcast'),
}
# Opcode of what updates its first operand in place -> operand of the new part.
UPDATES = {'dynamic-update-slice': 1, 'scatter': 2}
TRANSFERS = ('all-gather', 'all-reduce', 'reduce-scatter')
LINE = re.compile(
  r'\s*(?P<root>ROOT )?%(?P<name>\S+) = (?P<shape>.*?) (?P<op>[a-z][a-z0-9-]*)'
  r'\((?P<operands>.*?)\)(?:, (?P<rest>.*))?$'
)
ARRAY = re.compile(r'\b([a-z]+\d*)\[([\d,]*)\]')


class Instruction(NamedTuple):
  """An instruction of a computation.

  Attributes:
    name: its name.
    shape: text of its shape; a tuple's has several arrays.
    op: HLO's opcode.
    operands: names of its operands.
    rest: text of its attributes.
    root: whether it is its computation's result.
  """

  name: str
  shape: str
  op: str
  operands: tuple[str, ...]
  rest: str
  root: bool

  def attribute(self, pattern):
    """The first group of a pattern in the attributes, or ''."""
    found = re.search(pattern, self.rest)
    return found[1] if found else ''


def parse(text):
  """Computations by name, each a dict name -> Instruction in order.

  Returns:
    (dict, name of the entry computation).
  """
  found, entry, current = {}, '', None
  for line in re.sub(r'/\*.*?\*/', '', text).splitlines():
    opened = re.match(r'(ENTRY )?%(\S+) \(.*\{$', line)
    if opened:
      current = found.setdefault(opened[2], {})
      entry = opened[2] if opened[1] else entry
    elif current is not None and (given := LINE.match(line)):
      operands = tuple(re.findall(r'%([^\s,)]+)', given['operands']))
      current[given['name']] = Instruction(
        *(given['name'], given['shape'], given['op'], operands),
        *(given['rest'] or '', bool(given['root'])),
      )
  return found, entry


def arrays(shape):
  """[(dtype, sizes)] of the arrays in a shape's text."""
  return [
    (dtype, tuple(int(n) for n in sizes.split(',') if n))
    for dtype, sizes in ARRAY.findall(shape)
  ]


def size(shape):
  """Bytes of all arrays in a shape's text."""
  return sum(WIDTHS.get(t, 4) * math.prod(n) for t, n in arrays(shape))


def product_flops(instruction, computation):
  """FLOPs of a matrix product by cuBLAS; 0 for other instructions."""
  if 'matmul' not in instruction.attribute(r'custom_call_target="([^"]*)"'):
    return 0
  (_, out), *_ = arrays(instruction.shape)
  ((_, left),) = arrays(computation[instruction.operands[0]].shape)
  axes = instruction.attribute(r'"lhs_contracting_dimensions":\[([^\]]*)\]')
  shared = math.prod(left[int(axis)] for axis in re.findall(r'\d+', axes))
  return 2 * math.prod(out) * shared


def traffic(instruction, computation, computations):
  """Bytes that a kernel reads and writes, at least.

  A fusion that reads or writes a slice of an array counts the slice.
  """
  read = reads(instruction, computation, computations)
  body = _body(instruction, computations)
  if not body:
    return read + size(instruction.shape)
  (root,) = (x for x in body.values() if x.root)
  return read + _written(root, body)


def reads(instruction, computation, computations):
  """The part of `traffic` that a kernel reads."""
  body = _body(instruction, computations)
  if not body:
    return sum(size(computation[name].shape) for name in instruction.operands)
  return sum(_read(x, body) for x in body.values() if x.op == 'parameter')


def _body(instruction, computations):
  """The computation of a fusion; {} for other instructions."""
  return computations.get(instruction.attribute(r'calls=%([^\s,]+)'), {})


def _read(parameter, body):
  """Bytes that a fusion reads of a parameter."""
  users = [x for x in body.values() if parameter.name in x.operands]
  total = 0
  for user in users:
    if user.op in ('bitcast', 'get-tuple-element'):
      total += _read(user, body)
    elif user.op in ('dynamic-slice', 'slice', 'gather'):
      total += size(user.shape)
    elif user.op in UPDATES and user.operands[0] == parameter.name:
      total += 0  # Updated in place.
    else:
      return size(parameter.shape)
  return min(total, size(parameter.shape))


def _written(root, body):
  """Bytes that a fusion writes."""
  if root.op in ('tuple', 'bitcast'):
    return sum(_written(body[name], body) for name in root.operands)
  if root.op in UPDATES:
    return size(body[root.operands[UPDATES[root.op]]].shape)
  return size(root.shape)


def group(instruction):
  """(devices of a transfer's group, whether they are in one node of 8).

  The groups are written as lists of devices, or as axes of a mesh.
  """
  listed = instruction.attribute(r'replica_groups=\{\{([\d,]+)\}')
  devices = [int(n) for n in listed.split(',') if n]
  mesh = instruction.attribute(r'replica_groups=mesh\[([^\]]*)\]')
  if mesh:
    taken = instruction.attribute(r'replica_groups=mesh\[[^\]]*\] \{([^}]*)\}')
    sizes = [int(n) for n in re.findall(r'=(\d+)', mesh)]
    axes = re.findall(r"'(\w+)'=", mesh)
    own = tuple(slice(None) if f"'{a}'" in taken else 0 for a in axes)
    devices = np.arange(math.prod(sizes)).reshape(sizes)[own].ravel().tolist()
  return len(devices), len({n // NODE for n in devices}) <= 1


def sent(instruction, computation):
  """Bytes that a device sends in a transfer by a ring of devices."""
  devices, _ = group(instruction)
  given = sum(size(computation[name].shape) for name in instruction.operands)
  if instruction.op.startswith('all-gather'):
    return (devices - 1) * given
  share = (devices - 1) / devices
  return given * (
    2 * share if instruction.op.startswith('all-reduce') else share
  )
