"""Decoding: sampling of tokens, and continuous batching."""

import functools
import itertools

import builders
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax.models import (
  decode,
  decode_attention,
  decoder,
  ragged_attention,
)

SHAPE = builders.tiny_shape(layers=1)
LAYERS = decoder.unstacked(builders.lively(SHAPE))
EOS = 0
CHOOSE = jax.jit(decode.sample_tokens)


def choose(logits, within, temperature=1.0, top_p=1.0, top_k=0, block=None):
  block = np.zeros_like(within) if block is None else block
  uniforms = np.stack([within, block], axis=-1).astype(np.float32)
  settings = np.float32(temperature), np.float32(top_p), np.int32(top_k)
  token, logp = CHOOSE(np.float32(logits), uniforms, *settings)
  return np.asarray(token), np.asarray(logp)


def even(draws):
  """Evenly spaced uniforms in [0, 1)."""
  return (np.arange(draws) + 0.5) / draws


def shares(probabilities, **settings):
  """How often each token is drawn, over 1000 even uniforms."""
  logits = np.log(np.tile(np.float32(probabilities), (1000, 1)))
  token, logp = choose(logits, even(1000), **settings)
  share = np.bincount(token, minlength=len(probabilities)) / 1000
  for t in np.unique(token):
    # The log-probability is that of the sampling distribution.
    np.testing.assert_allclose(np.exp(logp[token == t]), share[t], atol=2e-3)
  return share


P = [0.5, 0.05, 0.3, 0.15]


def test_tokens_are_drawn_as_often_as_they_are_likely():
  np.testing.assert_allclose(shares(P), P, atol=2e-3)


def test_a_temperature_flattens_the_distribution():
  flat = np.sqrt(P) / np.sqrt(P).sum()
  np.testing.assert_allclose(shares(P, temperature=2.0), flat, atol=2e-3)


def test_temperature_0_takes_the_most_likely_token():
  token, logp = choose([np.log(P)] * 3, [0.0, 0.5, 0.99], temperature=0.0)
  assert token.tolist() == [0, 0, 0]
  np.testing.assert_allclose(logp, np.log(0.5), rtol=1e-6)


