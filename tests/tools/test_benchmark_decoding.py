"""What a decoding step reads: by hand, and of programs for an H100."""

import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tools.benchmarks import decoding, full_size, gpu_compiler, hlo

SHAPE = full_size.SHAPES['1.5b']

PROGRAM = """
%in_place (a: f32[8,100], b: s32[8,1], c: f32[8]) -> f32[8,100] {
  %a = f32[8,100]{1,0} parameter(0)
  %b = s32[8,1]{1,0} parameter(1)
  %c = f32[8]{0} parameter(2)
  ROOT %s = f32[8,100]{1,0} scatter(%a, %b, %c), to_apply=%other
}

ENTRY %main (x: f32[8,100], y: s32[8,1], z: f32[8]) -> f32[8,100] {
  %x = f32[8,100]{1,0} parameter(0)
  %y = s32[8,1]{1,0} parameter(1)
  %z = f32[8]{0} parameter(2)
  %w = f32[8,100]{1,0} fusion(%x, %y, %z), kind=kInput, calls=%in_place
  ROOT %v = f32[8,100]{1,0} copy(%w)
}
"""


def test_a_scatter_reads_and_writes_only_what_is_new():
  computations, entry = hlo.parse(PROGRAM)
  main = computations[entry]
  given = (main, computations)
  # Eight indices and eight numbers of four bytes; the numbers are written.
  assert hlo.reads(main['w'], *given) == 2 * 8 * 4
  assert hlo.traffic(main['w'], *given) == 3 * 8 * 4
  assert hlo.reads(main['v'], *given) == 8 * 100 * 4
  assert hlo.traffic(main['v'], *given) == 2 * 8 * 100 * 4


def test_weights_and_columns_by_hand():
  # Keys and values of 28 layers, 2 heads of 128, 2 bytes each.
  assert decoding.column_bytes(SHAPE) == 2 * 28 * 2 * 128 * 2
  assert decoding.weight_bytes(SHAPE) == 2 * (1_777_088_000 - 151_936 * 1536)


def test_whole_blocks_of_64_columns_are_read():
  read = decoding.cache_bytes(SHAPE, np.array([1, 64, 65]))
  assert read == (64 + 64 + 128) * decoding.column_bytes(SHAPE)


@functools.cache
def measured():
  """Numbers of each row of the 1.5B's table; GB allocated beside its arrays."""
  unset = ('JAX_NUM_CPU_DEVICES', 'XLA_FLAGS')
  told = subprocess.run(
    [sys.executable, '-m', 'tools.benchmarks.decoding'],
    cwd=pathlib.Path(__file__).parents[2],
    env={k: v for k, v in os.environ.items() if k not in unset},
    capture_output=True,
    text=True,
    check=True,
  ).stdout.splitlines()
  *table, ragged, _ = told[3:]
  rows = [[float(x) for x in line.split()] for line in table]
  return rows, float(ragged.split()[-3])


@pytest.mark.slow
@pytest.mark.skipif(
  not gpu_compiler.installed(), reason='needs bash tools/test_gpu_programs.sh'
)
class TestDecodingForH100s:
  """Programs compiled for an H100 on a machine without GPUs."""

  def test_a_step_reads_the_weights_and_the_filled_cache(self):
    table, _ = measured()
    assert [filled for filled, *_ in table] == [256, 1024, 4096, 16_384]
    for _, least, read, _, ratio in table:
      assert least < read
      assert ratio <= 1.3

  def test_attention_to_all_columns_reads_more(self):
    table, _ = measured()
    for _, _, read, dense, _ in table:
      assert dense > 1.5 * read

  def test_the_cache_is_not_copied(self):
    _, allocated = measured()
    assert allocated < 0.1
