"""A whole run whose samples are asked more than their problem."""

import dataclasses

import pytest

from siri_jax.analysis import runs
from siri_jax.data import arithmetic_words
from siri_jax.rollout import budgets
from siri_jax.runtime import files
from tests.helpers import tiny
from tools import soak

pytestmark = pytest.mark.slow

NOTES = dict(note='{target}', most_note='wait {target}', most_share=0.5)
CHUNKS = dict(context=4, carried=2, head=1)


def all_at_once(problem, cap, uniforms):
  """A target in the prompt; half of a group has a budget for the thought.

  The other half is sampled in chunks.
  """
  asked = budgets.length_target(problem, cap, uniforms, low=2, high=7, **NOTES)
  own = budgets.thinking_and_solution(
    problem, cap, uniforms, thinking=3, solution=2, close='</think>'
  )
  own[2:] = budgets.in_chunks(problem, cap, uniforms[2:], **CHUNKS)
  return [
    dataclasses.replace(one, note=a.note, target=a.target, mode=a.mode)
    for a, one in zip(asked, own, strict=True)
  ]


def test_targets_forced_tokens_and_chunks_are_recorded_and_resumed_bit_for_bit(
  tmp_path, cache
):
  changes = dict(
    budget='tests.system.test_budget_runs:all_at_once',
    reward='lcpo_max',
    reward_kw=dict(alpha=0.1, delta=0.5),
    loss='truncated_importance',
    loss_kw=dict(low=0.2, high=0.26, cap=2.0),
    schedule_kw=dict(low=4, high=7, period=4, phase=0),
    max_prompt_tokens=25,
    total_steps=3,
  )
  whole, broken = tmp_path / 'whole', tmp_path / 'broken'
  tiny.train(whole, cache, **changes)
  for killed in 2, None:
    tiny.train(broken, cache, killed=killed, **changes)
  assert soak.outcome(broken) == soak.outcome(whole)
  records = files.read_records(whole / 'metrics.jsonl')
  assert [r['cap'] for r in records] == [7, 5, 4]
  assert len({r['compile_count'] for r in records}) == 1
  # Under a cap of 4, the thought has 3 * 3 // 5 tokens, and a chunk has all.
  for step, thinking, starts in (0, 3, [0, 4, 6]), (2, 1, [0]):
    rows = runs.read_rows(whole / 'rollouts' / f'{step:06d}.jsonl.gz')
    targets = [row['target'] for row in rows]
    assert 2 <= min(targets) <= max(targets) <= records[step]['cap']
    assert targets == [t for t in targets[::4] for _ in range(4)]
    gap = sum(abs(row['length'] - row['target']) for row in rows) / len(rows)
    assert records[step]['target_gap'] == pytest.approx(gap)
    thoughts = [row for row in rows if row['index'] < 2]
    assert {row['cap'] for row in thoughts} == {thinking + 3}
    assert max(row['length'] for row in thoughts) == thinking + 3
    forced = [row for row in rows if row.get('forced')]
    assert forced
    for row in forced:
      assert row['forced'] == [thinking]
      assert row['response_ids'][thinking] == arithmetic_words.ID['</think>']
    divided = [row for row in rows if row['index'] >= 2]
    for row in divided:
      assert row['chunks'] == [at for at in starts if at < row['length']]
    # The cap bounds the whole response.
    assert max(row['length'] for row in divided) == records[step]['cap']
    # Every row that is trained on has the context that was sampled in.
    chosen = sum(row['length'] for row in rows) - len(forced)
    assert records[step]['sampler_told'] == chosen
    assert records[step]['sampler_gap_max'] < 1e-4
