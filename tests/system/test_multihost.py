"""Runs of several processes: equal results, and a common end."""

import functools
import hashlib
import os
import signal
import subprocess
import sys
import time
import types

import builders
import jax
import launch
import numpy as np
import pytest

from siri_jax import main
from siri_jax.config import command_line
from siri_jax.models import hf_names
from siri_jax.models.hf import initial
from siri_jax.rollout import weight_sync
from siri_jax.rollout.vllm_plugin import weight_reader
from siri_jax.runtime import checkpoint, distributed, exit_status
from tests.helpers import tiny

STEPS = 5
SETTINGS = (
  f'--config.total_steps={STEPS}',
  '--config.checkpoint_kw.keep=99',
  # Some gradients are only rounding, which Adam would enlarge.
  '--config.optimizer_kw.eps=1e-4',
  '--config.update_kw.micro_batch_rows=8',
  '--config.text_rewards=tests.helpers.tiny:fresh_words',
)
EIGHT = ('--config.mesh_kw.data=2', '--config.mesh_kw.fsdp=4')


def test_a_batch_is_decoded_as_it_was_encoded():
  samples = builders.random_samples([5, 1, 3], vocab=20)
  samples[1] = builders.make_sample([1, 2], [3], sampler_logp=None)
  advantages = np.float32([1, -1, 0.5])
  found, same = distributed.decode_batch(
    distributed.encode_batch(samples, advantages)
  )
  np.testing.assert_array_equal(same, advantages)
  for ours, theirs in zip(samples, found, strict=True):
    np.testing.assert_array_equal(theirs.prompt_ids, ours.prompt_ids)
    np.testing.assert_array_equal(theirs.response_ids, ours.response_ids)
  np.testing.assert_array_equal(found[0].sampler_logp, samples[0].sampler_logp)
  assert np.isnan(found[1].sampler_logp).all()


class Store(dict):
  """A replacement of JAX's key-value store in this process."""

  def key_value_set(self, key, value, allow_overwrite=False):
    assert allow_overwrite or key not in self
    self[key] = value

  key_value_set_bytes = key_value_set

  def blocking_key_value_get(self, key, milliseconds):
    del milliseconds
    return self[key]


def test_processes_with_other_settings_than_process_0_are_refused(
  monkeypatch,
):
  store = Store()
  state = types.SimpleNamespace(client=store)
  monkeypatch.setattr(distributed, '_state', lambda: state)
  monkeypatch.setattr(distributed.Follower, 'receive', lambda _: None)

  def alike(*more):
    words = launch.arguments('run', 'cache', *more)
    return main.alike(command_line.parse(words, command_line.define_run, ''))

  ours = alike()
  distributed.Follower(1).barrier(
    distributed.START,
    alike('--config.hosts_kw.index=1', '--config.cache_dir=/disk'),
  )
  distributed.Follower(2).barrier(
    distributed.START, alike('--config.learning_rate=0.5', '--workdir=runs')
  )
  with pytest.raises(ValueError, match='process 2') as refusal:
    distributed.Leader(3).barrier(distributed.START, ours)
  told = str(refusal.value)
  assert told.count('process 2 has') == 2
  assert 'process 2 has learning_rate=0.5, process 0 has 0.01; start' in told
  assert 'process 2 has workdir=' in told
  distributed.Leader(2).barrier(distributed.START, ours)
  assert store['siri/0/head'] == 'barrier 1'


WAITING = """
from ml_collections import config_dict
from siri_jax.runtime import distributed
distributed.NOTICE_SECS, distributed.JOIN_SECS = 1, 2
where = {{"coordinator": "localhost:{}", "index": {}}}
distributed.join(config_dict.create(count=2, **where))
"""


@pytest.mark.slow
@pytest.mark.parametrize('index', [0, 1])
def test_a_process_that_waits_in_vain_exits_with_a_message(index):
  went = subprocess.run(
    [sys.executable, '-c', WAITING.format(launch.free_port(), index)],
    capture_output=True,
    text=True,
    check=False,
  )
  assert went.returncode == exit_status.REFUSED, went.stderr
  waiting, refused = went.stderr.splitlines()
  assert waiting.startswith('waiting for 2 processes at localhost:')
  assert (
    'hosts_kw.count=2: after 2 s not all processes had connected' in refused
  )


def parameters(run, step):
  return jax.device_get(checkpoint.read_parameters(run / 'checkpoints', step))


