"""The embedded engine: what samples depend on."""

import collections
import dataclasses
import functools
import re

import builders
import jax
import numpy as np
import pytest

from siri_jax import compiled as steps
from siri_jax import types
from siri_jax.algorithm import packing, schedules
from siri_jax.rollout import engines

SHAPE = builders.tiny_shape(layers=1)
EOS, COLUMNS, REQUESTS, PROMPT = 0, 12, 24, 6
LENGTHS = [3, 1, 6, 2, 5, 4]
cosine = functools.partial(
  schedules.cosine, low=4, high=COLUMNS, period=8, phase=0
)


@functools.cache
def programs(slots=4, stretch=4, temperature=1.0, padding=0):
  """The compiled programs of a tiny run."""
  shape = dataclasses.replace(SHAPE, padding=padding)
  recipe = builders.tiny_recipe(shape, temperature=temperature)
  return steps.build(
    cosine,
    recipe,
    builders.one_device(recipe),
    eos_ids=(EOS,),
    max_concurrent=slots,
    columns=COLUMNS,
    decode_steps=stretch,
  )


def make_engine(
  slots=4,
  stretch=4,
  requests=REQUESTS,
  version=0,
  padding=0,
  params=None,
  filters=True,
):
  compiled = steps.with_frozen(programs(slots, stretch, padding=padding), {})
  engine = engines.EngineInputs(
    export=compiled.export,
    start=compiled.start,
    advance=compiled.advance,
    shrink=compiled.shrink,
    requests=requests,
    prompt_tokens=PROMPT,
    begun_tokens=4,
    filters=filters,
    # Arguments for servers.
    **dict.fromkeys(
      ('publish', 'task', 'server', 'servers', 'logprob_share', 'run', 'say')
    ),
  )
  built = engines.embedded(engine, max_concurrent=slots, decode_steps=stretch)
  built.push(params or builders.lively(SHAPE), version)
  return built


def make_prompts(numbers=range(6)):
  """Prompt `i` is always the same."""
  return [
    types.Prompt(
      f'p{i}',
      np.random.default_rng(i).integers(1, SHAPE.vocab, LENGTHS[i], np.int32),
    )
    for i in numbers
  ]


def sampling(**changes):
  given = dict(n=4, cap=COLUMNS, temperature=1.0, top_p=1.0, top_k=0)
  return engines.SamplingParams(**{**given, 'seeds': (0, 0, 7), **changes})


def unheard(done, total):
  del done, total


def sample(prompts, engine=None, **changes):
  """(problem, index) -> sample."""
  engine = engine or make_engine()
  groups = engine.sample(prompts, sampling(**changes), unheard)
  return {(s.problem_id, s.index): s for group in groups for s in group}


def assert_same(found, expected):
  for key, one in found.items():
    other = expected[key]
    assert one.response_ids.tolist() == other.response_ids.tolist(), key
    assert one.finish_reason == other.finish_reason
    np.testing.assert_allclose(
      one.sampler_logp, other.sampler_logp, atol=1e-5, err_msg=str(key)
    )


def test_every_prompt_gets_its_group_of_n():
  prompts = make_prompts()
  groups = list(make_engine().sample(prompts, sampling(), unheard))
  assert sorted(g[0].problem_id for g in groups) == [
    p.problem_id for p in prompts
  ]
  ids = {p.problem_id: p.ids for p in prompts}
  for group in groups:
    assert [s.index for s in group] == [0, 1, 2, 3]
    assert len({s.problem_id for s in group}) == 1
    for one in group:
      assert one.prompt_ids.tolist() == ids[one.problem_id].tolist()
      assert one.response_ids.dtype == np.int32
      assert one.sampler_logp.shape == one.response_ids.shape


def test_a_sample_does_not_depend_on_its_neighbours_or_their_order():
  whole = sample(make_prompts())
  assert len({tuple(s.response_ids) for s in whole.values()}) > 12
  assert_same(sample(make_prompts([4])), whole)
  assert_same(sample(make_prompts([5, 1, 3, 0])), whole)


def test_a_sample_does_not_depend_on_how_many_its_group_has():
  assert_same(sample(make_prompts([0, 5]), n=2), sample(make_prompts()))


def test_a_sample_does_not_depend_on_slots_that_are_removed():
  expected = sample(make_prompts())
  assert_same(sample(make_prompts(), make_engine(slots=16)), expected)


def test_the_first_step_compiles_the_smaller_batch_too():
  advance = programs(16, 3, padding=0).advance
  # All responses end at once, so that nothing is left for it.
  sample(make_prompts(), make_engine(slots=16, stretch=3), cap=1)
  assert advance._cache_size() == 2
  sample(make_prompts(), make_engine(slots=16, stretch=3))
  assert advance._cache_size() == 2


def test_a_sample_does_not_depend_on_slots_and_stretches():
  other = make_engine(slots=7, stretch=5)
  assert_same(sample(make_prompts(), other), sample(make_prompts()))


