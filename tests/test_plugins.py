"""The contract of each family, tested with every plug-in.

Each plug-in has a line of settings here; schedules have theirs in
schedule_presets.py. A plug-in without a line fails.
"""

import functools
import inspect

import builders
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import config_dict

from siri_jax import plugins
from siri_jax.algorithm import losses, schedule_presets
from siri_jax.config import outlook, plan
from siri_jax.rollout import rewarded
from siri_jax.runtime import progress

CLIP = dict(low=0.2, high=0.28)
LASER = dict(lowest=2, highest=8, interval=2, bonus=0.5)
SETTINGS = {
  'schedule': schedule_presets.presets(low=32, high=64, period=16),
  'reward': dict(
    length_capped={},
    recorded={},
    overlong_buffer=dict(buffer=4, factor=0.5),
    lcpo_exact=dict(alpha=0.01),
    lcpo_max=dict(alpha=0.01, delta=0.5),
    answer_score=dict(right=1.0, wrong=-0.5, unanswered=-1.0),
    truncation_scaled=dict(scale=0.5),
    cosine_length=dict(right=(1.0, 0.5), wrong=(-1.0, -0.5)),
    length_bonus=dict(
      target=4, bonus=0.5, right=1.0, wrong=-0.5, unanswered=-1.0
    ),
    range_in_group=dict(weight=0.4),
    sigmoid_in_group=dict(alpha=0.1),
    decay_in_group=dict(
      alpha=0.05, least=2.0, right=1.0, wrong=-1.0, unanswered=0.0
    ),
  ),
  'budget': dict(
    step_cap={},
    length_target=dict(
      low=2, high=9, note='{target}', most_note='<{target}', most_share=0.5
    ),
    cap_in_prompt=dict(system='', note='{cap}'),
    opened_thought=dict(opening='...'),
    thinking_and_solution=dict(thinking=5, solution=2, close='</think>'),
    in_chunks=dict(context=6, carried=4, head=1),
  ),
  'text_rewards': dict(
    think_format=dict(close='</think>', answer=''),
    repetition_penalty=dict(size=3),
    against_shortest=dict(floor=-0.7),
    thought_or_none=dict(
      close='</think>', starts=(0,), balance=(1.0,), alpha=(0.0,), beta=(0.0,)
    ),
    laser_d=LASER,
    laser_de=LASER,
  ),
  'advantage': dict(
    mean_std=dict(eps=1e-6),
    mean_only={},
    unchanged={},
    leave_one_out={},
    maxent_guided=dict(eps=1e-6, strength=1.0),
    difficulty_weighted=dict(
      eps=1e-6, low=0.4, high=1.5, middle=0.75, steepness=10.0
    ),
    sign_balanced=dict(right=1.0, wrong=0.5),
  ),
  'aggregation': dict(
    sequence_mean={},
    token_mean={},
    constant_denominator=dict(tokens=64),
  ),
  'loss': dict(
    clip_higher=CLIP,
    dual_clip=dict(**CLIP, bound=3.0),
    grpo_kl=dict(**CLIP, beta=0.1),
    entropy_bonus=dict(**CLIP, bonus=0.01),
    truncated_importance=dict(**CLIP, cap=2.0),
    sequence_ratio=CLIP,
    clipped_weight=CLIP,
    control_token=dict(**CLIP, beta=0.1, alpha=0.001),
    supervised={},
    simpo=dict(beta=2.0, gamma=1.0),
    dpo=dict(beta=0.1),
  ),
}

LOOPS = [n for n in SETTINGS['schedule'] if outlook.is_loop(n)]


def twins(family):
  return pytest.mark.parametrize('name', SETTINGS[family])


def bound(family, name):
  extra = losses.EXTRA if family == 'loss' else ()
  return plugins.find(family, name, SETTINGS[family][name], extra)


