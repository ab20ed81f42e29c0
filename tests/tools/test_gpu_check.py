"""The check for GPUs: its runner, and its parts at a tiny size on a CPU."""

import json
import math
import os
import pathlib
import sys
import time

import jax
import numpy as np
import pytest

from siri_jax.models import attention as implementations
from siri_jax.runtime import xla_flags
from tests.helpers import launch
from tools.gpu_check import (
  __main__ as gpu_check,
)
from tools.gpu_check import (
  attention,
  card,
  findings,
  logprobs,
  sampler,
  update,
)

ROOT = pathlib.Path(__file__).parents[2]


def part(program, secs, tmp_path):
  """The last record of a part that is this Python program."""
  *_, last = gpu_check.run(
    [sys.executable, '-c', program], secs, tmp_path / 'x'
  )
  return last


def printing(*found):
  """A program that prints these findings."""
  return f'print({chr(10).join(map(json.dumps, found))!r}, flush=True);'


def test_a_value_outside_its_limits_or_not_finite_fails():
  assert findings.checked('x', 1.0, at_most=1)['passed']
  assert not findings.checked('x', 1.1, at_most=1)['passed']
  assert not findings.checked('x', 0.9, at_least=1)['passed']
  assert not findings.checked('x', math.nan, at_most=1)['passed']
  found = findings.checked('x', np.float32(2), 's', at_least=1)
  assert json.loads(json.dumps(found, allow_nan=False)) == {
    **{'finding': 'x', 'value': 2.0, 'unit': 's'},
    **{'at_least': 1, 'passed': True},
  }
  json.dumps(findings.checked('x', math.inf), allow_nan=False)


@pytest.mark.parametrize(
  ('found', 'status'),
  [
    ([findings.measured('speed', 3.0, 'tokens/s')], 'measured'),
    ([findings.measured('a', 1), findings.checked('b', 1, at_most=2)], 'pass'),
    ([findings.checked('a', 1, at_most=2), findings.failed('b', 'x')], 'fail'),
    ([findings.left_out('a', 'torch is not installed')], 'measured'),
  ],
)
def test_the_findings_decide_the_status_of_a_part(found, status, tmp_path):
  record = part(printing(*found), 60, tmp_path)
  assert (record['status'], record['findings']) == (status, found)


def test_a_part_that_raises_keeps_its_findings_and_says_why(tmp_path):
  found = findings.checked('a', 1, at_most=2)
  record = part(printing(found) + '1 / 0', 60, tmp_path)
  assert (record['status'], record['findings']) == ('fail', [found])
  assert record['why'].startswith('ZeroDivisionError: division by zero; see ')


def test_a_part_is_killed_with_its_processes_after_its_time_limit(tmp_path):
  found = findings.checked('a', 1, at_most=2)
  program = (
    printing(found) + 'import subprocess, time, pathlib;'
    'child = subprocess.Popen(["sleep", "100"]);'
    f'pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid));'
    'time.sleep(100)'
  )
  record = part(program, 1.0, tmp_path)
  assert (record['status'], record['findings']) == ('fail', [found])
  assert record['why'] == 'not done in 1 s'
  state = pathlib.Path('/proc', (tmp_path / 'pid').read_text(), 'stat')
  until = time.monotonic() + 30
  while state.exists() and ' Z ' not in state.read_text():
    assert time.monotonic() < until
    time.sleep(0.01)


def stub(tmp_path, monkeypatch, **parts):
  """Replaces the parts; each word is a program, and the device is a CPU."""
  monkeypatch.setattr(gpu_check, 'backend', lambda: 'cpu')
  made = {
    name: gpu_check.Part(call, 60, needs, f'shows {name}')
    for name, (call, needs) in parts.items()
  }
  monkeypatch.setattr(
    gpu_check, 'PARTS', made | {'card': gpu_check.Part(*CARD)}
  )
  return tmp_path / 'out'


CARD = ('card.absent', 60, (), 'the card')


def test_a_part_without_its_package_is_left_out_and_another_still_runs(
  tmp_path, monkeypatch, capsys
):
  out = stub(tmp_path, monkeypatch, a=('card.check', ('no_such', 'jax')))
  assert gpu_check.main(['--tiny', f'--out={out}', '--only=a,card']) == 1
  found = json.loads((out / 'check.json').read_text())
  assert found['a']['status'] == 'left out'
  assert found['a']['why'] == (
    'not installed: no-such; python3 -m pip install no-such'
  )
  assert found['card']['status'] == 'fail'
  assert "no attribute 'absent'" in found['card']['why']
  assert 'not installed: no-such' in capsys.readouterr().out
  assert 'left out' in (out / 'table.txt').read_text()


def test_without_a_gpu_or_time_parts_are_left_out_by_name(
  tmp_path, monkeypatch
):
  out = stub(tmp_path, monkeypatch, a=('card.check', ()), b=('card.check', ()))
  words = [f'--out={out}', '--limit=0.5', '--skip=b']
  assert gpu_check.main(words) == 0
  found = json.loads((out / 'check.json').read_text())
  assert list(found) == ['a', 'card']
  assert found['a']['why'].startswith("no GPU, JAX has 'cpu'; --tiny runs it")
  assert found['card']['why'].startswith('no time left')