def test_a_sample_depends_on_seed_purpose_step_problem_and_index():
  whole = sample(make_prompts())
  for seeds in (1, 0, 7), (0, 1, 7), (0, 0, 8):
    other = sample(make_prompts(), seeds=seeds)
    same = [
      whole[k].response_ids.tolist() == other[k].response_ids.tolist()
      for k in whole
    ]
    assert sum(same) < len(same) / 2
  # Two problems may have the same prompt.
  (prompt,) = make_prompts([2])
  twin = types.Prompt('twin', prompt.ids)
  pair = sample([prompt, twin])
  assert_same({k: pair[k] for k in pair if k[0] == 'p2'}, whole)
  responses = [tuple(s.response_ids) for s in pair.values()]
  assert len(set(responses)) > 4


def test_a_lower_cap_cuts_the_same_samples_shorter():
  whole, cut = sample(make_prompts()), sample(make_prompts(), cap=5)
  for key, one in cut.items():
    full = whole[key].response_ids
    assert one.response_ids.tolist() == full[:5].tolist()
    ended = full.size <= 5 and whole[key].finish_reason == 'stop'
    assert one.finish_reason == ('stop' if ended else 'length')


def test_a_group_in_several_prompts_is_the_same_group_with_its_own_caps():
  whole = sample(make_prompts())
  parts = [
    dataclasses.replace(prompt, first=first, samples=count, cap=cap)
    for prompt in make_prompts()
    for first, count, cap in ((0, 1, 3), (1, 3, 0))
  ]
  found = sample(parts)
  assert found.keys() == whole.keys()
  for (name, index), one in found.items():
    cut = 3 if index == 0 else COLUMNS
    expected = whole[name, index].response_ids[:cut]
    assert one.response_ids.tolist() == expected.tolist()


def test_a_response_goes_on_from_a_longer_prompt_as_if_it_had_not_stopped():
  prompts = make_prompts()
  whole = sample(prompts, n=1, temperature=0.0)
  begun = [p for p in prompts if whole[p.problem_id, 0].response_ids.size > 4]
  longer = [
    dataclasses.replace(
      p,
      ids=np.concatenate([p.ids, whole[p.problem_id, 0].response_ids[:4]]),
      cap=COLUMNS - 4,
    )
    for p in begun
  ]
  assert max(p.ids.size for p in longer) > PROMPT
  for (name, _), rest in sample(longer, n=1, temperature=0.0).items():
    expected = whole[name, 0].response_ids[4:]
    assert rest.response_ids.tolist() == expected.tolist()


def test_prompts_of_different_numbers_of_samples_fill_the_queue():
  prompts = make_prompts()
  counts = [1, 4, 2, REQUESTS, 3, 1]
  asked = [
    dataclasses.replace(prompt, samples=count)
    for prompt, count in zip(prompts, counts, strict=True)
  ]
  found = sample(asked)
  assert len(found) == sum(counts)
  whole = sample(prompts)
  assert_same({k: found[k] for k in found.keys() & whole.keys()}, whole)


def test_the_end_of_sequence_ends_a_response_and_nothing_else_does():
  found = sample(make_prompts()).values()
  assert {s.finish_reason for s in found} == {'stop', 'length'}
  for one in found:
    ended = one.finish_reason == 'stop'
    assert (one.response_ids == EOS).sum() == ended
    assert (one.response_ids[-1] == EOS) == ended
    assert ended or one.response_ids.size == COLUMNS


def test_an_end_on_the_very_last_token_is_a_stop():
  ended = next(
    s
    for s in sample(make_prompts()).values()
    if s.finish_reason == 'stop' and s.response_ids.size > 1
  )
  size, key = ended.response_ids.size, (ended.problem_id, ended.index)
  assert sample(make_prompts(), cap=size)[key].finish_reason == 'stop'
  assert sample(make_prompts(), cap=size - 1)[key].finish_reason == 'length'


def test_a_whole_cycle_of_the_cap_compiles_nothing_new():
  compiled = programs()
  sample(make_prompts())
  compiled.cap(np.int32(0))
  before = steps.compile_count(compiled)
  for step in range(8):
    cap = int(compiled.cap(np.int32(step)))
    found = sample(make_prompts(), cap=cap, seeds=(0, 0, step))
    assert max(s.response_ids.size for s in found.values()) == cap
  assert steps.compile_count(compiled) == before


@pytest.mark.slow
def test_each_program_is_compiled_once_and_ahead(caplog):
  jax.config.update('jax_log_compiles', True)  # In all threads.
  try:
    sample(make_prompts(), make_engine(slots=16, stretch=5))
  finally:
    jax.config.update('jax_log_compiles', False)
  made = re.findall(r'XLA compilation of jit\((\w+)\)', caplog.text)
  made = collections.Counter(made)
  # Decoding has two sizes: all slots, and those of the last requests.
  assert (made['prefill'], made['decode_steps'], made['shrink']) == (1, 2, 1)


