"""Counts the work of a step: python -m tools.benchmarks.counters [--check]

Trains a few steps of the quickstart from random parameters and counts: programs
compiled, calls of each program a step, transfers to the host a step, and the
FLOPs and bytes of each compiled program, as XLA states them; also how full
packed rows are, for lengths as in the paper. Prints the table of BENCHMARKS.md.
With --check it compares the counts with that table and names each that is more
than 10 % worse; the exit status is 1 then. Nothing is timed, so that a busy
machine changes nothing. FLOPs and bytes belong to a version of JAX and are
compared under the same one alone.
"""

import contextlib
import pathlib
import re
import sys
import tempfile
from unittest import mock

import jax
import tabulate

from siri_jax import api, compiled
from siri_jax.algorithm import packing
from siri_jax.config import command_line, cosine640
from siri_jax.config import plan as plans
from siri_jax.models import attention
from tools.benchmarks import full_size, marked

DOCUMENT = pathlib.Path(__file__).parent / 'BENCHMARKS.md'
STEPS = 4
SLACK = 0.1  # A count may be worse by this share: lengths depend on rounding.
MORE = ('filled part of a row, %',)  # Counts of which more is better.
COMPILER = re.compile(r': (MFLOP|MB)$')  # Counts of one version of JAX.


def main(argv):
  """Prints or checks the table; returns the exit status."""
  parser = command_line.parser(__doc__)
  parser.add_argument(
    '--check', action='store_true', help='compare with BENCHMARKS.md'
  )
  check = parser.parse_args(argv).check
  found = counts()
  if not check:
    print(table(found))
    return 0
  wrong = worse(found, written(marked.read(DOCUMENT, 'counters')))
  for line in wrong:
    print(line, file=sys.stderr)
  if wrong:
    print(
      'If this is meant: python -m tools.benchmarks counters', file=sys.stderr
    )
  return int(bool(wrong))


class Counted:
  """A compiled program that counts its calls; else as the program itself.

  Attributes:
    calls: number of calls.
    given: shapes and dtypes of the arguments of its first call.
  """

  def __init__(self, program):
    self._program, self.calls, self.given = program, 0, None

  def __call__(self, *given):
    self.calls += 1
    self.given = self.given or jax.tree.map(_abstract, given)
    return self._program(*given)

  def __getattr__(self, name):
    return getattr(self._program, name)

  def cost(self):
    """(FLOPs, bytes) by XLA; a loop's body counts once."""
    found = self._program.lower(*self.given).compile().cost_analysis()
    return found.get('flops', 0.0), found['bytes accessed']


def _abstract(x):
  return jax.ShapeDtypeStruct(x.shape, x.dtype) if hasattr(x, 'shape') else x


@contextlib.contextmanager
def counting():
  """Counts the calls of the programs that are built here, and transfers.

  Yields:
    dict name -> Counted, and a mock of jax.device_get.
  """
  made, build, get = {}, compiled.build, jax.device_get

  def counted(*args, **named):
    programs = build(*args, **named)._asdict()
    made.update({name: Counted(each) for name, each in programs.items()})
    return compiled.Programs(**made)

  with (
    mock.patch.object(compiled, 'build', counted),
    mock.patch.object(jax, 'device_get', side_effect=get) as transfer,
  ):
    yield made, transfer


def counts():
  """dict name -> count, of a short run in a folder of its own."""
  with (
    tempfile.TemporaryDirectory() as folder,
    counting() as (made, transfer),
    contextlib.redirect_stdout(sys.stderr),
  ):
    run = api.train(config(folder), f'{folder}/run')
    found = {'programs compiled': run.column('compile_count')[-1]}
    for name, program in made.items():
      found[f'{name}: calls a step'] = program.calls / STEPS
    found['transfers a step'] = transfer.call_count / STEPS
    found['filled part of a row, %'] = 100 * filled()
    for name, program in made.items():
      if program.calls:
        flops, size = program.cost()
        found[f'{name}: MFLOP'] = flops / 1e6
        found[f'{name}: MB'] = size / 1e6
  return found


def config(folder):
  """The quickstart for a few steps, from random parameters."""
  return api.load_config(
    'quickstart',
    total_steps=STEPS,
    policy='fresh',
    writers=(),
    cache_dir=f'{folder}/cache',
    **{'record_kw.picture_every': 0},
  )


def filled():
  """The share of rows that are tokens, for lengths as in the paper."""
  plan = plans.make(cosine640.get_config())
  tokens = full_size.sequences(plan.c, plan.samples)
  rows = packing.first_fit_decreasing(
    tokens, plan.row_tokens, attention.SEQUENCES
  )
  return tokens.sum() / (len(rows) * plan.row_tokens)


def table(found):
  """The counts in Markdown, below the version of JAX."""
  rows = [(name, f'{count:.4g}') for name, count in found.items()]
  text = tabulate.tabulate(
    rows, ('count', 'value'), 'github', disable_numparse=True
  )
  return f'JAX {jax.__version__}\n\n{text}'


def written(text):
  """(version of JAX, dict name -> count) of a table."""
  version = re.search(r'^JAX (\S+)', text, re.M)[1]
  cells = re.findall(r'^\| (\S.*?) +\| ([-+.\de]+) *\|$', text, re.M)
  return version, {name: float(count) for name, count in cells}


def worse(found, before):
  """A line for each count that is worse than written, or not written."""
  version, old = before
  lines = []
  for name, now in found.items():
    if name not in old:
      lines.append(f'{name}: {now:.4g}, not written in {DOCUMENT.name}')
    elif COMPILER.search(name) and version != jax.__version__:
      continue
    elif (now - old[name]) * (-1 if name in MORE else 1) > SLACK * old[name]:
      lines.append(f'{name}: {now:.4g}, {old[name]:.4g} in {DOCUMENT.name}')
  return lines


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
