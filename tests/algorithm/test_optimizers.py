"""The optimiser against a step by hand and against PyTorch."""

import builders
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from siri_jax.algorithm import optimizers

SETTINGS = dict(
  learning_rate=0.01,
  warmup_steps=0,
  b1=0.9,
  b2=0.999,
  eps=1e-8,
  weight_decay=0.1,
  clip_norm=1.0,
)


def steps(params, gradients, **changes):
  """The parameters after each gradient."""
  tx = optimizers.adamw(**{**SETTINGS, **changes})
  state, out = tx.init(params), []
  for gradient in gradients:
    deltas, state = tx.update(gradient, state, params)
    params = optax.apply_updates(params, deltas)
    out.append(params)
  return out


def test_the_first_step_by_hand():
  # Bias-corrected, the first moment over the second's root is the sign.
  params = jnp.float32([2.0, -1.0])
  (found,) = steps(params, [jnp.float32([0.3, -0.4])])
  by_hand = params - 0.01 * (np.float32([1, -1]) + 0.1 * params)
  np.testing.assert_allclose(found, by_hand, rtol=1e-6)


def test_a_gradient_is_clipped_by_its_global_norm():
  # The norm of all parameters together is 13: both are divided by 13.
  params = {'a': jnp.zeros(2), 'b': jnp.zeros(1)}
  long = {'a': jnp.float32([3, 4]), 'b': jnp.float32([12])}
  unit = jax.tree.map(lambda g: g / 13, long)
  # A large eps, because otherwise Adam's step ignores the gradient's size.
  found = steps(params, [long], eps=1.0)
  expected = steps(params, [unit], eps=1.0)
  assert jax.tree.all(jax.tree.map(jnp.allclose, found, expected))
  free = steps(params, [long], eps=1.0, clip_norm=13.0)
  assert not jax.tree.all(jax.tree.map(jnp.allclose, found, free))


def test_five_steps_are_those_of_pytorch():
  rng = np.random.default_rng(0)
  start = rng.normal(size=(3, 4)).astype(np.float32)
  # Some of these are longer than the clip, some shorter.
  gradients = [
    (scale * rng.normal(size=(3, 4))).astype(np.float32)
    for scale in (1, 0.01, 0.2, 3, 0.05)
  ]
  theirs = torch.nn.Parameter(torch.tensor(start))
  adamw = torch.optim.AdamW(
    [theirs], lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1
  )
  for gradient, ours in zip(gradients, steps(start, gradients), strict=True):
    theirs.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    adamw.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize('warmup', [1, 4])
def test_the_rate_rises_evenly_over_the_warm_up(warmup):
  # With a constant gradient, Adam's steps have the length of the rate.
  gradients = [jnp.float32([0.5])] * 6
  path = steps(
    jnp.float32([0]), gradients, warmup_steps=warmup, weight_decay=0.0
  )
  lengths = -np.diff(np.concatenate([[0.0], *path]))
  expected = 0.01 * np.minimum(np.arange(1, 7) / warmup, 1)
  np.testing.assert_allclose(lengths, expected, rtol=1e-4)


@pytest.mark.slow
def test_muon_turns_a_matrix_gradient_into_even_steps_and_adam_the_rest():
  shape = builders.tiny_shape(layers=2)
  params = builders.lively(shape)
  gradients = builders.lively(shape, seed=1)
  tx = optimizers.muon(
    learning_rate=0.01,
    adam_learning_rate=0.003,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    clip_norm=1e9,
  )
  deltas, _ = jax.jit(tx.update)(gradients, jax.jit(tx.init)(params), params)
  by_adam = {name: deltas[name] for name in ('embed', 'head', 'norm')}
  by_muon = dict(deltas['layers'])
  for name in list(by_muon):
    if name.endswith(('norm', 'bias')):
      by_adam[name] = by_muon.pop(name)
  # Adam's first step has the sign of the gradient; Nesterov's look-ahead makes
  # it 1.5 times the rate.
  for name, delta in by_adam.items():
    gradient = gradients['layers'].get(name, gradients.get(name))
    even = -0.003 * (1 + 0.09 / 0.19) * np.sign(gradient)
    np.testing.assert_allclose(delta, even, rtol=1e-3)
  # Muon's step is the gradient with singular values near 1.
  rows = {'o': shape.heads * shape.head_dim, 'down': shape.mlp}
  for name, delta in by_muon.items():
    for layer, step in enumerate(np.asarray(delta)):
      matrix = step.reshape(rows.get(name, shape.dim), -1)
      scale = 0.01 * max(1, matrix.shape[1] / matrix.shape[0]) ** 0.5
      values = np.linalg.svd(matrix / scale, compute_uv=False)
      assert 0.5 < values.min() <= values.max() < 1.3, name
      gradient = gradients['layers'][name][layer].reshape(matrix.shape)
      assert np.sum(matrix * gradient) < 0, name
