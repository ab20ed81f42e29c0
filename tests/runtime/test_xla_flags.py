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


def test_on_a_cpu_no_flag_is_set_and_programs_are_cached(
  tmp_path, surroundings
):
  flags = os.environ.get('XLA_FLAGS')
  xla_flags.set_up(tmp_path)
  assert os.environ.get('XLA_FLAGS') == flags
  assert jax.config.jax_compilation_cache_dir == f'{tmp_path}/compiled'


def test_for_a_gpu_the_users_own_flags_come_last(
  tmp_path, surroundings, monkeypatch
):
  monkeypatch.setattr(xla_flags, 'PLUGINS', ('jax',))
  monkeypatch.setattr(xla_flags, 'accepted', lambda flags, cache: ['--ours=1'])
  jax.config.update('jax_platforms', None)
  os.environ['XLA_FLAGS'] = '--theirs=2'
  xla_flags.set_up(tmp_path)
  assert os.environ['XLA_FLAGS'] == '--ours=1 --theirs=2'
