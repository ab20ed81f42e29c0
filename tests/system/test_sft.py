"""SFT: the gate, the cache, and bit-exact resuming."""

import jax
import numpy as np
import pytest
import tiny

from siri_jax import compiled, sft
from siri_jax.data import arithmetic, arithmetic_audit
from siri_jax.models import decoder
from siri_jax.models.hf import initial
from siri_jax.runtime import stopwatch


class Screen:
  """Records its calls."""

  def __init__(self):
    self.said = []

  def say(self, text):
    self.said.append(text)

  def working(self, word, done=0, total=0, note=''):
    pass


class Asked:
  """A signal that comes before step `at` + 1."""

  def __init__(self, at=-1):
    self._left = at

  @property
  def asked(self):
    self._left -= 1
    return self._left == -1

  def stop(self):
    raise stopwatch.StopRequested


def config(folder, **sft_kw):
  c = tiny.get_config()
  c.cache_dir = str(folder)
  c.sft_kw = dict(
    steps=12,
    rounds=2,
    gate=dict(copied=0.0, looked_up=0.0),
    rows=2,
    row_tokens=160,
    tokens=128,
    skill_weight=3.0,
    learning_rate=0.01,
    adam_learning_rate=4e-3,
    warmup_steps=2,
    adam_b2=0.98,
  )
  c.sft_kw.update(sft_kw)
  return c


def warmed(c, signals=None):
  """(parameters, messages)."""
  task = arithmetic.task(seed=0, problems=8, held_out=8)
  shape = initial.shape_of(c, task.vocab)
  fresh = decoder.init(jax.random.key(c.seed), shape)
  screen = Screen()
  params = sft.parameters(c, task, shape, fresh, screen, signals or Asked())
  return params, screen.said


@pytest.fixture(scope='module')
def compiled_once():
  """One compilation for all tests here: they differ only in data."""

  def once(make):
    made = []

    def get(*args):
      if not made:
        made.append(make(*args))
      return made[0]

    return get

  with pytest.MonkeyPatch.context() as patch:
    for name in ('compile_update', 'compile_logprobs'):
      patch.setattr(compiled, name, once(getattr(compiled, name)))
    yield


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory, compiled_once):
  """An uninterrupted SFT: its config, parameters and messages."""
  c = config(tmp_path_factory.mktemp('cache'))
  return c, *warmed(c)


def assert_same_bits(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.slow
def test_the_gate_runs_after_a_round_and_prints_its_values(unbroken):
  _, _, said = unbroken
  assert len(said) == 1
  assert said[0].startswith('SFT after 12 steps: copied 0.')
  assert 'looked_up 0.' in said[0]


@pytest.mark.slow
def test_the_next_run_finds_the_parameters_in_the_cache(unbroken):
  c, params, _ = unbroken
  again, said = warmed(c)
  assert said == []
  assert_same_bits(again, params)


@pytest.mark.slow
def test_an_interrupted_sft_ends_with_the_same_bits(unbroken, tmp_path):
  c = config(tmp_path)
  with pytest.raises(stopwatch.StopRequested):
    warmed(c, Asked(7))
  assert list(tmp_path.rglob('000007')), 'nothing was saved to go on from'
  assert_same_bits(warmed(c)[0], unbroken[1])


@pytest.mark.slow
def test_other_settings_have_another_cache_entry(unbroken):
  c, params, _ = unbroken
  other, said = warmed(config(c.cache_dir, skill_weight=1.0))
  assert len(said) == 1
  assert not np.array_equal(other['embed'], params['embed'])


@pytest.mark.slow
def test_a_policy_that_does_not_pass_is_refused_after_the_last_round(
  unbroken, tmp_path
):
  c = config(tmp_path, gate=dict(copied=0.0, looked_up=1.1))
  with pytest.raises(sft.UnfitError, match='2 rounds of 12 steps'):
    warmed(c)
  with pytest.raises(sft.UnfitError):
    warmed(c)


@pytest.mark.parametrize('row_tokens', [138, 512])
def test_a_window_fills_the_rows_of_its_steps(tmp_path, row_tokens):
  c = config(tmp_path, row_tokens=row_tokens)
  task = arithmetic.task(seed=0, problems=8, held_out=8)
  rows = sft._window(c, task, 3)
  assert rows.tokens.shape == (sft.WINDOW_STEPS, 1, 2, row_tokens)
  assert np.mean(rows.segments > 0) > 0.8


def test_operands_and_first_checks_weigh_more_and_prompts_nothing(tmp_path):
  c = config(tmp_path)
  task = arithmetic.task(seed=0, problems=8, held_out=8)
  rows = sft._window(c, task, 0)
  role = arithmetic_audit.roles(rows.tokens)[..., 1:]
  learned = rows.mask[..., :-1]
  assert set(np.unique(rows.mask)) == {0.0, 1.0, 3.0}
  assert np.all(role[learned == 3] > 0)
  assert np.all(role[learned == 1] == 0)
  prompts = rows.positions < task.longest - 1
  assert np.all(rows.mask[prompts] == 0)
