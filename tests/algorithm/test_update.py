"""One optimiser step: its result does not depend on its layout."""

import dataclasses
import functools

import builders
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from siri_jax import compiled as steps
from siri_jax.algorithm import aggregations, losses, packing, update
from siri_jax.models import attention, decoder

SHAPE = builders.tiny_shape(layers=1)
RECIPE = builders.tiny_recipe(SHAPE)
LENGTHS = [5, 2, 7, 1, 3, 6]
SAMPLES = builders.random_samples(LENGTHS, vocab=SHAPE.vocab, prompt=3)
ADVANTAGES = np.float32([1.5, -0.5, -1.0, 2.0, 0.7, -0.2])
WEIGHTS, DENOM = jax.device_get(aggregations.sequence_mean(np.int32(LENGTHS)))


@functools.cache
def compiled(function, recipe):
  layout = builders.one_device(recipe)
  run = functools.partial(function, {}, recipe=recipe, layout=layout)
  return jax.jit(run)


def pack(advantages=ADVANTAGES, row_tokens=10, micro_batch_rows=1, **changes):
  """Packed rows, and the number of micro-batches in use."""
  given = dict(samples=SAMPLES, weights=WEIGHTS, advantages=advantages)
  given |= dict(fit=builders.fit(row_tokens, micro_batch_rows))
  rows, count = packing.pack(**{**given, **changes})
  return rows, np.int32(count)


def pack_off_policy(**layout):
  """Rows with the log-probabilities of the parameters that sampled."""
  logp, mask = plain_logp(before()[1])
  samples = [
    dataclasses.replace(s, sampler_logp=np.asarray(x)[m])
    for s, x, m in zip(SAMPLES, logp, mask, strict=True)
  ]
  rows, count = pack(samples=samples, extra=('sampler_logp',), **layout)
  return rows.replace(old_logp=rows.extra['sampler_logp'], extra={}), count


@functools.cache
def before():
  """The parameters to update, and those that sampled."""
  return builders.lively(SHAPE), jax.tree.map(
    lambda x, y: 0.8 * x + 0.2 * y,
    builders.lively(SHAPE),
    builders.lively(SHAPE, seed=1),
  )


def step(rows, count, *, recipe=RECIPE, state=None, own=False, last=True):
  """The new state and the metrics of one optimiser step."""
  state = state or steps.new_state(before()[0], recipe.tx)
  run = compiled(update.update, recipe)
  return run(state, rows, count, DENOM, np.bool_(own), np.bool_(last))


def gradient(state):
  """The gradient that the optimiser subtracted."""
  return apart(before()[0], state.params)


def apart(before, after):
  return jax.tree.map(np.subtract, *jax.device_get((before, after)))


def assert_trees_close(found, expected, rtol=1e-4, atol=2e-6):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol),
    found,
    expected,
  )


@jax.jit
def plain_logp(params):
  """Log-probability of every response token, without packing."""
  width = 3 + max(LENGTHS)
  ids = np.zeros((len(SAMPLES), width), np.int32)
  mask = np.zeros(ids.shape, bool)
  for i, sample in enumerate(SAMPLES):
    both = np.concatenate([sample.prompt_ids, sample.response_ids])
    ids[i, : both.size], mask[i, 3 : both.size] = both, True
  hidden = decoder.forward(
    params,
    SHAPE,
    ids,
    np.broadcast_to(np.arange(width), ids.shape),
    np.ones_like(ids),
    fetch=lambda layer: layer,
    attend=attention.reference,
    remat='nothing',
  )
  logp = jax.nn.log_softmax(hidden[:, :-1] @ decoder.head(params))
  picked = jnp.take_along_axis(logp, ids[:, 1:, None], axis=-1)[..., 0]
  return picked, mask[:, 1:]


