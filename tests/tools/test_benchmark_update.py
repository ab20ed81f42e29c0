"""The benchmark of an update, at a small size."""

import pytest

from siri_jax.models import flops
from tools.benchmarks import full_size, update


def test_lengths_have_half_of_the_cap_as_their_mean():
  flags = update.parse(['--model=1.5b', '--sequences=2000'])
  drawn = [s.response_ids.size for s in update.draw(flags, 100)]
  assert max(drawn) == 16_384
  assert min(drawn) >= 1
  # The cap lowers the mean a little.
  assert 7200 < sum(drawn) / len(drawn) < 8192


@pytest.mark.slow
def test_an_update_and_its_parts_are_timed_and_reported():
  words = ['--layers=1', '--sequences=3', '--updates=1', '--remat=full']
  flags = update.parse(words)
  found = update.ours(flags)
  shape = update.dataclasses.replace(full_size.SHAPES['tiny'], layers=1)
  lengths = found['settings']['lengths']
  assert found['flops'] == flops.update(shape, lengths)
  assert 0 < found['fill'] <= 1
  assert set(found['parts']) == {'attention', 'head', 'optimiser'}
  assert all(secs > 0 for secs in found['parts'].values())
  failed = {'system': 'torch', 'failed': 'it is not there'}
  told = update.report(flags, [found, failed])
  assert f'3 sequences, {sum(lengths):,} tokens' in told
  assert "remat 'full', attention 'reference'" in told
  assert 'it is not there' in told
