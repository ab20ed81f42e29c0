"""The memory estimate: by hand, and against XLA's at full size."""

import os
import pathlib
import re
import subprocess
import sys

import builders
import jax
import pytest

from siri_jax.config import memory, plan
from siri_jax.config import recipe as recipes
from siri_jax.models import attention, decoder, sharding
from tests.helpers import tiny
from tools.benchmarks import gpu_compiler

SHAPE = builders.tiny_shape()


def estimate(shape=None, mesh=(1, 1, 1), rows=1, **changes):
  """The estimate for rows of 16 tokens and at most three micro-batches."""
  shape = shape or builders.tiny_shape(vocab=20)
  recipe = builders.tiny_recipe(shape, **changes)
  axes = dict(zip(sharding.MESH_AXES, mesh, strict=True))
  state = recipes.blank(recipe)
  layout = sharding.layout(sharding.abstract_mesh(**axes), state)
  devices = axes['data'] * axes['fsdp']
  fit = builders.fit(16, rows * devices, devices=devices)
  return memory.estimate(recipe, layout, state, fit, micro_batches=3)


def test_a_device_holds_its_share_of_the_state():
  whole, cut = estimate(), estimate(mesh=(2, 4, 2))
  params = sum(
    size.size
    for size in jax.tree.leaves(
      recipes.blank(builders.tiny_recipe(builders.tiny_shape(vocab=20))).params
    )
  )
  assert whole['parameters'] == 4 * params
  # Biases are not sharded over fsdp, and norms not over tensor.
  assert params / 2 < cut['parameters'] < params
  # A micro-batch's gradient, and the sum.
  assert cut['gradients'] == 2 * cut['parameters']


def test_gathered_once_an_update_weights_and_gradients_are_whole():
  whole, cut = estimate(), estimate(mesh=(1, 4, 1), param_sharding='zero1')
  assert cut['gathered weights'] == whole['parameters']
  assert cut['gradients'] == 2 * whole['parameters']
  assert cut['optimiser'] < whole['optimiser'] / 3


def test_what_is_kept_grows_with_the_policy_and_the_rows():
  kept = [estimate(remat=name)['kept'] for name in decoder.REMAT]
  assert kept == sorted(set(kept))
  # The residual stream at each block: 16 tokens, 2 layers, width 16.
  assert kept[0] == 4 * 16 * 2 * 16
  assert estimate(remat='full', rows=3)['kept'] == 3 * kept[0]
  # Other kept values take half in bfloat16.
  narrow = [
    estimate(remat=name, dtype=jax.numpy.dtype('bfloat16'))['kept']
    for name in ('full', 'attention')
  ]
  assert narrow == [kept[0], (kept[0] + kept[1]) / 2]


def test_norms_of_queries_and_keys_count():
  plain, normed = (
    estimate(builders.tiny_shape(vocab=20, qk_norm=normed), remat='nothing')
    for normed in (False, True)
  )
  # 16 tokens, 4 query and 2 key heads of width 4, float32.
  assert normed['block'] - plain['block'] == 8 * 4 * 16 * 6 * 4
  # Also the norms' inputs and outputs in both layers.
  assert normed['kept'] - plain['kept'] == 3 * 4 * 16 * 6 * 4 * 2
  assert normed['parameters'] - plain['parameters'] == 4 * 2 * 2 * 4


def test_scores_count_if_attention_stores_them():
  plain = estimate(attend=attention.reference)['block']
  fused = estimate(attend=attention.cudnn)['block']
  assert plain - fused == 3 * 4 * 4 * 16 * 16  # Four heads.


def test_block_and_head_are_not_added_and_a_tenth_is_reserved():
  parts = {'parameters': 4.0e9, 'block': 3.0e9, 'head': 5.0e9}
  assert memory.total(parts) == 9.0e9
  assert memory.fits(parts, 10.0)
  assert not memory.fits(parts, 9.9)


def test_the_least_recomputation_that_fits_is_chosen_unless_set():
  shape = builders.tiny_shape()

  def taken(**changes):
    given = {f'update_kw.{name}': value for name, value in changes.items()}
    made = plan.make(tiny.changed(**given))
    return memory.choose_remat(made.c, memory.of_plan(made, shape)), made

  # 'nothing' would also fit, but must be set by name.
  remat, made = taken(remat='')
  assert remat == 'products'
  needs = {
    name: memory.total(parts) / 1e9 / (1 - memory.SPARE)
    for name, parts in memory.of_plan(made, shape).items()
  }
  *names, last = decoder.REMAT
  for name in names:
    assert taken(remat='', device_gb=1.001 * needs[name])[0] == name
  assert taken(remat='', device_gb=1.001 * needs[last])[0] == names[-1]
  assert taken(remat='', device_gb=0.5 * needs['full'])[0] == 'full'
  assert taken(remat='qkv')[0] == 'qkv'