@pytest.mark.parametrize(
  ('top_p', 'kept'),
  [(0.4, [0]), (0.6, [0, 2]), (0.81, [0, 2, 3]), (0.99, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p, kept):
  expected = np.where(np.isin(range(4), kept), P, 0)
  found = shares(P, top_p=top_p)
  np.testing.assert_allclose(found, expected / expected.sum(), atol=2e-3)


@pytest.mark.parametrize(('top_k', 'kept'), [(1, [0]), (3, [0, 2, 3])])
def test_top_k_keeps_that_many_tokens(top_k, kept):
  expected = np.where(np.isin(range(4), kept), P, 0)
  found = shares(P, top_k=top_k)
  np.testing.assert_allclose(found, expected / expected.sum(), atol=2e-3)


def test_top_p_is_a_share_of_the_tokens_that_top_k_kept():
  # As in vLLM: of the three tokens that top_k kept, the first two suffice.
  logits = np.float32([2, 1, 0.5, 0, -1, -3, 1.7, -0.2])
  three = np.exp(logits) * np.isin(range(8), [0, 6, 1])
  assert np.sort(three / three.sum())[-2:].sum() > 0.8
  assert (shares(np.exp(logits), top_p=0.8, top_k=3) > 0).sum() == 2


@pytest.mark.parametrize(('top_p', 'kept'), [(0.25, 1), (0.5, 2), (0.51, 3)])
def test_top_p_keeps_only_the_needed_number_of_tied_tokens(top_p, kept):
  assert (shares([0.25] * 4, top_p=top_p) > 0).sum() == kept


def test_top_p_never_drops_the_most_likely_token():
  assert shares(P, top_p=1e-9).tolist() == [1, 0, 0, 0]


def test_the_narrower_of_top_p_and_top_k_applies():
  assert shares(P, top_p=0.81, top_k=1).tolist() == [1, 0, 0, 0]
  assert shares(P, top_p=0.4, top_k=3).tolist() == [1, 0, 0, 0]


@pytest.mark.slow
def test_a_token_without_probability_is_never_drawn():
  # Rounding may raise a sum at a token of probability 0.
  rng = np.random.default_rng(0)
  live = np.sort(rng.choice(450, 30, replace=False))
  logits = np.full(500, -np.inf, np.float32)
  logits[live] = rng.normal(size=30)
  edges = np.cumsum(jax.nn.softmax(logits))[live]
  uniform = (edges[:, None] + np.arange(-8, 9) * 2.0**-24).ravel()
  uniform = np.float32([0, *uniform.clip(0, 1 - 2.0**-24)])
  token, logp = choose(np.tile(logits, (uniform.size, 1)), uniform)
  assert set(token) == set(live)
  assert (token[0], token[-1]) == (live[0], live[-1])
  assert np.isfinite(logp).all()


def uniforms_of(token, share):
  """The middle of the uniforms that draw a token, of exact probabilities."""

  def middle(share, i):
    return (share[:i].sum() + share[i] / 2) / share.sum()

  number, place = divmod(token, decode.BLOCK)
  blocks = np.split(share, range(decode.BLOCK, len(share), decode.BLOCK))
  masses = np.array([block.sum() for block in blocks])
  return middle(blocks[number], place), middle(masses, number)


@pytest.mark.slow
@pytest.mark.parametrize('first', [0.99, 1 / 151936])
def test_every_token_of_a_flat_tail_can_be_drawn(first):
  # At 0.99 each of the others has 6.6e-8: less than a step of a float32
  # uniform, 1.2e-7. One uniform could not draw half of them.
  vocab = 151936  # Of R1-Distill-Qwen.
  share = np.full(vocab, (1 - first) / (vocab - 1))
  share[0] = first
  tokens = np.random.default_rng(0).integers(decode.BLOCK, vocab, 64)
  tokens[:3] = 0, decode.BLOCK, vocab - 1
  within, block = np.transpose([uniforms_of(t, share) for t in tokens])
  logits = np.tile(np.log(share), (len(tokens), 1))
  drawn, logp = choose(logits, within, block=block)
  assert drawn.tolist() == tokens.tolist()
  np.testing.assert_allclose(logp, np.log(share)[tokens], rtol=1e-4)


def test_the_blocks_of_a_large_vocabulary_are_as_likely_as_their_tokens():
  share = np.arange(1.0, 1301)  # The last block is not full.
  share /= share.sum()
  logits = np.tile(np.log(share), (1000, 1))
  token, _ = choose(logits, np.full(1000, 0.5), block=even(1000))
  found = np.bincount(token // decode.BLOCK) / 1000
  masses = [share[i : i + decode.BLOCK].sum() for i in (0, 512, 1024)]
  np.testing.assert_allclose(found, masses, atol=2e-3)


def test_a_block_without_probability_is_never_drawn():
  logits = np.zeros(1536)
  logits[512:1024] = -np.inf
  edge = 0.5 + np.arange(-8, 9) * 2.0**-24
  token, _ = choose(np.tile(logits, (17, 1)), np.full(17, 0.0), block=edge)
  assert set(token) == {0, 1024}


def test_each_row_is_drawn_by_itself():
  logits = np.log(np.float32([P, P[::-1], P]))
  token, _ = choose(logits, [0.1, 0.1, 0.9])
  assert token.tolist() == [0, 0, 3]


def test_logits_without_a_uniform_each_are_refused():
  with pytest.raises(ValueError, match='do not fit'):
    choose(np.zeros((3, 4)), np.float32([0.5]))


def make_ask(prompts, *, group=1, capacity=None, cap=6, **changes):
  """Requests for `group` samples of each prompt."""
  count = len(prompts) * group
  capacity = capacity or count
  ids = np.zeros((capacity, max(map(len, prompts))), np.int32)
  length = np.ones(capacity, np.int32)
  for i, prompt in enumerate(prompts):
    ids[i, : len(prompt)], length[i] = prompt, len(prompt)
  request = np.arange(capacity)
  given = dict(
    prompts=ids,
    prompt_length=length,
    prompt_count=np.int32(len(prompts)),
    prompt_of=(request // group).astype(np.int32),
    identity=np.stack([request // group, request % group], 1).astype(np.uint32),
    count=np.int32(count),
    seeds=np.uint32([0, 0, 7]),
    cap=np.full(capacity, cap, np.int32),
    temperature=np.float32(1),
    top_p=np.float32(1),
    top_k=np.int32(0),
  )
  return decode.Requests(**{**given, **changes})


@functools.cache
def engine(slots, columns, stretch, attention=decode_attention.DENSE):
  start = functools.partial(
    decode.prefill,
    shape=SHAPE,
    slots=slots,
    columns=columns,
    block=attention.block,
  )
  advance = functools.partial(
    decode.decode_steps,
    shape=SHAPE,
    eos_ids=(EOS,),
    stretch=stretch,
    attend=attention.attend,
  )
  return jax.jit(start), jax.jit(advance)


def run(ask, *, slots=2, columns=6, stretch=3, **given):
  """Decodes to the end; returns all states."""
  start, advance = engine(slots, columns, stretch, **given)
  states = [start(LAYERS, ask)]
  while not np.all(states[-1].lengths[: ask.count] > 0):
    states.append(advance(LAYERS, ask, states[-1]))
  return states


PROMPTS = [[1, 2, 3], [4], [5, 6], [7, 8, 9]]


@pytest.mark.slow
def test_a_finished_slot_takes_the_next_request():
  ask = make_ask(PROMPTS, group=2)
  *_, end = run(ask)
  lengths = np.asarray(end.lengths)
  assert (lengths > 0).all()
  assert len(set(lengths.tolist())) > 1
  # Two slots are never idle while requests wait: they end at most one response
  # apart, and the clock has the steps of the busier one.
  assert lengths.sum() / 2 <= end.clock < lengths.sum() / 2 + lengths.max()
  assert end.begun == 8
  assert (end.request == -1).all()


def test_samples_through_the_kernel_are_the_same():
  ask = make_ask(PROMPTS, group=2)
  *_, dense = run(ask)
  attend = functools.partial(ragged_attention.ragged, interpret=True)
  attention = decode_attention.Attention(attend, ragged_attention.BLOCK)
  first, *_, ragged = run(ask, attention=attention)
  assert first.cache[0][1].shape[2] == ragged_attention.BLOCK
  for name in 'responses', 'lengths', 'stopped', 'clock':
    np.testing.assert_array_equal(getattr(ragged, name), getattr(dense, name))
  np.testing.assert_allclose(ragged.logp, dense.logp, atol=1e-5)


def test_an_idle_slot_reads_nothing_and_writes_nothing():
  lengths = []

  def attend(q, k, v, length):
    jax.debug.callback(lambda x: lengths.append(x.tolist()), length)
    return decode_attention.dense(q, k, v, length)

  attention = decode_attention.Attention(attend, 1)
  first, *_, end = run(make_ask(PROMPTS[:1]), attention=attention)
  jax.effects_barrier()
  # One request in two slots, of three prompt tokens.
  count = int(end.lengths[0])
  layers = SHAPE.layers
  assert sorted(lengths) == [[n, 0] for n in range(3, 3 + count)] * layers
  for before, after in zip(first.cache[0], end.cache[0], strict=True):
    np.testing.assert_array_equal(before[1], after[1])


def test_requests_beyond_the_count_are_not_begun():
  ask = make_ask(PROMPTS, capacity=8)
  *_, end = run(ask)
  assert end.begun == 4
  assert (end.lengths[4:] == 0).all()
  assert (end.responses[4:] == 0).all()


def test_decoding_returns_after_a_stretch():
  states = run(make_ask(PROMPTS, group=2))
  clocks = [int(s.clock) for s in states]
  assert clocks[:-1] == list(range(0, 3 * len(clocks) - 3, 3))
  # Finished responses do not change.
  for early, late in itertools.pairwise(states):
    done = np.asarray(early.lengths) > 0
    for name in 'responses', 'logp', 'lengths', 'stopped':
      np.testing.assert_array_equal(
        getattr(early, name)[done], getattr(late, name)[done]
      )


def test_decoding_returns_when_few_requests_are_unfinished():
  ask = make_ask(PROMPTS, group=2)
  start, advance = engine(2, 6, 100)
  before = np.asarray(run(ask)[-1].lengths)
  found = advance(LAYERS, ask, start(LAYERS, ask), 3)
  left = np.asarray(found.lengths) == 0
  # Two slots may finish in one step.
  assert left.sum() in (2, 3)
  assert (found.lengths == np.where(left, 0, before)).all()


def test_a_large_batch_ends_in_a_quarter_of_its_slots_but_in_8_at_least():
  assert decode.stages(256) == (64, 0)
  assert decode.stages(17) == (8, 0)
  assert decode.stages(15) == (0,)
  assert decode.stages(1) == (0,)


def test_shrinking_keeps_the_busy_slots():
  ask = make_ask(PROMPTS)
  start, advance = engine(4, 6, 1)
  state = advance(LAYERS, ask, start(LAYERS, ask))
  state = state.replace(request=jnp.array([-1, 3, -1, 1]))
  found = decode.shrink(decode.of_slots(state), 2)
  assert found['request'].tolist() == [3, 1]
  for name in ('token', 'length'):
    wanted = getattr(state, name)[jnp.array([1, 3])]
    assert found[name].tolist() == wanted.tolist()
  for small, large in zip(found['cache'][0], state.cache[0], strict=True):
    np.testing.assert_array_equal(small, large[jnp.array([1, 3])])
  # One busy slot, and an idle one that may take a request.
  state = state.replace(request=jnp.array([-1, -1, 2, -1]))
  found = decode.shrink(decode.of_slots(state), 2)
  assert found['request'].tolist() == [2, -1]


def test_a_response_ends_with_the_end_of_sequence_or_at_the_cap():
  ask = make_ask(PROMPTS, group=2)
  *_, end = run(ask)
  assert 0 < np.sum(end.stopped) < 8
  for tokens, length, stopped in zip(
    np.asarray(end.responses), end.lengths, end.stopped, strict=True
  ):
    response = tokens[:length]
    assert EOS not in response[:-1]
    assert (response[-1] == EOS) == stopped
    assert stopped or length == 6
    assert not tokens[length:].any()


def test_a_cap_of_one_is_one_token():
  *_, end = run(make_ask(PROMPTS, group=2, cap=1))
  assert (end.lengths == 1).all()
  assert end.clock == 4


def test_a_longer_engine_draws_the_same_numbers_first():
  ask = make_ask(PROMPTS, group=2)
  short, long = (
    engine(2, columns, 3)[0](LAYERS, ask).uniforms for columns in (6, 17)
  )
  assert long.shape == (8, 17, 2)
  np.testing.assert_array_equal(long[:, :6], short)
  assert len(set(np.asarray(long).ravel().tolist())) == long.size


def test_samples_of_a_group_differ_and_seeds_give_others():
  ask = make_ask([[1, 2, 3]], group=8)
  *_, first = run(ask)
  assert len({tuple(r) for r in np.asarray(first.responses).tolist()}) > 4
  *_, other = run(ask.replace(seeds=np.uint32([0, 0, 8])))
  assert not np.array_equal(first.responses, other.responses)


@pytest.mark.slow
def test_the_first_tokens_are_drawn_as_often_as_they_are_likely():
  draws = 512
  ask = make_ask([[1, 2, 3]], group=draws, cap=1)
  *_, end = run(ask, slots=draws, columns=1)
  token, logp = np.asarray(end.responses)[:, 0], np.asarray(end.logp)[:, 0]
  likely = np.zeros(SHAPE.vocab)
  likely[token] = np.exp(logp)
  # Tokens that were never drawn are unlikely.
  assert likely.sum() > 0.97
  share = np.bincount(token, minlength=SHAPE.vocab) / draws
  deviation = np.sqrt(likely * (1 - likely) / draws)
  assert np.all(np.abs(share - likely) < 4 * deviation + 1e-3)


def test_requests_whose_shapes_differ_are_refused():
  ask = make_ask(PROMPTS)
  with pytest.raises(ValueError, match='do not fit'):
    engine(2, 6, 3)[0](LAYERS, ask.replace(identity=ask.identity[:2]))