@functools.cache
def expected():
  """The paper's loss and its gradient, without packing or micro-batches."""
  old, _ = plain_logp(before()[1])

  def loss(params):
    logp, mask = plain_logp(params)
    ratio, adv = jnp.exp(logp - old), ADVANTAGES[:, None]
    least = jnp.minimum(ratio * adv, jnp.clip(ratio, 0.8, 1.28) * adv)
    means = jnp.sum(mask * least, axis=1) / np.float32(LENGTHS)
    return -jnp.mean(means)

  return jax.jit(jax.value_and_grad(loss))(before()[0])


def check(recipe=RECIPE, **layout):
  """An update in this layout has the expected loss and gradient."""
  rows, count = pack_off_policy(**layout)
  state, metrics = step(rows, count, recipe=recipe)
  loss, slope = expected()
  assert metrics['loss'] == pytest.approx(float(loss), rel=1e-5)
  assert_trees_close(gradient(state), slope)
  norm = float(optax.tree.norm(slope))
  assert metrics['grad_norm'] == pytest.approx(norm, rel=1e-4)
  assert metrics['tokens_sum'] == sum(LENGTHS)
  assert metrics['clip_low_sum'] + metrics['clip_high_sum'] > 0


@pytest.mark.parametrize(
  ('row_tokens', 'micro_batch_rows'),
  [
    (10, 1),  # Five rows, one after another.
    # All in one micro-batch, a third of it padding.
    pytest.param(16, 6, marks=pytest.mark.slow),
    pytest.param(33, 1, marks=pytest.mark.slow),
    pytest.param(10, 4, marks=pytest.mark.slow),
  ],
)
def test_micro_batches_packing_and_padding_change_neither_loss_nor_gradient(
  row_tokens, micro_batch_rows
):
  check(row_tokens=row_tokens, micro_batch_rows=micro_batch_rows)


@pytest.mark.slow
@pytest.mark.parametrize(
  'changes',
  [
    dict(remat='full', chunk=3),
    dict(remat='attention', param_sharding='zero1'),
    dict(remat='qkv', attend=attention.blocked, chunk=1000),
  ],
  ids=lambda changes: '-'.join(changes),
)
def test_execution_options_change_neither_loss_nor_gradient(changes):
  check(builders.tiny_recipe(SHAPE, **changes))


@pytest.mark.slow
def test_in_bfloat16_the_master_parameters_stay_float32():
  recipe = builders.tiny_recipe(SHAPE, dtype=jnp.bfloat16)
  rows, count = pack()
  state, _ = step(rows, count, recipe=recipe, own=True)
  assert {x.dtype for x in jax.tree.leaves(state.params)} == {
    jnp.dtype('float32')
  }
  exact, _ = step(rows, count, own=True)
  ours, theirs = (
    np.concatenate([x.ravel() for x in jax.tree.leaves(gradient(s))])
    for s in (state, exact)
  )
  cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
  assert cosine > 0.99


def test_the_number_of_micro_batches_in_use_compiles_nothing():
  rows, count = pack()
  program = compiled(update.update, RECIPE)
  step(rows, count)
  cached = program._cache_size()
  for used in 1, 3, 6:
    step(rows, np.int32(used))
  assert program._cache_size() == cached


def test_micro_batches_that_are_not_in_use_are_not_read():
  rows, _ = pack()
  rows.adv[4:] = np.nan
  found, metrics = step(rows, np.int32(4), own=True)
  assert found.skipped == 0
  assert np.isfinite(metrics['loss'])
  logprobs = compiled(update.compute_logprobs, RECIPE)
  logp, _ = logprobs(before()[0], rows, np.int32(4))
  assert (logp[4:] == 0).all()
  assert (logp[:4] != 0).any(axis=(1, 2)).all()


def test_log_probabilities_are_those_of_the_plain_forward():
  rows, count = pack()
  read = compiled(update.compute_logprobs, RECIPE)
  logp, _ = read(before()[0], rows, count)
  live = rows.mask > 0
  found = sorted(np.asarray(logp)[live])
  plain, mask = plain_logp(before()[0])
  np.testing.assert_allclose(found, sorted(plain[mask]), atol=1e-5)