def test_programs_without_a_filter_draw_the_same_and_refuse_top_p():
  engine = make_engine(filters=False)
  assert_same(sample(make_prompts(), engine), sample(make_prompts()))
  with pytest.raises(ValueError, match=r'top_p=0[.]9 and top_k=0'):
    list(engine.sample(make_prompts(), sampling(top_p=0.9), unheard))


@pytest.mark.parametrize('temperature', [1.0, 0.7])
def test_log_probabilities_are_the_trainers(temperature):
  found = list(sample(make_prompts(), temperature=temperature).values())
  rows, count = packing.pack(
    found,
    np.ones(len(found)),
    np.zeros(len(found)),
    builders.fit(32, 2),
    extra=('sampler_logp',),
  )
  trainer = programs(temperature=temperature).logprobs
  logp, _ = trainer({}, builders.lively(SHAPE), rows, np.int32(count))
  live = rows.mask > 0
  assert live.sum() == sum(s.response_ids.size for s in found)
  np.testing.assert_allclose(
    np.asarray(logp)[live], rows.extra['sampler_logp'][live], atol=1e-5
  )


PADDING = 7


@pytest.fixture(scope='module')
def padded():
  """Parameters of which the padded words would be likely, and an engine."""
  params = builders.lively(SHAPE)
  params['head'][:, -PADDING:] *= 20
  spoilt = make_engine(params=params)
  drawn = sample(make_prompts(), spoilt).values()
  first = SHAPE.vocab - PADDING
  assert np.mean(np.concatenate([s.response_ids for s in drawn]) >= first) > 0.5
  return params, make_engine(padding=PADDING, params=params)


@pytest.mark.parametrize(
  'how', [{}, {'temperature': 0.0}, {'top_k': 15}, {'top_p': 0.9}], ids=str
)
def test_padded_words_are_never_sampled_however_likely(padded, how):
  found = sample(make_prompts(), padded[1], **how).values()
  drawn = np.concatenate([s.response_ids for s in found])
  assert drawn.max() < SHAPE.vocab - PADDING
  told = np.concatenate([s.sampler_logp for s in found])
  assert np.isfinite(told).all()


def test_the_trainers_log_probabilities_leave_padded_words_out_too(padded):
  params, engine = padded
  found = list(sample(make_prompts(), engine).values())
  ones, fit = np.ones(len(found)), builders.fit(32, 2)
  told = ('sampler_logp',)
  rows, count = packing.pack(found, ones, ones, fit, extra=told)
  trainer = programs(padding=PADDING).logprobs
  logp, _ = trainer({}, params, rows, np.int32(count))
  logp = np.asarray(logp)
  live = rows.mask > 0
  np.testing.assert_allclose(
    logp[live], rows.extra['sampler_logp'][live], atol=1e-4
  )


def test_temperature_0_gives_the_same_response_every_time():
  found = sample(make_prompts(), temperature=0.0)
  for problem in {p for p, _ in found}:
    assert len({tuple(found[problem, i].response_ids) for i in range(4)}) == 1


def test_top_k_1_is_temperature_0():
  greedy = sample(make_prompts(), temperature=0.0)
  for key, one in sample(make_prompts(), top_k=1).items():
    assert one.response_ids.tolist() == greedy[key].response_ids.tolist()
    np.testing.assert_allclose(one.sampler_logp, 0, atol=1e-6)


def test_a_sample_names_the_version_of_its_weights():
  engine = make_engine(version=3)
  for version in 3, 4:
    engine.push(builders.lively(SHAPE, seed=version), version)
    for one in sample(make_prompts([0]), engine).values():
      assert one.spans == ((version, 0, one.response_ids.size),)


def test_the_engine_keeps_a_copy_of_pushed_weights():
  engine, params = make_engine(), jax.device_put(builders.lively(SHAPE))
  engine.push(params, 0)
  jax.tree.map(lambda x: x.delete(), params)  # As an update does.
  assert_same(sample(make_prompts([1]), engine), sample(make_prompts()))


def test_groups_come_as_they_are_complete():
  heard = []
  groups = make_engine(slots=4, stretch=4).sample(
    make_prompts(), sampling(), lambda *counts: heard.append(counts)
  )
  next(groups)
  done, total = heard[-1]
  assert total == 24
  assert 4 <= done < 24
  assert len(list(groups)) == 5
  assert heard == sorted(heard)
  assert heard[-1] == (24, 24)


def test_more_prompts_than_the_engines_capacity_are_sampled_in_turns():
  heard = []
  groups = make_engine().sample(
    make_prompts(), sampling(n=12), lambda *counts: heard.append(counts)
  )
  # Two prompts of twelve samples at a time.
  found = {(s.problem_id, s.index): s for group in groups for s in group}
  assert len(found) == 72
  assert_same(sample(make_prompts()), found)
  assert heard == sorted(heard)
  assert heard[-1] == (72, 72)


def test_a_group_above_the_engines_capacity_is_refused():
  with pytest.raises(ValueError, match=r'25 samples a prompt are more than'):
    sample(make_prompts(), n=25)
