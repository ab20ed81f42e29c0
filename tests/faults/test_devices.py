"""Resuming a run on other devices."""

import attempt
import launch
import numpy as np
import pytest

from siri_jax.runtime import exit_status

pytestmark = [pytest.mark.slow, pytest.mark.faults]

# Devices -> data, fsdp, param_sharding.
MESHES = {8: (4, 2, 'zero3'), 4: (2, 2, 'zero1'), 1: (1, 1, 'zero3')}


def test_a_run_resumes_on_four_devices_and_on_one(whole, tmp_path, cache, tell):
  run = tmp_path / 'run'
  for steps, (devices, layout) in enumerate(MESHES.items(), 2):
    data, fsdp, param_sharding = layout
    went = attempt.make(
      run,
      cache,
      f'--config.total_steps={steps}',
      f'--config.mesh_kw.data={data}',
      f'--config.mesh_kw.fsdp={fsdp}',
      '--config.update_kw.micro_batch_rows=8',
      f'--config.update_kw.param_sharding={param_sharding}',
      devices=devices,
    )
    assert went.status == exit_status.DONE, went.said
  found, wanted = (
    launch.records(run, 'metrics'),
    launch.records(whole, 'metrics'),
  )
  assert len(found) == 4
  for name in ('loss', 'grad_norm', 'entropy', 'tokens'):
    np.testing.assert_allclose(
      [record[name] for record in found],
      [record[name] for record in wanted[:4]],
      rtol=1e-4,
      atol=1e-6,
    )
  tell(9, '8 devices, then 4, then 1', 'the losses of one device, 1e-4', lost=0)