def test_old_log_probabilities_of_the_same_pass_make_every_ratio_1():
  rows, count = pack()
  rows = rows.replace(old_logp=np.full_like(rows.old_logp, np.nan))
  state, metrics = step(rows, count, own=True)
  assert metrics['ratio_max'] == 1
  assert metrics['clip_low_sum'] == metrics['clip_high_sum'] == 0
  # The very gradient that spelt-out old log-probabilities give.
  read = compiled(update.compute_logprobs, RECIPE)
  old, _ = read(before()[0], rows, count)
  again, _ = step(rows.replace(old_logp=np.asarray(old)), count)
  assert_trees_close(gradient(state), gradient(again))


def assert_untouched(after, state):
  for part in 'params', 'opt_state':
    old, new = (jax.tree.leaves(getattr(s, part)) for s in (state, after))
    for x, y in zip(old, new, strict=True):
      assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@functools.cache
def started():
  """A state after one step, so that no part of it is zero."""
  return step(*pack(), own=True)[0]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_leaves_the_state_bit_for_bit(bad):
  state = started()
  rows, count = pack(np.where(np.arange(6) == 2, bad, ADVANTAGES))
  after, metrics = step(rows, count, state=state, own=True)
  assert not np.isfinite(metrics['loss'])
  assert_untouched(after, state)
  assert (after.skipped, after.skipped_in_row) == (1, 1)
  # The GRPO step is counted nevertheless.
  assert after.step == state.step + 1


def test_skips_are_counted_in_all_and_in_a_row():
  good, count = pack()
  bad, _ = pack(np.full(6, np.nan, np.float32))
  state, counted = started(), []
  for rows in bad, bad, good, bad:
    state, _ = step(rows, count, state=state, own=True)
    counted.append((int(state.skipped), int(state.skipped_in_row)))
  assert counted == [(1, 1), (2, 2), (2, 0), (3, 1)]


def steep(logp, old_logp, adv, mask, denom):
  """A finite loss whose slope is not: the root of 0."""
  del old_logp, adv, denom
  return jnp.sum(jnp.sqrt(jnp.where(mask > 0, logp - logp, 1.0))), {}


def test_a_gradient_that_is_not_finite_leaves_the_state_too():
  recipe = builders.tiny_recipe(SHAPE, steep)
  after, metrics = step(*pack(), recipe=recipe, state=started())
  assert np.isfinite(metrics['loss'])
  assert not np.isfinite(metrics['grad_norm'])
  assert_untouched(after, started())
  assert after.skipped == 1


@pytest.mark.slow
def test_a_grpo_step_of_several_optimiser_steps():
  start = steps.new_state(before()[0], RECIPE.tx)
  first, count = pack()
  second, _ = pack(-ADVANTAGES)
  # Old log-probabilities are those of before the first of them.
  read = compiled(update.compute_logprobs, RECIPE)
  old, _ = read(start.params, second, count)
  second = second.replace(old_logp=np.asarray(old))
  middle, _ = step(first, count, state=start, own=True, last=False)
  assert middle.step == 0
  end, metrics = step(second, count, state=middle)
  assert end.step == 1
  # The policy changed in between, so ratios are not 1 any more.
  assert metrics['ratio_max'] > 1
  # The second momentum is 0.9 of the first gradient plus its own.
  moved = apart(middle.params, end.params)
  without = middle.replace(opt_state=start.opt_state)
  alone, _ = step(second, count, state=without)
  own = apart(middle.params, alone.params)
  both = jax.tree.map(lambda g, h: g + 0.9 * h, own, gradient(middle))
  assert_trees_close(moved, both)


def test_samples_without_advantage_may_be_left_out():
  adv = np.where(np.isin(range(6), [1, 3, 4]), 0, ADVANTAGES)
  whole, metrics = step(*pack(adv), own=True)
  kept = np.flatnonzero(adv)
  rows, count = pack(
    adv[kept],
    samples=[SAMPLES[i] for i in kept],
    weights=WEIGHTS[kept],
    capacity=6,
  )
  assert count < pack(adv)[1]
  part, fewer = step(rows, count, own=True)
  assert fewer['loss'] == pytest.approx(float(metrics['loss']), rel=1e-5)
  assert_trees_close(gradient(part), gradient(whole))


