"""A run whose programs have the real shapes and almost no mathematics.

`jax.jit`, the engine, the packing, the schedule and the loop are the real ones.
The policy's forward passes are replaced by draws and constants, so that a
program compiles in milliseconds. How often it is compiled is a matter of shapes
alone.
"""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from siri_jax import build, compiled, context, trainer
from siri_jax.algorithm import update
from siri_jax.config import recipe as recipes
from siri_jax.data import load, shuffling
from siri_jax.grading import verdict
from siri_jax.models import decode
from siri_jax.models.hf import initial
from siri_jax.rollout import rewarded
from siri_jax.runtime import distributed, progress

SUMS = ('entropy_sum', 'tokens_sum')
METRICS = (*SUMS, 'loss', 'grad_norm')


def no_prefill(params, ask, *, shape, slots, columns, block):
  """decode.prefill without a cache."""
  rows, none = ask.prompts.shape[0], jnp.zeros(slots, jnp.int32)
  return decode.DecodeState(
    *((), (), jnp.zeros((rows, columns, 2))),
    *(jnp.int32(0), jnp.int32(0), none - 1, none, none),
    jnp.zeros((rows, columns), jnp.int32),
    jnp.zeros((rows, columns)),
    *(jnp.zeros(rows, jnp.int32), jnp.zeros(rows, bool)),
  )


def no_decode(params, ask, state, fewest, *, shape, eos_ids, stretch, attend):
  """decode.decode_steps with made-up responses; half reach the cap."""
  rows, columns = state.responses.shape
  # In place of draws, whose programs take longer to compile.
  drawn = ask.identity @ jnp.uint32([7919, 104_729]) + 31 * jnp.sum(ask.seeds)
  ids = (drawn[:, None] + jnp.arange(columns, dtype=jnp.uint32)) * 40_503
  ids = (ids % shape.vocab).astype(jnp.int32)
  ids = jnp.where(jnp.isin(ids, jnp.asarray(eos_ids)), 0, ids)
  lengths = 1 + (drawn % (2 * ask.cap).astype(jnp.uint32)).astype(jnp.int32)
  stopped = lengths < ask.cap
  last = jnp.where(stopped, lengths - 1, columns)
  return state.replace(
    responses=ids.at[jnp.arange(rows), last].set(eos_ids[0], mode='drop'),
    logp=state.logp - 1,
    lengths=jnp.minimum(lengths, ask.cap),
    stopped=stopped,
  )


def no_logprobs(frozen, params, rows, count, *, recipe, layout):
  """update.compute_logprobs with a constant."""
  sums = dict.fromkeys(SUMS, jnp.float32(1))
  return jnp.full(rows.tokens.shape, -1, jnp.float32), sums


def no_update(frozen, state, rows, count, denom, own_old, last, **_):
  """update.update that only counts the step."""
  found = dict.fromkeys(METRICS, jnp.float32(1))
  return state.replace(step=state.step + last), found


class Graders:
  """Half of the responses are right."""

  counts, disagreements = {}, ()

  def submit(self, golds, texts):
    return mock.Mock(is_done=lambda: True, of=texts)

  def collect(self, ticket):
    return [
      verdict.Verdict(bool(i % 2), '', '') for i, _ in enumerate(ticket.of)
    ]


class Context(context.TrainContext):
  """A context that keeps the records of steps, and neither tests nor saves."""

  def write_step(self, record):
    count = compiled.compile_count(self.programs)
    self.records.append({**record, 'compile_count': count})

  def measured(self, done, turn):
    return True

  def eval_kind(self, done, turn):
    return ''

  def writes_rollouts(self, step):
    return False

  def save(self, state, done, turn):
    pass


def train(plan, monkeypatch):
  """The records of the steps of a plan, by trainer.train."""
  monkeypatch.setattr(decode, 'prefill', no_prefill)
  monkeypatch.setattr(decode, 'decode_steps', no_decode)
  monkeypatch.setattr(update, 'compute_logprobs', no_logprobs)
  monkeypatch.setattr(update, 'update', no_update)
  monkeypatch.setattr(trainer, 'raise_alarms', lambda ctx: None)
  task, _ = load.load_task(plan.c)
  rewarded.try_out(plan.text_rewards, task)
  shape = initial.shape_of(plan.c, task.vocab)
  recipe = recipes.recipe_of(plan, shape, 'full')
  blank, layout, programs = build.compile_programs(
    plan, task, recipe, longest=plan.longest, say=print
  )
  programs = compiled.with_frozen(programs, {})
  state = jax.device_put(
    jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), blank), layout.state
  )
  ctx = Context(
    *(task, mock.MagicMock(), mock.MagicMock(), mock.MagicMock()),
    graders=Graders(),
    plan=plan,
    programs=programs,
    checkpoints=mock.MagicMock(),
    packing=recipes.fit_of(plan, shape),
    place=lambda rows: jax.device_put(rows, layout.rows),
    processes=distributed.SingleProcess(),
    fingerprints={},
    sources={},
    start=state.params,
    order=shuffling.shuffled(
      task.train, seed=0, prompts=plan.c.prompts_per_step
    ),
  )
  ctx.engine = build.make_engine(
    plan,
    programs,
    task,
    requests=plan.samples,
    prompt_tokens=plan.c.max_prompt_tokens,
    servers=None,
    run='',
    say=print,
  )
  ctx.records = []
  trainer.train(ctx, state, progress.start())
  return ctx.records