def taking_the_batch(name):
  """An advantage as the plan binds it: (rewards, batch) -> advantages."""
  kw = config_dict.ConfigDict(SETTINGS['advantage'][name])
  c = config_dict.ConfigDict({'advantage': name, 'advantage_kw': kw})
  return plan.bound(c, 'advantage')


@pytest.mark.parametrize('family', SETTINGS)
def test_every_plugin_has_its_settings_line(family):
  assert set(plugins.names(family)) == set(SETTINGS[family])


@pytest.mark.parametrize('family', SETTINGS)
def test_no_setting_has_a_default(family):
  for name in plugins.names(family):
    plugin = plugins.function(family, name)
    parameters = inspect.signature(plugin).parameters.values()
    assert [p.name for p in parameters if p.default is not p.empty] == []


@pytest.mark.parametrize('family', SETTINGS)
def test_every_docstring_names_arguments_results_and_errors(family):
  for name in plugins.names(family):
    text = plugins.function(family, name).__doc__
    for part in ('Args:', 'Returns:', 'Raises:'):
      assert part in text, (name, part)


@pytest.mark.parametrize('name', sorted(SETTINGS['schedule'].keys() - LOOPS))
def test_a_schedule_is_a_traceable_function_of_the_step(name):
  schedule = bound('schedule', name)
  steps = np.arange(40, dtype=np.int32)
  caps = jax.jit(jax.vmap(schedule))(steps)
  one = jax.jit(schedule)(steps[7])
  assert (one.dtype, one.shape) == (jnp.int32, ())
  assert int(one) == caps[7] == int(schedule(7))
  assert 32 <= min(caps) <= max(caps) <= 64


@pytest.mark.parametrize('name', LOOPS)
def test_a_closed_loop_is_a_traceable_function_of_its_state(name):
  schedule, start = bound('schedule', name), progress.start()
  cap, state = jax.jit(schedule)(7, start.cap_state, start.seen)
  assert (cap.dtype, cap.shape, int(cap)) == (jnp.int32, (), 64)
  found, blank = jax.tree.leaves(state), jax.tree.leaves(start.cap_state)
  assert [(x.dtype, x.shape) for x in found] == [
    (x.dtype, x.shape) for x in blank
  ]
  # The first cap is the highest; a measurement moves none that is not known.
  again, _ = schedule(8, state, start.seen)
  assert int(again) == 64
  assert bool(state.compressing)


@twins('reward')
def test_a_reward_scores_every_sample(name):
  reward = bound('reward', name)
  target = np.full(3, 3, np.int32)
  batch = builders.make_batch(
    [3, 8, 12],
    [True, True, False],
    cap=10,
    target=target,
    weight=np.float32([1, 0.5, -1]),
  )
  scores = jax.jit(reward)(batch)
  assert (scores.dtype, scores.shape) == (jnp.float32, (3,))
  assert np.isfinite(scores).all()
  np.testing.assert_array_equal(reward(batch), scores)
  # A right answer well under the cap has the highest reward.
  assert scores[0] == max(scores) > 0


@twins('budget')
def test_a_budget_is_within_the_cap_and_the_same_each_time(name):
  budget, problem = bound('budget', name), builders.make_problem()
  for cap in (4, 5, 10):
    for uniforms in (np.zeros(3), np.full(3, 0.999), np.array([0.7, 0.1, 0.4])):
      found = budget(problem, cap, uniforms)
      assert len(found) == 3
      assert found == budget(problem, cap, uniforms)
      assert all(1 <= asked.cap <= cap for asked in found)
      assert all(0 <= asked.target <= cap for asked in found)
      words = {str(number) for asked in found for number in (asked.target, cap)}
      assert {asked.note.lstrip('<') for asked in found} <= {*words, ''}


