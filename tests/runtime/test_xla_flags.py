"""XLA's flags: only those of the installed version are set."""

import os
import subprocess

import jax
import pytest

from siri_jax.runtime import xla_flags


def test_flags_that_xla_does_not_know_are_left_out_and_remembered(
  tmp_path, monkeypatch
):
  given = (*xla_flags.GPU_FLAGS, '--xla_nonsense=1')
  found = xla_flags.accepted(given, tmp_path)
  assert '--xla_gpu_enable_latency_hiding_scheduler=true' in found
  assert '--xla_nonsense=1' not in found

  def ask(*_, **__):
    raise AssertionError('asked again')

  monkeypatch.setattr(subprocess, 'run', ask)
  assert xla_flags.accepted(given, tmp_path) == found
  with pytest.raises(AssertionError, match='asked again'):
    xla_flags.accepted(given[1:], tmp_path)
  for damaged in ('{', '[]', '{}'):
    (tmp_path / 'xla_flags.json').write_text(damaged)
    with pytest.raises(AssertionError, match='asked again'):
      xla_flags.accepted(given, tmp_path)


@pytest.fixture
def surroundings(monkeypatch):
  """Restores environment and cache afterwards."""
  monkeypatch.setattr(os, 'environ', dict(os.environ))
  names = ('jax_compilation_cache_dir', 'jax_platforms')
  before = {name: getattr(jax.config, name) for name in names}
  yield
  for name, value in before.items():
    jax.config.update(name, value)


def test_on_a_cpu_one_flag_is_set_once_and_programs_are_cached(
  tmp_path, surroundings
):
  os.environ['XLA_FLAGS'] = '--theirs=2'
  for _ in range(2):
    xla_flags.set_up(tmp_path)
  assert os.environ['XLA_FLAGS'] == f'{xla_flags.CPU_FLAG} --theirs=2'
  assert jax.config.jax_compilation_cache_dir == f'{tmp_path}/compiled'


def test_for_a_gpu_the_users_own_flags_come_last(
  tmp_path, surroundings, monkeypatch
):
  monkeypatch.setattr(xla_flags, 'PLUGINS', ('jax',))
  monkeypatch.setattr(xla_flags, 'accepted', lambda flags, cache: ['--ours=1'])
  jax.config.update('jax_platforms', None)
  os.environ['XLA_FLAGS'] = '--theirs=2'
  xla_flags.set_up(tmp_path)
  ours = f'{xla_flags.CPU_FLAG} --ours=1'
  assert os.environ['XLA_FLAGS'] == f'{ours} --theirs=2'


def test_a_file_of_flags_is_left_to_the_user(tmp_path, surroundings):
  os.environ['XLA_FLAGS'] = 'my_flags.txt'
  xla_flags.set_up(tmp_path)
  assert os.environ['XLA_FLAGS'] == 'my_flags.txt'


def test_xla_knows_the_flag_and_merges_it_with_the_users(tmp_path):
  theirs = '--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=false'
  flags = (xla_flags.CPU_FLAG, theirs)
  assert xla_flags.accepted(flags, tmp_path) == [*flags]