def test_a_run_that_may_not_fit_warns_and_starts(tmp_path, cache):
  changes = {'update_kw.device_gb': 1e-4}
  with tiny.opened(tmp_path, cache, **changes) as (ctx, _, _):
    said = ctx.terminal._stream.getvalue()
  assert 'WARNING: an update is estimated to need' in said
  assert 'update_kw.device_gb=0.0001' in said
  made = plan.make(tiny.get_config())
  found = memory.of_plan(made, SHAPE)
  assert not memory.misfit(made.c, found, made.c.update_kw.remat)


def told(*words):
  """The last line of tools/benchmarks/memory.py."""
  unset = ('JAX_NUM_CPU_DEVICES', 'XLA_FLAGS')
  return subprocess.run(
    [sys.executable, '-m', 'tools.benchmarks.memory', *words],
    cwd=pathlib.Path(__file__).parents[2],
    env={k: v for k, v in os.environ.items() if k not in unset},
    capture_output=True,
    text=True,
    check=True,
  ).stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
  ('model', 'remat', 'at_least'), [('1.5b', 'qkv', 20), ('7b', 'full', 38)]
)
def test_the_estimate_is_what_xla_assigns_for_virtual_cpu_devices(
  model, remat, at_least
):
  words = [f'--model={model}', f'--remat={remat}', '--compiler=cpu']
  named, guessed, found, _ = told(*words).split()
  assert named == remat
  assert at_least < float(found) < float(guessed) < 1.1 * float(found)


@pytest.mark.slow
@pytest.mark.skipif(
  not gpu_compiler.installed(), reason='needs bash tools/test_gpu_programs.sh'
)
class TestProgramsForH100s:
  """Programs compiled for H100s on a machine without GPUs."""

  @pytest.mark.parametrize(
    ('model', 'remat'),
    [
      *(('1.5b', 'products'), ('1.5b', 'nothing'), ('7b', 'qkv')),
      *(('7b', 'gate'), ('qwen3-1.7b', 'qkv'), ('llama-8b', 'qkv')),
    ],
  )
  def test_the_estimate_is_what_xla_assigns(self, model, remat):
    named, guessed, found, _ = told(
      f'--model={model}', f'--remat={remat}'
    ).split()
    assert named == remat
    assert float(found) < float(guessed) < 1.1 * float(found)

  def test_a_7b_with_adapters_fits_one_of_80_gigabytes(self):
    named, guessed, found, _ = told(
      *('--model=7b', '--lora_rank=32', '--mesh=data=1', '--remat=gate')
    ).split()
    assert named == 'gate'
    assert 55 < float(found) < float(guessed) < 1.1 * float(found)
    assert float(guessed) < (1 - memory.SPARE) * 80

  @pytest.mark.parametrize('model', ['1.5b', '7b'])
  def test_the_head_with_its_gradients_takes_less_than_two_gigabytes(
    self, model
  ):
    beside, gradients = re.findall(
      r'\d+\.\d+', told(f'--model={model}', '--head')
    )
    assert float(gradients) > 0.5
    assert 0.6 < float(beside) < 2 - float(gradients)

  def test_an_update_uses_the_fast_kernels(self, tmp_path):
    program = tmp_path / 'program'
    told('--remat=attention', '--mesh=fsdp=4,tensor=2', f'--program={program}')
    text = program.read_text()
    calls = re.findall(
      r' = \(?(\w+)\[.* custom-call\(.*_target="([^"]*)".*op_name="([^"]*)"',
      text,
    )
    attention = [where for _, target, where in calls if 'fmha' in target]
    # The backward pass does not recompute attention.
    again = [where for where in attention if 'rematted' in where]
    assert attention
    assert not [where for where in again if 'attention_fwd' in where]
    # Products are in bfloat16, except those of the head, which end in float32.
    products = [call for call in calls if 'matmul' in call[1]]
    assert len(products) > 20
    in_head = ('td,dv->tv', 'tv,dv->td', 'td,tv->dv')
    assert all(
      kind == 'bf16' or any(name in where for name in in_head)
      for kind, _, where in products
    )
    # Neither all scores of a row nor all its logits exist at one time.
    assert '17408,17408' not in text
    assert '17408,75968' not in text