@twins('text_rewards')
def test_a_text_reward_scores_every_sample_by_itself(name):
  reward = bound('text_rewards', name)
  texts = ['so 1 </think> 1', 'so so so so so so so </think> 1', '']

  def scores(texts):
    group = builders.make_group(builders.make_problem(), texts)
    arrays = rewarded.make_batch([group], cap=8)
    batch = rewarded.make_text_batch([group], arrays, step=0)
    inputs = len(plugins.inputs_of(plugins.function('text_rewards', name)))
    if inputs == 1:
      return reward(batch)
    found, memory = reward(batch, {}, *[batch] * (inputs == 3))
    assert set(memory) <= {group.problem.id, ''}
    return found

  found = scores(texts)
  assert np.shape(found) == (3,)
  assert np.isfinite(found).all()
  assert found[0] == max(found)
  assert scores(texts[::-1]) == found[::-1]


COMPARING = sorted(SETTINGS['advantage'].keys() - {'unchanged'})


@pytest.mark.parametrize('name', COMPARING)
def test_an_advantage_compares_the_samples_of_a_group(name):
  advantage = taking_the_batch(name)
  rewards = np.float32([[1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 1]])
  batch = builders.make_batch([3] * 12, rewards.ravel() > 0, cap=10)
  found = jax.jit(advantage)(rewards, batch)
  assert (found.dtype, found.shape) == (jnp.float32, (3, 4))
  np.testing.assert_allclose(found, advantage(rewards, batch), rtol=1e-6)
  assert (found[1] == 0).all()
  assert ((found > 0) == (rewards > rewards.mean(1, keepdims=True))).all()
  # An advantage does not depend on the order of samples.
  turned = batch.replace(correct=batch.correct[::-1])
  again = advantage(rewards[::-1, ::-1], turned)[::-1, ::-1]
  np.testing.assert_allclose(found, again, rtol=1e-6)


WITHIN = sorted(SETTINGS['advantage'].keys() - {'sign_balanced'})


@pytest.mark.parametrize('name', WITHIN)
def test_an_advantage_does_not_depend_on_other_groups(name):
  advantage = taking_the_batch(name)
  rewards = np.float32([[1, 0, 0, 1], [0, 0, 0, 1]])
  batch = builders.make_batch([3] * 8, rewards.ravel() > 0, cap=10)
  other = builders.make_batch([3] * 4, rewards[1] > 0, cap=10)
  np.testing.assert_allclose(
    advantage(rewards, batch)[1:], advantage(rewards[1:], other), rtol=1e-6
  )


CENTRED = sorted(set(WITHIN) - {'difficulty_weighted', 'unchanged'})


@pytest.mark.parametrize('name', CENTRED)
def test_a_groups_advantages_add_up_to_0(name):
  rewards = np.float32([[1, 0, 0, 1], [0, 0, 0, 1]])
  batch = builders.make_batch([3] * 8, rewards.ravel() > 0, cap=10)
  found = taking_the_batch(name)(rewards, batch)
  np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-6)


@twins('aggregation')
def test_an_aggregation_gives_token_weights_and_one_denominator(name):
  aggregation = bound('aggregation', name)
  lengths = np.int32([2, 5, 64])
  weights, denom = jax.jit(aggregation)(lengths)
  assert (weights.dtype, weights.shape) == (jnp.float32, (3,))
  assert (denom.dtype, denom.shape) == (jnp.float32, ())
  assert weights.min() > 0
  # Losses of 1 at every token give at most 1.
  assert 0 < float((weights * lengths).sum() / denom) <= 1
  again, same = aggregation(lengths[::-1])
  np.testing.assert_allclose(again[::-1], weights, rtol=1e-6)
  assert same == denom


