"""One update at full size: speed, memory and parts; torch's beside it."""

import json

import jax

from tools.benchmarks import update as benchmark
from tools.gpu_check.findings import checked, failed, measured

TINY = ('--model=tiny', '--layers=1', '--sequences=3', '--updates=1')


def small(tiny):
  """Yields findings of the 1.5B's update of 16 sequences."""
  yield from findings(tiny, '--model=1.5b', '--sequences=16', '--updates=2')


def seven(tiny):
  """Yields findings of the 7B's update with one layer."""
  yield from _of_seven(tiny, 1)


def seven_deep(tiny):
  """Yields findings of the 7B's update with three layers."""
  yield from _of_seven(tiny, 3)


def _of_seven(tiny, layers):
  words = ('--model=7b', '--sequences=8', '--updates=2')
  yield from findings(tiny, *words, f'--layers={layers}')


def findings(tiny, *words):
  """Yields what tools/benchmarks/update.py measures, as it comes.

  On a GPU, the peak memory must be near the estimate that chose `remat`.

  Args:
    tiny: whether to measure TINY instead.
    *words: the benchmark's flags.
  """
  found = {}
  for more in benchmark.stages(benchmark.parse(TINY if tiny else words)):
    found |= more
    if 'matmul_flops' in more:
      rate = found['matmul_flops'] / 1e12
      yield measured('remat', found['settings']['remat'])
      yield measured('product of random numbers', rate, 'TFLOP/s')
    if 'compile_secs' in more:
      yield measured('compilation', found['compile_secs'], 's')
    if 'secs' in more:
      yield from _speed(found)
      yield _peak(found)
    for name, secs in more.get('parts', {}).items():
      yield measured(f'{name}, of the update', 100 * secs / found['secs'], '%')


def _speed(found):
  tokens = sum(found['settings']['lengths'])
  rate = found['flops'] / found['secs'] / found['devices']
  share = 100 * rate / found['matmul_flops']
  yield measured('update', found['secs'], 's')
  yield measured('tokens', tokens / found['secs'], 'tokens/s')
  yield measured('model FLOPs', rate / 1e12, 'TFLOP/s a device')
  yield measured('MFU, of the product', share, '%')


def _peak(found):
  name = f'peak memory; {found["estimated_gb"]:.2f} GB estimated'
  peak, guess = found['peak_gb'], found['estimated_gb']
  if jax.default_backend() != 'gpu':  # Of the whole process.
    return measured(name, peak, 'GB')
  return checked(name, peak, 'GB', at_least=0.9 * guess, at_most=1.1 * guess)


def torch(tiny):
  """Yields our update and torch's of the same sequences, in a process each."""
  words = TINY if tiny else ('--model=1.5b', '--sequences=4', '--updates=1')
  ours = benchmark.child('tools.benchmarks.update', '--child', *words)
  yield _beside(ours, ours)
  if 'failed' in ours:
    return
  settings = json.dumps(ours['settings'])
  for flag in ('--no-checkpointing', '--checkpointing'):
    theirs = benchmark.child(
      'tools.benchmarks.peers.torch_update', settings, flag
    )
    yield _beside(theirs, ours)


def _beside(found, ours):
  if 'failed' in found:
    return failed(found['system'], found['failed'])
  tokens = sum(ours['settings']['lengths'])
  name = f'{found["system"]}, peak {found["peak_gb"]:.1f} GB'
  return measured(name, tokens / found['secs'], 'tokens/s')
