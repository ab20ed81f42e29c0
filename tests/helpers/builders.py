"""Builders for tests: problems, samples, batches, a tiny policy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import config_dict

from siri_jax import compiled, types
from siri_jax.algorithm import losses, packing, update
from siri_jax.grading import pool, verdict
from siri_jax.models import attention, decode, decoder, sharding


def make_problem(number=0, **changes):
  """A problem whose answer is its number."""
  given = dict(id=f'p{number}', text=f'What is {number}?', source='made')
  return types.Problem(**{**given, 'answer': str(number), **changes})


def make_sample(prompt=(1, 2), response=(3, 4, 5), **changes):
  """A finished sample of weight version 0."""
  response = np.asarray(response, np.int32)
  given = dict(
    problem_id='p0',
    index=0,
    prompt_ids=np.asarray(prompt, np.int32),
    response_ids=response,
    finish_reason='stop',
    spans=((0, 0, response.size),),
    sampler_logp=np.full(response.size, -1.0, np.float32),
  )
  return types.Sample(**{**given, **changes})


def random_samples(lengths, *, vocab, prompt=3, seed=0):
  """Samples of these response lengths with random token ids."""
  rng = np.random.default_rng(seed)
  return [
    make_sample(
      rng.integers(0, vocab, prompt),
      rng.integers(0, vocab, length),
      index=index,
    )
    for index, length in enumerate(lengths)
  ]


def make_batch(length, correct, *, cap, **changes):
  """A types.Batch of one group."""
  length = np.asarray(length, np.int32)
  correct = np.asarray(correct, bool)
  given = dict(
    group=np.zeros(length.size, np.int32),
    length=length,
    correct=correct,
    answered=correct,
    truncated=length > cap,
    cap=np.int32(cap),
    target=np.zeros(length.size, np.int32),
    mode=np.zeros(length.size, np.int32),
    weight=np.zeros(length.size, np.float32),
  )
  return types.Batch(**{**given, **changes})


def tiny_shape(**changes):
  """A policy of two layers that computes in milliseconds."""
  given = dict(vocab=19, layers=2, dim=16, heads=4, kv_heads=2, head_dim=4)
  given |= dict(mlp=24, rope_theta=100.0, norm_eps=1e-6, tied=False)
  given |= dict(qkv_bias=True, qk_norm=False)
  return decoder.ModelConfig(**{**given, **changes})


def lively(shape, seed=0):
  """Parameters far enough from zero for tokens to differ in probability."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda size: np.float32(0.3 * rng.normal(size=size)),
    decoder.param_shapes(shape),
    is_leaf=lambda x: isinstance(x, tuple),
  )


def logits(params, shape, tokens):
  """float32 logits of rows [M, R] that are one sequence each."""
  tokens = jnp.asarray(tokens)
  hidden = decoder.forward(
    params,
    shape,
    tokens,
    jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape),
    jnp.ones_like(tokens),
    fetch=lambda layer: layer,
    attend=attention.reference,
    remat='nothing',
  )
  return np.asarray(hidden @ decoder.head(params))


def greedy(params, shape, prompts, lengths, new):
  """The sampler's likeliest tokens, int32 [N, new], without end tokens.

  Args:
    params: the policy's parameters.
    shape: decoder.ModelConfig.
    prompts: int32 [N, P], padded at the end.
    lengths: int32 [N], tokens of each prompt.
    new: tokens of each response.
  """
  count = len(prompts)
  none = np.zeros((count, 2), np.uint32)
  ask = decode.Requests(
    np.asarray(prompts, np.int32),
    np.asarray(lengths, np.int32),
    *(np.int32(count), np.arange(count, dtype=np.int32), none),
    *(np.int32(count), np.uint32([0]), np.full(count, new, np.int32)),
    *(np.float32(0), np.float32(1), np.int32(0)),
  )
  layers = decoder.unstacked(params)
  start = functools.partial(
    decode.prefill, shape=shape, slots=count, columns=new
  )
  state = jax.jit(start)(layers, ask)
  advance = functools.partial(
    decode.decode_steps, shape=shape, eos_ids=(shape.vocab,), stretch=new
  )
  found = jax.jit(advance)(layers, ask, state)
  assert found.lengths.tolist() == [new] * count
  return np.asarray(found.responses)


def fit(row_tokens, micro_batch_rows, **changes):
  """A PackingConfig for one device with cost equal to the tokens."""
  given = dict(
    row_tokens=row_tokens, micro_batch_rows=micro_batch_rows, sequences=32
  )
  return packing.PackingConfig(
    **{**given, 'devices': 1, 'cost': (1.0, 0.0), **changes}
  )


def here(shape):
  """Shardings that put all parameters on the first device."""
  device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(
    lambda _: device,
    decoder.param_shapes(shape),
    is_leaf=lambda x: isinstance(x, tuple),
  )


def tiny_recipe(shape, loss=None, **changes):
  """An update whose optimiser subtracts the gradient."""
  bound = functools.partial(losses.clip_higher, low=0.2, high=0.28)
  given = dict(
    shape=shape,
    loss=loss or bound,
    extra=(),
    tx=optax.sgd(1.0, momentum=0.9),
    attend=attention.reference,
    dtype=jnp.float32,
    remat='nothing',
    param_sharding='zero3',
    temperature=1.0,
    chunk=16,
  )
  return update.UpdateConfig(**{**given, **changes})


def one_device(recipe):
  """The layout of an update on the first device."""
  mesh = sharding.make_mesh(jax.devices(), data=1, fsdp=1, tensor=1)
  return sharding.layout(
    mesh,
    jax.eval_shape(lambda: compiled.new_state(lively(recipe.shape), recipe.tx)),
  )


def math_graders(rule='deepscaler', **changes):
  """A context with grading processes of a real rule."""
  settings = dict(workers=2, secs=2.0, memory_gb=2.0) | changes
  rule_kw = config_dict.create(kind='continuation', verify_kw={})
  return pool.GraderPool(rule, rule_kw, **settings)


def boxed(answer):
  """A response with an answer."""
  return f'so</think> \\boxed{{{answer}}}'


def new_counts(graders, before):
  """The counters that rose, and by how much."""
  return {k: n - before[k] for k, n in graders.counts.items() if n - before[k]}


def make_group(problem, texts, *, correct=None, lengths=None, **changes):
  """A types.Group of responses; each is right and has 3 tokens by default."""
  correct = [True] * len(texts) if correct is None else correct
  lengths = [3] * len(texts) if lengths is None else lengths
  samples = [
    make_sample(
      response=range(n), problem_id=problem.id, index=index, **changes
    )
    for index, n in enumerate(lengths)
  ]
  verdicts = [
    verdict.Verdict(bool(right), text, '')
    for right, text in zip(correct, texts, strict=True)
  ]
  return types.Group(problem, samples, verdicts, list(texts))