def test_an_unknown_part_is_refused(capsys):
  with pytest.raises(SystemExit):
    gpu_check.parse(['--only=speed'])
  assert 'unknown speed; choose from card, attention' in capsys.readouterr().err


def test_parts_come_in_the_order_of_their_worth_within_nine_minutes():
  flags = gpu_check.parse(['--only=torch,update,card', '--skip=card'])
  assert gpu_check.chosen(flags) == ['update', 'torch']
  assert list(gpu_check.PARTS)[:4] == [
    'card',
    'attention',
    'logprobs',
    'update',
  ]
  assert flags.limit == 540


def by_name(found):
  """Findings by name; none may fail or be infinite."""
  found = json.loads(json.dumps(list(found), allow_nan=False))
  assert all(finding.get('passed', True) for finding in found), found
  return {finding['finding']: finding for finding in found}


def test_a_ragged_row_has_sequences_in_order_and_then_padding():
  (row,) = attention.ragged(256)
  numbers = [*range(1, attention.SEQUENCES + 1), 0]
  assert list(dict.fromkeys(row.tolist())) == numbers
  assert np.all(np.diff(row[row > 0]) >= 0)


@pytest.mark.slow
def test_attention_is_compared_with_the_reference():
  found = by_name(attention.check(tiny=True))
  distances = [f['value'] for f in found.values() if 'passed' in f]
  assert len(distances) == 1
  assert all(0 < x < implementations.TOLERANCE for x in distances)


@pytest.mark.slow
def test_a_leak_between_packed_sequences_fails():
  def leaking(q, k, v, segments):
    one = jax.numpy.where(segments > 0, 1, 0)
    return implementations.reference(q, k, v, one)

  found = implementations.distance(
    leaking, heads=4, kv_heads=2, width=8, dtype='bfloat16'
  )
  assert not findings.checked('leak', found, at_most=implementations.TOLERANCE)[
    'passed'
  ]


@pytest.mark.slow
def test_log_probabilities_agree_packed_alone_and_with_transformers():
  found = by_name(logprobs.check(tiny=True))
  assert len(found) == 5
  assert found['packed against alone, float32']['value'] < 1e-5
  assert found['ours against transformers, float32']['value'] < 1e-5
  theirs = found['transformers in bfloat16 against float32, mean']['value']
  assert 1e-4 < theirs < 0.1


def test_speeds_of_an_update_follow_from_its_seconds(monkeypatch):
  # Two sequences, 40 TFLOP in 2 s on 4 devices: 5 TFLOP/s of 20 a device.
  stages = [
    {'settings': {'remat': 'qkv', 'lengths': [700, 300]}, 'devices': 4}
    | {'flops': 40e12, 'matmul_flops': 20e12, 'estimated_gb': 50.0},
    {'compile_secs': 30.0},
    {'secs': 2.0, 'cpu_secs': 1.0, 'peak_gb': 56.0},
    {'parts': {'head': 0.5}},
  ]
  monkeypatch.setattr(update.benchmark, 'stages', lambda flags: iter(stages))
  found = by_name(update.small(tiny=False))
  assert {name: f['value'] for name, f in found.items()} == {
    'remat': 'qkv',
    'product of random numbers': 20.0,
    'compilation': 30.0,
    'update': 2.0,
    'tokens': 500.0,
    'model FLOPs': 5.0,
    'MFU, of the product': 25.0,
    'peak memory; 50.00 GB estimated': 56.0,
    'head, of the update': 25.0,
  }
  # On a GPU the peak must be within a tenth of the estimate.
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  *_, peak, _ = update.small(tiny=False)
  assert not peak['passed']


@pytest.mark.slow
def test_the_sampler_is_timed():
  found = by_name(sampler.check(tiny=True))
  assert found['4 slots of 32 tokens']['value'] > 0


def test_versions_and_ceilings_are_measured(monkeypatch):
  monkeypatch.setattr(card.update_parts, 'matmul_flops', lambda dtype: 7e12)
  monkeypatch.setattr(card.xla_flags, 'accepted', lambda flags, _: flags[1:])
  found = by_name(card.check(tiny=True))
  assert found['jax']['value'] == jax.__version__
  assert found['product of random bfloat16']['value'] == 7.0
  assert found['refused XLA flags']['value'] == xla_flags.GPU_FLAGS[0]
  assert found['copy, read and written']['value'] > 0


# Packages that a GPU machine may lack and that training does not need.
OPTIONAL = (
  *('vllm', 'torch', 'math_verify', 'latex2sympy2_extended', 'antlr4'),
  *('tensorboardX', 'submitit', 'wandb', 'pyarrow', 'transformers', 'ruff'),
)
BLOCK = f"""
import sys

class Absent:
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in {OPTIONAL}:
      raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.slow
def test_training_runs_without_the_packages_that_it_does_not_need(
  tmp_path, cache, monkeypatch
):
  (tmp_path / 'site').mkdir()
  (tmp_path / 'site/sitecustomize.py').write_text(BLOCK)
  paths = [str(tmp_path / 'site'), os.environ.get('PYTHONPATH', '')]
  monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, paths)))
  launch.finish(tmp_path / 'run', cache, '--config.total_steps=1')
  assert launch.lines(tmp_path / 'run', 'metrics') == 1