def loss_arguments(name, tokens=12, seed=0):
  """Random arrays [2, tokens]; about half of the weights are 0."""
  rng = np.random.default_rng(seed)
  logp, old, adv, ref, entropy = rng.normal(-1, 0.4, (5, 2, tokens))
  mask = np.where(rng.random((2, tokens)) < 0.5, 0.25, 0.0)
  given = {'ref_logp': ref, 'sampler_logp': old, 'entropy': -entropy}
  # Two pairs in a row; a sum over one has nothing of the other.
  numbers = np.repeat([1, 2, 3, 4], [2, 3, 4, 3])
  given['segments'] = np.broadcast_to(numbers, (2, 12))
  given['pairs'] = (given['segments'] + 1) // 2
  takes = plugins.settings_of(plugins.function('loss', name))
  extra = {k: np.float32(v) for k, v in given.items() if k in takes}
  return [np.float32(x) for x in (logp, old, adv, mask)], extra


@functools.cache
def jitted(name):
  return jax.jit(jax.value_and_grad(bound('loss', name), has_aux=True))


def value_and_gradient(name, arrays, extra):
  """The loss, its gradient in logp, and its metrics as floats."""
  out = jitted(name)(*arrays, np.float32(3), **extra)
  (value, metrics), gradient = jax.device_get(out)
  return value, gradient, {key: float(x) for key, x in metrics.items()}


@twins('loss')
def test_a_loss_is_a_scalar_with_summable_metrics(name):
  arrays, extra = loss_arguments(name)
  (value, metrics), gradient = jitted(name)(*arrays, np.float32(3), **extra)
  assert (value.dtype, value.shape) == (jnp.float32, ())
  assert np.abs(gradient).max() > 0
  for key, metric in metrics.items():
    assert key.endswith(('_sum', '_max')), key
    assert (metric.dtype, metric.shape) == (jnp.float32, ()), key


@twins('loss')
def test_a_loss_is_the_sum_of_its_parts(name):
  arrays, extra = loss_arguments(name)
  whole, gradient, metrics = value_and_gradient(name, arrays, extra)
  *others, mask = arrays
  parts = [
    value_and_gradient(name, [*others, np.where(part, mask, 0)], extra)
    for part in (np.arange(12) < 5, np.arange(12) >= 5)  # Whole sequences.
  ]
  assert sum(p[0] for p in parts) == pytest.approx(whole, rel=1e-5)
  np.testing.assert_allclose(sum(p[1] for p in parts), gradient, rtol=1e-5)
  for key, metric in metrics.items():
    join = sum if key.endswith('_sum') else max
    assert join(p[2][key] for p in parts) == pytest.approx(metric)


@twins('loss')
def test_padding_changes_neither_value_nor_gradient_of_a_loss(name):
  arrays, extra = loss_arguments(name)
  value, gradient, metrics = value_and_gradient(name, arrays, extra)
  pad = functools.partial(np.pad, pad_width=[(0, 3), (0, 5)])
  padded = value_and_gradient(
    name, [pad(x) for x in arrays], {k: pad(x) for k, x in extra.items()}
  )
  np.testing.assert_allclose(padded[0], value, rtol=1e-6)
  np.testing.assert_allclose(padded[1], pad(gradient), rtol=1e-6)
  assert padded[2] == pytest.approx(metrics)


@twins('loss')
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_masked_values_do_not_change_a_loss(name, bad):
  arrays, extra = loss_arguments(name)
  expected = value_and_gradient(name, arrays, extra)
  masked = arrays[3] == 0

  def spoil(x):
    return np.where(masked, np.float32(bad), x)

  logp, old, adv, mask = arrays
  found = value_and_gradient(
    name,
    [spoil(logp), spoil(old), adv, mask],
    {k: spoil(x) for k, x in extra.items()},
  )
  np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
  np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)
  assert found[2] == pytest.approx(expected[2])


@twins('loss')
def test_a_loss_refuses_arrays_of_different_shapes(name):
  arrays, extra = loss_arguments(name)
  for i in range(4):
    wrong = [x[:1] if i == j else x for j, x in enumerate(arrays)]
    with pytest.raises(ValueError, match='do not fit'):
      bound('loss', name)(*wrong, np.float32(1), **extra)
