"""What is learned from a batch: its readings, and programs compiled ahead."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

from siri_jax import learner
from tests.helpers import batches, tiny

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
  'changes',
  [
    {'minibatches': 1},
    {'minibatches': 2},
    {'off_policy_steps': 1},
    {'loss': 'grpo_kl', 'loss_kw.beta': 0.1, 'minibatches': 1},
  ],
)
def test_a_batch_finds_its_programs_compiled_ahead(
  changes, tmp_path, cache, caplog
):
  with tiny.opened(tmp_path, cache, **changes) as (ctx, state, _):
    samples, advantages = batches.of_step(ctx, state)
    learner.compile_ahead(ctx, state)
    ctx.programs.update.wait()
    ctx.programs.logprobs.wait()
    with jax.log_compiles():
      learner.train_on_batch(ctx, state, samples, advantages)
  compiled = re.findall(r'XLA compilation of jit\((\w+)\)', caplog.text)
  assert {'update', 'compute_logprobs'} & {*compiled} == set()


def test_each_sample_is_measured_once_by_the_policy_before_its_updates(
  tmp_path, cache
):
  with tiny.opened(tmp_path, cache) as (ctx, state, _):
    samples, advantages = batches.of_step(ctx, state)
    advantages[3:7] = 0  # Idle: read, and not learned from.
    logprobs, plan, read, found = ctx.programs.logprobs, ctx.plan, [], []

    def counted(*args):
      read.append(args)
      return logprobs(*args)

    ctx.programs = ctx.programs._replace(logprobs=counted)
    # Old log-probabilities are read for later updates alone.
    for minibatches, epochs, reads in [(1, 1, 1), (2, 1, 2), (1, 2, 2)]:
      read.clear()
      plan.c.epochs = epochs
      ctx.plan = dataclasses.replace(plan, minibatch=16 // minibatches)
      start = jax.tree.map(jnp.copy, state)
      _, metrics = learner.train_on_batch(ctx, start, samples, advantages)
      found.append(metrics)
      assert len(read) == reads
  tokens = sum(s.response_ids.size for s in samples)
  for metrics in found:
    assert metrics['tokens_sum'] == metrics['sampler_told_sum'] == tokens
    for name in ('entropy_sum', 'sampler_gap_sum', 'sampler_gap_max'):
      assert metrics[name] == pytest.approx(found[0][name], rel=1e-4), name


def test_a_batch_without_idle_samples_is_not_read_for_its_first_update(
  tmp_path, cache
):
  with tiny.opened(tmp_path, cache, minibatches=1) as (ctx, state, _):
    samples, advantages = batches.of_step(ctx, state)
    assert advantages.all()
    ctx.programs = ctx.programs._replace(logprobs=None)
    _, metrics = learner.train_on_batch(ctx, state, samples, advantages)
  tokens = sum(s.response_ids.size for s in samples)
  assert metrics['tokens_sum'] == metrics['sampler_told_sum'] == tokens
