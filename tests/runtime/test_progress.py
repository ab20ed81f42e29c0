"""The loop's own state in a checkpoint's facts."""

import json

import jax
import numpy as np

from siri_jax.algorithm import metrics
from siri_jax.runtime import progress
from tests.helpers import builders


def after_a_step():
  """The progress after one step, with floats that no short decimal gives."""
  start = progress.start()
  state = start.cap_state.replace(
    cap=np.float32(1) / 3, compressing=np.bool_(True), since=np.int32(7)
  )
  batch = builders.make_batch([2, 3, 9], [True, True, False], cap=8)
  own = progress.Cap(5, 8, 'compress', 'expanded', state)
  memory = {'judge': {'p0': [0.1, None]}}
  return start.after(own, metrics.summary(batch), 14, memory)


def test_every_bit_comes_back_from_the_facts():
  done = after_a_step()
  facts = json.loads(json.dumps({**done.facts(), 'schedule': 'mine'}))
  found = progress.restored(facts, 'mine')
  assert (found.tokens, found.turns) == (14, {5: 'expanded'})
  for name in ('cap_state', 'seen'):
    kept, new = (jax.tree.leaves(getattr(x, name)) for x in (done, found))
    assert [x.dtype for x in new] == [x.dtype for x in kept]
    assert [x.tobytes() for x in new] == [x.tobytes() for x in kept]


def test_another_schedule_starts_its_own_state_from_the_same_measurement():
  facts = {**after_a_step().facts(), 'schedule': 'mine'}
  found = progress.restored(facts, 'other')
  assert found.cap_state == progress.start().cap_state
  assert found.seen.samples == 3


def test_the_facts_of_an_earlier_version_have_the_tokens_alone():
  found = progress.restored({'tokens': 12}, 'cosine')
  assert (found.tokens, found.turns, found.seen.samples) == (12, {}, 0)
