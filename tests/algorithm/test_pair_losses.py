"""Losses of pairs in packed rows: against PyTorch, and where pairs lie."""

import builders
import jax
import numpy as np
import pytest

from siri_jax.algorithm import losses, packing, pair_losses

torch = pytest.importorskip('torch')

LENGTHS = [5, 3, 1, 7, 4, 2, 6, 6]  # Of four pairs, the preferred one first.
SIGNS = np.tile(np.float32([1, -1]), 4)


def packed(lengths=LENGTHS, advantages=SIGNS, **changes):
  given = dict(row_tokens=24, micro_batch_rows=4) | changes
  samples = builders.random_samples(lengths, vocab=9, prompt=2)
  rows, used = packing.pack(
    samples,
    1 / np.float32(lengths),
    advantages,
    builders.fit(**given),
    together=2,
  )
  return samples, rows, used


def test_both_responses_of_a_pair_are_in_one_row():
  samples, rows, used = packed()
  assert used == 1
  kept = [tuple(np.r_[s.prompt_ids, s.response_ids]) for s in samples]
  places = []
  for number, ids in enumerate(rows.tokens[0]):
    for segment in range(1, rows.segments[0, number].max() + 1):
      own = ids[rows.segments[0, number] == segment]
      places.append((number, segment, kept.index(tuple(own))))
  assert sorted(place for *_, place in places) == list(range(8))
  at = {place: (number, segment) for number, segment, place in places}
  for chosen in range(0, 8, 2):
    (row, first), (same, second) = at[chosen], at[chosen + 1]
    assert (row, first + 1) == (same, second)
    assert first % 2 == 1  # So that (segment + 1) // 2 numbers the pairs.
  assert len({row for row, _ in at.values()}) < 4  # Several pairs in a row.


def test_a_row_has_no_padding_between_pairs_and_room_for_a_pair_each():
  _, rows, _ = packed()
  for segments in rows.segments[0]:
    tokens = int((segments > 0).sum())
    assert (segments[:tokens] > 0).all()
  assert rows.tokens.shape == (1, 4, 24)


def test_a_pair_longer_than_a_row_is_refused():
  with pytest.raises(ValueError, match='do not fit a row of 10'):
    packed(row_tokens=10)


def laid(arrays, rows):
  """Arrays of the responses at their places in packed rows."""
  out = np.zeros(rows.mask.shape, np.float32)
  # The weights 1 / length, signs and row order tell where a response lies.
  samples, *_ = packed()
  for sample, values in zip(samples, arrays, strict=True):
    ids = np.r_[sample.prompt_ids, sample.response_ids]
    for row in np.ndindex(rows.tokens.shape[:2]):
      for segment in range(1, rows.segments[row].max() + 1):
        own = np.flatnonzero(rows.segments[row] == segment)
        if own.size == ids.size and (rows.tokens[row][own] == ids).all():
          out[row][own[sample.prompt_ids.size - 1 : -1]] = values
  return out


def random_values(seed):
  rng = np.random.default_rng(seed)
  return [np.float32(rng.normal(-1, 0.5, n)) for n in LENGTHS]


def of_ours(name, logp, old, **kw):
  """Value and slopes by token of a loss over the packed pairs."""
  _, rows, _ = packed()
  extra = {'segments': rows.segments, 'pairs': (rows.segments + 1) // 2}
  if name == 'dpo':
    extra.pop('segments')
  if name == 'supervised':
    extra = {}
  module = losses if name == 'supervised' else pair_losses
  run = jax.jit(
    jax.value_and_grad(
      lambda x: getattr(module, name)(
        *(x, laid(old, rows), rows.adv, rows.mask, np.float32(8)), **extra, **kw
      )[0]
    )
  )
  value, slopes = run(laid(logp, rows))
  slopes = np.asarray(slopes)
  assert not np.any(slopes[rows.mask == 0])
  return float(value), slopes, rows


def of_torch(loss, logp, old):
  """The same of a plain loss of lists of tensors."""
  leaves = [torch.tensor(x, requires_grad=True) for x in logp]
  value = loss(leaves, [torch.tensor(x) for x in old])
  value.backward()
  return value.item(), [leaf.grad.numpy() for leaf in leaves]


def simpo(logp, _, *, beta, gamma):
  means = torch.stack([x.mean() for x in logp])
  apart = means[::2] - means[1::2]
  ratio = gamma / beta  # gamma_beta_ratio of princeton-nlp/SimPO.
  return -torch.nn.functional.logsigmoid(beta * (apart - ratio)).mean()


def dpo(logp, old, *, beta):
  ratios = torch.stack([(x - y).sum() for x, y in zip(logp, old, strict=True)])
  apart = ratios[::2] - ratios[1::2]
  return -torch.nn.functional.logsigmoid(beta * apart).mean()


def weighted_likelihood(logp, _):
  means = torch.stack([x.mean() for x in logp])
  return -(torch.tensor(SIGNS) * means).mean()


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize(
  ('name', 'plain', 'kw'),
  [
    ('simpo', simpo, dict(beta=2.5, gamma=1.3)),
    ('dpo', dpo, dict(beta=0.3)),
    ('supervised', weighted_likelihood, {}),
  ],
)
def test_value_and_gradient_are_those_of_pytorch(name, plain, kw, seed):
  logp, old = random_values(seed), random_values(seed + 10)
  value, slopes, rows = of_ours(name, logp, old, **kw)
  wanted, grads = of_torch(lambda *x: plain(*x, **kw), logp, old)
  assert value == pytest.approx(wanted, rel=1e-5)
  np.testing.assert_allclose(slopes, laid(grads, rows), rtol=1e-4, atol=1e-7)


def test_simpo_of_one_pair_by_hand():
  # Means -1 and -3: a margin of 2 * 2 = 4, and -log sigmoid(4 - 1).
  logp = np.float32([[-1, -1, -2, -4, 0]])
  numbers = np.int32([[1, 1, 2, 2, 0]])
  mask = np.float32([[0.5, 0.5, 0.5, 0.5, 0]])
  adv = np.float32([[1, 1, -1, -1, 0]])
  value, metrics = pair_losses.simpo(
    *(logp, logp, adv, mask, np.float32(2)),
    segments=numbers,
    pairs=np.sign(numbers),
    beta=2.0,
    gamma=1.0,
  )
  assert value == pytest.approx(np.log1p(np.exp(-3.0)), rel=1e-6)
  assert metrics == {'margin_sum': 16, 'ranked_sum': 4}  # Over four tokens.


def test_dpo_starts_at_log_two_and_ranks_nothing():
  logp = random_values(0)
  value, slopes, _ = of_ours('dpo', logp, logp, beta=0.1)
  assert value == pytest.approx(np.log(2.0), rel=1e-6)
  assert np.abs(slopes).max() == pytest.approx(0.1 / 2 / 4, rel=1e-5)
