"""A run that trains adapters: resumed, exported, branched, refused."""

import json

import jax
import launch
import numpy as np
import pytest
import safetensors.numpy

from siri_jax.commands import export
from siri_jax.experiments import branch
from siri_jax.models import decoder, hf_names
from siri_jax.models.hf import initial
from siri_jax.runtime import checkpoint, exit_status
from tests.helpers import tiny

pytestmark = pytest.mark.slow
RANK, ALPHA, STEPS = 2, 8.0, 4


def trained(folder, cache, *more, steps=STEPS):
  """The exit status of a run with adapters."""
  return launch.here(
    folder,
    cache,
    f'--config.lora_kw.rank={RANK}',
    f'--config.lora_kw.alpha={ALPHA}',
    f'--config.total_steps={steps}',
    *more,
  )


@pytest.fixture(scope='module')
def run(cache, tmp_path_factory):
  """The folder of a run of STEPS steps that was resumed in the middle."""
  folder = tmp_path_factory.mktemp('adapters') / 'run'
  for steps in STEPS // 2, STEPS:
    assert trained(folder, cache, steps=steps) == exit_status.DONE
  return folder


def saved(folder, step=STEPS):
  params = checkpoint.read_parameters(folder / 'checkpoints', step)
  return jax.device_get(params)


def test_a_checkpoint_has_the_adapters_alone(run):
  names = {name.split('_')[0] for name in saved(run)['layers']}
  assert saved(run).keys() == {'layers'}
  assert names == {*decoder.MATRICES}
  assert all(x.any() for x in saved(run)['layers'].values())


def test_a_resumed_run_has_the_bits_of_one_that_was_not(run, cache, tmp_path):
  assert trained(tmp_path / 'run', cache) == exit_status.DONE
  jax.tree.map(
    np.testing.assert_array_equal, saved(run), saved(tmp_path / 'run')
  )


def test_an_export_is_the_base_plus_the_scaled_adapters(run, tmp_path, capsys):
  folder = tmp_path / 'out'
  assert export.main([f'--run={run}', f'--to={folder}']) == export.DONE
  c = tiny.get_config()
  shape = initial.shape_of(
    c, vocab=json.loads((folder / 'config.json').read_text())['vocab_size']
  )
  base = jax.device_get(decoder.init(jax.random.key(c.seed), shape))
  found = safetensors.numpy.load_file(folder / 'model.safetensors')
  adapters = saved(run)['layers']
  for name, (ours, layer, _) in hf_names.sources(shape).items():
    array = base[ours] if layer is None else base['layers'][ours][layer]
    if ours in decoder.MATRICES:
      a, b = (adapters[f'{ours}_lora_{end}'][layer] for end in 'ab')
      array = array + ALPHA / RANK * np.tensordot(a, b, 1)
    expected = hf_names.to_hf(ours, array)
    np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


def test_adapters_without_a_base_folder_are_not_exported_alone(run, capsys):
  assert export.main([f'--run={run}', '--adapters']) == export.REFUSED
  assert "policy='fresh', whose base is no folder" in capsys.readouterr().err


def test_a_branch_starts_from_the_adapters(run, tmp_path):
  folder = tmp_path / 'branch'
  made = branch.branch(str(run), STEPS, {'total_steps': STEPS + 1}, str(folder))
  assert made.config.lora_kw.rank == RANK
  assert launch.main.main(made.arguments) == exit_status.DONE
  assert not np.array_equal(
    saved(folder, STEPS + 1)['layers']['q_lora_b'],
    saved(run)['layers']['q_lora_b'],
  )


def test_another_base_or_scale_is_refused(run, cache, capsys):
  for change in 'seed=1', 'lora_kw.alpha=4.0':
    name = change.partition('=')[0]
    words = (f'--config.{change}', f'--allow_change={name}')
    status = trained(run, cache, *words, steps=STEPS + 1)
    assert status == exit_status.REFUSED
    told = capsys.readouterr().err
    assert 'trained with other contents of base' in told