def test_an_update_of_nothing_has_no_gradient():
  rows, count = pack(np.float32([]), samples=[], weights=[], capacity=6)
  assert count == 0
  state, metrics = step(rows, count)
  assert (metrics['loss'], metrics['grad_norm']) == (0, 0)
  assert_trees_close(state.params, before()[0], rtol=0, atol=0)
  assert (state.step, state.skipped) == (1, 0)


def test_reading_rows_gives_the_entropy_that_their_update_gives():
  rows, count = pack()
  read = compiled(update.compute_logprobs, RECIPE)
  _, found = read(before()[0], rows, count)
  _, metrics = step(rows, count, own=True)
  assert found['tokens_sum'] == metrics['tokens_sum'] == sum(LENGTHS)
  entropy = float(metrics['entropy_sum'])
  assert 0 < entropy < sum(LENGTHS) * np.log(SHAPE.vocab)
  assert found['entropy_sum'] == pytest.approx(entropy, rel=1e-5)


def test_metrics_of_several_updates_are_joined_over_two_epochs():
  updates = [
    dict(loss=1.0, grad_norm=2.0, tokens_sum=10.0, clip_sum=2.0, ratio_max=1.5),
    dict(loss=2.0, grad_norm=4.0, tokens_sum=10.0, clip_sum=4.0, ratio_max=1.2),
  ]
  # 10 tokens learned from in each epoch and 30 that were only read.
  read = [dict(tokens_sum=30.0), dict(tokens_sum=10.0)]
  joined = update.merge_metrics(updates, read, epochs=2)
  mean = dict(loss=1.5, grad_norm=3.0)
  assert joined == mean | dict(tokens_sum=40.0, clip_sum=3.0, ratio_max=1.5)
  assert updates[0]['loss'] == 1.0


@pytest.mark.slow
def test_a_loss_gets_the_entropy_that_it_names():
  bonus = functools.partial(losses.entropy_bonus, low=0.2, high=0.28, bonus=1.0)
  recipe = builders.tiny_recipe(SHAPE, bonus, extra=('entropy',))
  rows, count = pack(np.zeros(6, np.float32), extra=('entropy',))
  # An array of the rows with that name is not used.
  rows.extra['entropy'][:] = 99
  rows = rows.replace(mask=(rows.mask > 0).astype(np.float32))
  _, metrics = step(rows, count, recipe=recipe, own=True)
  assert 0 < metrics['entropy_sum'] < sum(LENGTHS) * np.log(SHAPE.vocab)
  loss = -metrics['entropy_sum'] / DENOM
  assert metrics['loss'] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.slow
def test_a_loss_gets_the_reference_log_probabilities_that_it_names():
  kl = functools.partial(losses.grpo_kl, low=0.2, high=0.28, beta=1.0)
  recipe = builders.tiny_recipe(SHAPE, kl, extra=('ref_logp',))
  rows, count = pack(np.zeros(6, np.float32), extra=('ref_logp',))
  logprobs = compiled(update.compute_logprobs, RECIPE)
  found = []
  for start in before():
    ref = np.asarray(logprobs(start, rows, count)[0])
    given = rows.replace(extra={'ref_logp': ref})
    found.append(step(given, count, recipe=recipe, own=True)[1])
  assert found[0]['loss'] == pytest.approx(0, abs=1e-5)
  assert found[1]['loss'] > 1e-4
  assert found[1]['kl_sum'] > 1e-3


def test_the_denominator_is_a_scalar():
  rows, count = pack()
  with pytest.raises(ValueError, match='do not fit'):
    compiled(update.update, RECIPE)(
      steps.new_state(before()[0], RECIPE.tx),
      rows,
      count,
      np.ones(3, np.float32),
      np.bool_(True),
      np.bool_(True),
    )
