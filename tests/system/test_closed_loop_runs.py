"""Whole runs under a schedule in a closed loop."""

import functools

import numpy as np
import pytest

from siri_jax import trainer
from siri_jax.algorithm import metrics, phases, schedules
from siri_jax.runtime import checkpoint, files, progress
from tests.helpers import builders, tiny
from tools import soak

pytestmark = pytest.mark.slow

# A fresh policy's responses are cut about as often as the cap is short.
KW = dict(
  **dict(low=4, high=8, fall=2.0, rise=2.0, smoothing=1.0, least=2),
  **dict(target=0.7, gain=4.0, band=0.0),
)
LOOP = dict(schedule='truncation_target', schedule_kw=KW, total_steps=8)


def records(path, name='metrics'):
  return files.read_records(path / f'{name}.jsonl')


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory, cache):
  """The folder of a run that nothing disturbed."""
  path = tmp_path_factory.mktemp('unbroken')
  with tiny.opened(path, cache, **LOOP) as parts:
    trainer.train(*parts)
  return path


def replayed(path):
  """Caps and phases from the recorded shares of cut responses alone."""
  schedule = functools.partial(schedules.truncation_target, **KW)
  blank = progress.start()
  state, seen, found = blank.cap_state, blank.seen, []
  for record in records(path):
    cap, state = schedule(record['step'], state, seen)
    found.append((int(cap), phases.word(state.compressing)))
    batch = builders.make_batch([1], [False], cap=8)
    seen = metrics.summary(batch).replace(
      truncated_frac=np.float32(record['truncated_frac'])
    )
  return found


def test_the_cap_of_a_step_follows_from_the_samples_of_the_step_before(
  unbroken,
):
  found = [(r['cap'], r['phase']) for r in records(unbroken)]
  assert found == replayed(unbroken)
  assert len({cap for cap, _ in found}) > 2
  assert {phase for _, phase in found} == {'compress', 'expand'}
  assert len({r['compile_count'] for r in records(unbroken)}) == 1


def test_it_is_the_same_step_before_where_sampling_is_ahead(tmp_path, cache):
  with tiny.opened(tmp_path, cache, **LOOP, off_policy_steps=1) as parts:
    trainer.train(*parts)
  assert [r['weight_version'] for r in records(tmp_path)][:3] == [0, 0, 1]
  assert [(r['cap'], r['phase']) for r in records(tmp_path)] == replayed(
    tmp_path
  )


def test_a_phases_end_is_evaluated_and_its_checkpoint_kept(unbroken):
  path = unbroken
  turns = phases.turns_of([r['phase'] for r in records(path)])
  assert turns
  kinds = {r['step']: r['kind'] for r in records(path, 'eval')}
  assert kinds == {0: 'start', 8: kinds[8], **turns}
  kept = checkpoint.finished(path / 'checkpoints')
  assert set(kept) == {7, 8, *turns}  # The newest two, and the turns.
  for step in turns:
    assert (path / 'rollouts' / f'{step - 1:06d}.jsonl.gz').exists()


def test_a_run_that_was_killed_at_any_step_ends_with_the_same_bits(
  unbroken, tmp_path, cache
):
  for killed in (3, 6, None):
    tiny.train(tmp_path, cache, killed=killed, **LOOP)
  assert soak.outcome(tmp_path) == soak.outcome(unbroken)
  ends = [
    checkpoint.read_facts(path / 'checkpoints', 8)
    for path in (tmp_path, unbroken)
  ]
  for name in ('tokens', 'cap_state', 'seen', 'turns'):
    assert ends[0][name] == ends[1][name]
