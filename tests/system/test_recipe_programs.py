"""The compiled programs of every recipe over a cycle, and of SIRI's step."""

import jax
import numpy as np
import pytest

from siri_jax import build, types
from siri_jax.config import catalog, command_line, plan
from siri_jax.config import recipe as recipes
from siri_jax.data import load
from siri_jax.models import decode, decoder
from siri_jax.models.hf import initial
from tests.helpers import shallow, tiny
from tools.benchmarks import counters

pytestmark = pytest.mark.slow

# Offline recipes sample nothing in a step: tests/offline.
ALL = [
  recipe.name
  for recipe in catalog.recipes()
  if not command_line.load(f'{recipe.name}:laptop').training_set
]
SMALL = (
  '--config.schedule=cosine',
  '--config.schedule_kw.period=4',
  '--config.total_steps=5',
  '--config.prompts_per_step=4',
  '--config.policy=fresh',
  '--config.model_kw.layers=1',
)


@pytest.mark.parametrize('name', ALL)
def test_a_cycle_of_a_recipe_compiles_its_programs_in_the_first_step(
  name, monkeypatch
):
  asked = command_line.parse(
    [f'--config={name}:laptop', *SMALL], command_line.define_run, ''
  )
  assert asked.faults == []
  made = plan.make(asked.config)
  records = shallow.train(made, monkeypatch)
  caps = [record['cap'] for record in records]
  assert caps[2] < caps[1] < caps[0] == caps[4]
  # The cap, the update, log-probabilities of a step, three of the engine, and
  # two more where its batch shrinks; and log-probabilities of a mini-batch, if
  # a step has several or the loss has a reference.
  apart = made.c.minibatches > 1 or 'ref_logp' in made.extra
  shrinks = len(decode.stages(made.c.engine_kw.max_concurrent)) - 1
  count = 6 + 2 * shrinks + apart
  assert [record['compile_count'] for record in records] == [count] * 5


def equations(jaxpr, times=1):
  """(equation, times) of a program; the body of a dynamic loop counts once."""
  for eqn in jaxpr.eqns:
    yield eqn, times
    turns = eqn.params.get('length', 1) if eqn.primitive.name == 'scan' else 1
    for inner in jax.tree.leaves(
      list(eqn.params.values()), is_leaf=lambda x: hasattr(x, 'eqns')
    ):
      inner = getattr(inner, 'jaxpr', inner)
      if hasattr(inner, 'eqns'):
        yield from equations(inner, times * turns)


def products(jaxpr):
  """FLOPs of a program's matrix products."""
  total = 0
  for eqn, times in equations(jaxpr):
    if eqn.primitive.name == 'dot_general':
      left, _ = (x.aval.shape for x in eqn.invars)
      (summed, _), _ = eqn.params['dimension_numbers']
      own = np.prod([left[i] for i in summed]) * eqn.outvars[0].aval.size
      total += 2 * times * int(own)
  return total


def test_an_update_of_siri_multiplies_as_often_as_by_hand():
  c = tiny.get_config()
  made = plan.make(c)
  task, _ = load.load_task(c)
  shape = initial.shape_of(c, task.vocab)
  recipe = recipes.recipe_of(made, shape, 'nothing')
  blank, _, programs = build.compile_programs(
    made, task, recipe, longest=made.longest, say=print
  )
  size = (2, c.update_kw.micro_batch_rows, made.row_tokens)
  whole, real = (
    jax.ShapeDtypeStruct(size, dtype) for dtype in ('int32', 'float32')
  )
  rows = types.PackedBatch(
    *[whole] * 4, *[real] * 3, extra={'sampler_logp': real}
  )
  number, flag = (jax.ShapeDtypeStruct((), d) for d in ('int32', 'bool'))
  denom = jax.ShapeDtypeStruct((), 'float32')
  given = ({}, blank, rows, number, denom, flag, flag)
  found = jax.make_jaxpr(programs.update)(*given).jaxpr
  length, width = made.row_tokens, shape.heads * shape.head_dim
  # Forward once and backward twice: the matrices, and scores of all pairs.
  matrices = decoder.param_shapes(shape)['layers']
  weights = sum(int(np.prod(matrices[name])) for name in decoder.MATRICES)
  tokens = c.update_kw.micro_batch_rows * length
  layers = 6 * tokens * (weights + 2 * shape.layers * length * width)
  # Logits of a chunk, again in the backward pass, and two gradients.
  head = 4 * 2 * c.update_kw.logprob_chunk_tokens * shape.dim * shape.vocab
  assert products(found) == layers + head
  names = {eqn.primitive.name for eqn, _ in equations(found)}
  assert not [name for name in names if 'callback' in name or 'feed' in name]


def test_a_step_of_siri_calls_each_program_as_often_as_by_hand(monkeypatch):
  c = tiny.get_config()
  c.total_steps = 5
  with counters.counting() as (programs, transfer):
    shallow.train(plan.make(c), monkeypatch)
  # Each step: the next cap; log-probabilities of the second mini-batch, and in
  # one step of samples without gradient; two updates; 16 requests of one call;
  # a push. Its cap and its metrics are read by the host. Before them the first
  # cap and push.
  assert {name: program.calls for name, program in programs.items()} == dict(
    cap=6,
    update=10,
    logprobs=6,
    export=6,
    publish=0,
    start=5,
    advance=5,
    shrink=0,
  )
  assert transfer.call_count == 11