@pytest.mark.slow
@pytest.mark.faults
def test_two_processes_are_one_run_and_one_process_resumes_it(
  tmp_path, cache, tell
):
  both, one, eight = (tmp_path / name for name in ('both', 'one', 'eight'))
  pushed = (
    '--config.engine=tests.helpers.tiny:publishing',
    f'--config.server_kw.folder={tmp_path / "pushed"}',
  )
  pair = launch.two_processes(both, cache, *SETTINGS, *EIGHT, *pushed)
  with pair as (first, other):
    seen = functools.partial(launch.lines, both, 'metrics')
    assert launch.wait_for(first, lambda: seen() >= 3), first.said.read_text()
    other.send_signal(signal.SIGTERM)  # To a process other than 0.
    began = time.monotonic()
    statuses = first.wait(), other.wait()
    secs = time.monotonic() - began
  assert statuses == (143, 143), first.said.read_text()
  assert launch.here(one, cache, *SETTINGS) == exit_status.DONE
  assert launch.here(eight, cache, *SETTINGS, *EIGHT) == exit_status.DONE
  saved = checkpoint.finished(both / 'checkpoints')
  assert saved[-1] in range(3, STEPS)
  allowed = '--allow_change=engine'
  assert launch.here(both, cache, *SETTINGS, allowed) == exit_status.DONE
  near = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
  refuse_push(tmp_path / 'pushed', saved[-1], parameters(both, saved[-1]))
  for step in (*saved, STEPS):
    found = parameters(both, step)
    jax.tree.map(near, found, parameters(one, step))
    jax.tree.map(near, found, parameters(eight, step))
  records = [launch.records(run, 'metrics') for run in (both, one, eight)]
  for name in ('loss', 'grad_norm', 'entropy', 'tokens', 'sampler_gap'):
    found, *others = ([r[name] for r in record] for record in records)
    for other in others:
      near(found, other)
  memory = [
    checkpoint.read_facts(run / 'checkpoints', STEPS)['memory']['fresh_words']
    for run in (both, one, eight)
  ]
  assert memory[0] == memory[1] == memory[2]
  assert len(memory[0]) == 4 * STEPS  # A value of each problem.
  tell(
    3,
    'TERM to the second of two processes',
    f'status 143 of both after {secs:.0f} s, one step saved by both',
    lost=0,
  )


def refuse_push(folder, version, params):
  """Raises if a push is incomplete, or not of these parameters."""
  name = f'tiny-{version:06d}'
  digest = hashlib.sha256((folder / name / weight_sync.MANIFEST).read_bytes())
  shape = initial.shape_of(tiny.get_config(), vocab=len(params['embed']))
  exported = hf_names.export(params, 'float32')
  wanted = jax.tree.map(np.asarray, hf_names.named(exported, shape))
  asked = {
    name: weight_reader.Wanted(
      source, 'float32', tuple(slice(0, n) for n in source.size)
    )
    for name, source in hf_names.sources(shape).items()
  }
  found = weight_reader.read(folder, name, digest.hexdigest(), asked, 0, 1)
  jax.tree.map(np.testing.assert_array_equal, found.arrays, wanted)


SRUN = """#!/usr/bin/env bash
[[ "$1 $2" == '--cpu-bind=none --kill-on-bad-exit=1' ]] || exit 98
[[ $JAX_LOCAL_DEVICE_IDS == 0,1,2,3 ]] || exit 99
for SLURM_PROCID in 0 1; do
  export SLURM_PROCID
  "${@:3}" & tasks+=($!)
done
status=0
for task in "${tasks[@]}"; do wait "$task" || status=$?; done
exit "$status"
"""


@pytest.mark.slow
def test_with_slurm_a_refusal_in_process_0_ends_all(tmp_path, cache):
  run = tmp_path / 'run'
  run.mkdir()
  (run / 'config.json').write_text('{"seed": 5}')  # Another run's.
  srun = tmp_path / 'srun'
  srun.write_text(SRUN)
  srun.chmod(0o755)
  slurm = {
    'JOB_ID': '7',
    'NTASKS': '2',
    'LOCALID': '0',
    'STEP_NODELIST': 'localhost',
    'STEP_NUM_NODES': '2',
    'GPUS_ON_NODE': '4',
    'SUBMIT_DIR': str(launch.ROOT),
  }
  went = subprocess.run(
    [
      *('bash', str(launch.ROOT / 'tools/launch_slurm.sh')),
      *launch.arguments(run, cache, *SETTINGS, *EIGHT),
    ],
    env={
      **os.environ,
      **{f'SLURM_{name}': value for name, value in slurm.items()},
      'JAX_COORDINATOR_PORT': str(launch.free_port()),
      'JAX_NUM_CPU_DEVICES': '4',
      'PATH': f'{tmp_path}:{os.environ["PATH"]}',
      'PYTHON': sys.executable,
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert went.returncode == exit_status.REFUSED, went.stderr
  assert went.stderr.count('was started with other settings') == 1
