"""Budgets by hand, and the prompts and groups that follow from them."""

import functools

import builders
import numpy as np
import pytest

from siri_jax import types
from siri_jax.rollout import asking, budgets, engines

L1 = dict(
  low=10, high=19, note='Think for {target} tokens.', most_note='Max {target}.'
)
SYSTEM = 'The output of the assistant should be within {cap} tokens.'


def targets(uniforms, *, cap=100, share=0.0):
  """(mode, target) of a group for each first uniform."""
  problem = builders.make_problem()
  found = [
    budgets.length_target(problem, cap, [u, 0.5], most_share=share, **L1)[0]
    for u in uniforms
  ]
  return [(asked.mode, asked.target) for asked in found]


def test_a_target_is_uniform_over_its_range_and_at_most_the_cap():
  spread = np.arange(40) / 40
  assert [t for _, t in targets(spread)] == [10 + i // 4 for i in range(40)]
  assert [t for _, t in targets([0.0, 0.35, 0.999], cap=12)] == [10, 12, 12]
  assert [t for _, t in targets([0.0, 0.999], cap=7)] == [7, 7]


def test_a_share_of_the_problems_is_asked_for_an_upper_bound():
  # Below 0.5 the rest of the uniform, times two, draws the target.
  found = targets([0.0, 0.25, 0.49, 0.5, 0.75, 0.99], share=0.5)
  most, exact = budgets.AT_MOST, budgets.EXACTLY
  assert found == [
    *((most, 10), (most, 15), (most, 19)),
    *((exact, 10), (exact, 15), (exact, 19)),
  ]
  assert targets([0.999], share=1.0) == [(most, 19)]


def test_the_words_of_a_target_are_those_of_its_note():
  problem = builders.make_problem()
  both = [
    budgets.length_target(problem, 15, [u], most_share=0.5, **L1)[0].note
    for u in (0.1, 0.9)
  ]
  assert both == ['Max 12.', 'Think for 15 tokens.']  # 18 is above the cap.


def test_the_cap_in_words_follows_the_schedule():
  problem = builders.make_problem()
  for cap in 4000, 3000:
    found = budgets.cap_in_prompt(
      problem, cap, [0.1, 0.2], system=SYSTEM, note=''
    )
    words = f'The output of the assistant should be within {cap} tokens.'
    assert found == [types.Budget(cap=cap, system=words)] * 2


def test_a_lower_cap_shortens_thought_and_solution_in_proportion():
  problem, kw = builders.make_problem(), dict(thinking=5, solution=2, close='/')
  found = [
    budgets.thinking_and_solution(problem, cap, [0.5], **kw)[0]
    for cap in (20, 8, 7, 4)
  ]
  assert [(b.thinking, b.solution, b.cap) for b in found] == [
    *((5, 2, 8), (5, 2, 8), (4, 2, 7), (2, 1, 4))
  ]
  with pytest.raises(ValueError, match='a cap of 2 has no room'):
    budgets.thinking_and_solution(problem, 2, [0.5], **kw)


MODES = dict(share=0.5, close='</think>', start='Alright', short=6)


def test_half_of_a_group_is_forced_to_have_no_thought_and_fewer_tokens():
  """As round(n * 0.5) of AdaptThink's rollout: 2 of 5, and 2 of 4."""
  problem = builders.make_problem()
  for cap, short in (20, 6), (4, 4):
    without = types.Budget(cap=short, first='</think>', mode=1)
    thinks = types.Budget(cap=cap, first='Alright')
    for size in 4, 5:
      found = budgets.forced_modes(problem, cap, [0.5] * size, **MODES)
      assert found == [without] * 2 + [thinks] * (size - 2)


@pytest.mark.parametrize(
  ('cap', 'changes', 'message'),
  [
    (9, dict(share=1.5), 'share=1.5 is not from 0 to 1'),
    (9, dict(start=''), "start='' is no token"),
    (9, dict(short=1), 'no room for a token after the first'),
    (1, {}, 'no room for a token after the first'),
  ],
)
def test_forced_modes_refuse_what_cannot_be_asked(cap, changes, message):
  with pytest.raises(ValueError, match=message):
    budgets.forced_modes(
      builders.make_problem(), cap, [0.5], **{**MODES, **changes}
    )


def sampling(**changes):
  given = dict(n=4, cap=9, temperature=1.0, top_p=1.0, top_k=0, seeds=(0, 0, 7))
  return engines.SamplingParams(**{**given, **changes})


def drawn(problem, **changes):
  """The uniforms that a budget gets."""
  seen = []

  def look(problem, cap, uniforms):
    seen.append((cap, uniforms.tolist()))
    return budgets.step_cap(problem, cap, uniforms)

  asking.budgets_of(look, problem, 9, sampling(**changes))
  ((cap, uniforms),) = seen
  assert cap == 9
  return uniforms


def test_a_budget_is_a_function_of_seed_purpose_step_problem_and_index():
  problem, other = builders.make_problem(1), builders.make_problem(2)
  first = drawn(problem)
  assert first == drawn(problem)
  assert first[:2] == drawn(problem, n=2)
  assert len({*first}) == 4
  for seeds in (1, 0, 7), (0, 1, 7), (0, 0, 8):
    assert not {*first} & {*drawn(problem, seeds=seeds)}
  assert not {*first} & {*drawn(other)}


def test_first_tokens_are_forced_in_training_alone():
  budget = functools.partial(budgets.forced_modes, **MODES)
  for purpose in engines.SeedPurpose:
    found = asking.budgets_of(
      budget, builders.make_problem(), 9, sampling(seeds=(0, purpose, 7))
    )
    if purpose == engines.SeedPurpose.TRAINING:
      assert [(b.cap, b.first) for b in found[1:3]] == [
        *((6, '</think>'), (9, 'Alright'))
      ]
    else:
      assert found == [types.Budget(cap=9)] * 4


def task():
  return types.Task(
    train=[],
    evals={},
    encode=lambda problem: [5],
    encode_asked=lambda problem, budget: [5, len(budget.note)],
    ids_of=lambda words: [len(words)],
    decode=str,
    eos_ids=(0,),
    vocab=9,
    fingerprints={},
  )


def prompts_of(asked, **changes):
  found = asking.prompts_of(
    task(), builders.make_problem(), asked, 9, sampling(**changes)
  )
  return [(p.ids.tolist(), p.first, p.samples, p.cap) for p in found]


def test_samples_that_are_asked_the_same_share_a_prompt():
  plain = types.Budget(cap=9)
  assert prompts_of([plain] * 4) == [([5], 0, 4, 9)]
  short, noted = types.Budget(cap=3), types.Budget(cap=9, note='ab')
  assert prompts_of([short, short, noted, plain]) == [
    *(([5], 0, 2, 3), ([5, 2], 2, 1, 9), ([5], 3, 1, 9))
  ]


def test_a_forced_first_token_is_the_last_of_the_prompt_and_one_of_the_cap():
  forced = types.Budget(cap=3, first='ab')
  noted = types.Budget(cap=9, first='abc', note='a')
  assert prompts_of([forced, forced, noted, types.Budget(cap=9)]) == [
    *(([5, 2], 0, 2, 2), ([5, 1, 3], 2, 1, 8), ([5], 3, 1, 9))
  ]
  assert prompts_of([forced], cap=20) == [([5, 2], 0, 1, 19)]


def test_an_engine_that_samples_beyond_the_cap_does_so_for_every_budget():
  asked = [types.Budget(cap=3), types.Budget(cap=9)]
  assert prompts_of(asked, cap=20) == [([5], 0, 1, 20), ([5], 1, 1, 20)]


def test_a_group_is_whole_when_all_its_parts_have_come():
  asked = {
    'a': [types.Budget(cap=c) for c in (1, 1, 2)],
    'b': [types.Budget(cap=1)],
  }

  def part(name, *indices):
    return [builders.make_sample(problem_id=name, index=i) for i in indices]

  parts = [part('a', 2), part('b', 0), part('a', 0, 1)]
  found = [
    [(s.problem_id, s.index, s.budget.cap) for s in group]
    for group in asking.whole_groups(parts, asked)
  ]
  assert found == [[('b', 0, 1)], [('a', 0, 1), ('a', 1, 1), ('a', 2, 2)]]
