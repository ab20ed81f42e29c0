"""Whole runs whose samples are asked more than their problem."""

import pytest

from siri_jax import trainer
from siri_jax.analysis import runs
from siri_jax.runtime import files
from tests.helpers import tiny
from tools import soak

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('no_picture')]

L1 = dict(
  budget='length_target',
  budget_kw=dict(
    low=2, high=7, note='{target}', most_note='wait {target}', most_share=0.5
  ),
  reward='lcpo_max',
  reward_kw=dict(alpha=0.1, delta=0.5),
  max_prompt_tokens=25,
  schedule_kw=dict(low=4, high=7, period=4, phase=0),
)


def train(path, cache, **changes):
  with tiny.opened(path, cache, **changes) as parts:
    trainer.train(*parts)


def test_a_target_follows_the_cap_and_is_recorded_and_resumed_bit_for_bit(
  tmp_path, cache
):
  whole, broken = tmp_path / 'whole', tmp_path / 'broken'
  train(whole, cache, **L1, total_steps=3)
  for steps in 1, 3:
    train(broken, cache, **L1, total_steps=steps)
  assert soak.outcome(broken) == soak.outcome(whole)
  records = files.read_records(whole / 'metrics.jsonl')
  assert [r['cap'] for r in records] == [7, 5, 4]
  assert len({r['compile_count'] for r in records}) == 1
  for step in 0, 2:
    rows = runs.read_rows(whole / 'rollouts' / f'{step:06d}.jsonl.gz')
    cap, asked = records[step]['cap'], [row['target'] for row in rows]
    assert {row['cap'] for row in rows} == {cap}
    assert len({row['mode'] for row in rows}) == 2
    assert asked == [t for t in asked[::4] for _ in range(4)]  # One a group.
    assert 2 <= min(asked) <= max(asked) <= cap
    gap = sum(abs(row['length'] - row['target']) for row in rows) / len(rows)
    assert records[step]['target_gap'] == pytest.approx(gap)
