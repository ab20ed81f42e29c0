"""Updates that are not finite, and batches without a gradient."""

import numpy as np
import pytest

from siri_jax import learner, trainer
from siri_jax.runtime import files
from tests.helpers import batches, tiny
from tools import soak

pytestmark = [
  pytest.mark.faults,
  pytest.mark.slow,
]


def records(ctx, name='metrics'):
  return files.read_records(ctx.run_folder.path / f'{name}.jsonl')


def test_an_advantage_that_is_not_a_number_leaves_the_state_untouched(
  tmp_path, cache, tell
):
  with tiny.opened(tmp_path, cache) as (ctx, state, _):
    samples, advantages = batches.of_step(ctx, state)
    advantages[0] = np.nan  # In the first of two optimiser steps.
    state, totals = learner.train_on_batch(ctx, state, samples, advantages)
    assert (int(state.step), int(state.skipped)) == (1, 1)
    assert int(state.skipped_in_row) == 0
    assert np.isnan(totals['loss'])
    before = soak.digest((state.params, state.opt_state))
    advantages[-1] = np.nan  # In the second too.
    state, _ = learner.train_on_batch(ctx, state, samples, advantages)
    assert (int(state.step), int(state.skipped)) == (2, 3)
    assert int(state.skipped_in_row) == 2
    assert soak.digest((state.params, state.opt_state)) == before
  tell(
    26,
    'an advantage that is not a number',
    'update skipped, state the same bits',
    lost=0,
  )


def test_a_batch_without_advantages_changes_weights_only_by_decay(
  tmp_path, cache, tell
):
  with tiny.opened(tmp_path, cache) as (ctx, state, _):
    samples, advantages = batches.of_step(ctx, state)
    _, totals = learner.train_on_batch(ctx, state, samples, 0 * advantages)
  assert (totals['loss'], totals['grad_norm']) == (0.0, 0.0)
  tell(
    26, 'a batch of equal rewards', 'no gradient, nothing learned from', lost=0
  )


def broken(rewards):
  """An advantage that is always NaN."""
  return rewards * np.nan


def test_a_run_that_diverges_stops_and_keeps_its_last_checkpoint(
  tmp_path, cache, tell
):
  broken_at = f'{__name__}:broken'
  changes = {
    'advantage': broken_at,
    'advantage_kw': {},
    'limits_kw.max_skipped': 4,
  }
  with tiny.opened(tmp_path, cache, **changes) as (ctx, state, done):
    start = soak.digest(state.params)
    with pytest.raises(
      trainer.DivergedError, match='4 optimiser steps in a row'
    ):
      trainer.train(ctx, state, done)
    assert [r['skipped'] for r in records(ctx)] == [2, 4]
    assert [r['loss'] for r in records(ctx)] == [None, None]
    assert [e['in_row'] for e in records(ctx, 'events')] == [2, 4]
  # The step that ended it is not saved; the one before has good weights.
  with tiny.opened(tmp_path, cache, **changes) as (_, state, _):
    assert int(state.step) == 1
    assert soak.digest(state.params) == start
  tell(
    26, 'every update not finite', 'status 3, the last good checkpoint stays'
  )


def test_a_cap_that_cuts_nearly_everything_raises_one_alarm(
  tmp_path, cache, tell
):
  limits = tiny.get_config().alarms_kw.to_dict() | dict(
    cut=0.01, window=2, least_steps=1
  )
  with tiny.opened(tmp_path, cache, alarms_kw=limits, total_steps=4) as parts:
    trainer.train(*parts)
    raised = [e for e in records(parts[0], 'events') if e['kind'] == 'alarm']
    assert [(e['name'], e['step']) for e in raised] == [('cut', 0)]
    assert 'raise the cap' in raised[0]['told']
  tell(27, 'a cap that cuts nearly everything', 'alarm, with what to do')
