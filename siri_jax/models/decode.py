"""Sampling as pure functions: key-value cache and continuous batching.

A slot's cache has a column for each token of its prompt and response; the index
of the column is the token's position. A slot that finishes copies the columns
of the next request's prompt.

A sample is a function of (seeds, problem, index): its uniforms come from a key
folded from these. It does not depend on the rest of the batch.
"""

import flax.struct
import jax
import jax.numpy as jnp

from siri_jax import shapes
from siri_jax.models import decode_attention, decoder

FEWER = 4  # One slot in FEWER stays for the last requests of a batch,
LEAST = 8  # but no fewer than LEAST, because fewer are hardly faster.
AT_ONCE = 8  # Prompts of a prefill; bounds the memory of their attention.
BLOCK = 512  # Tokens among which one uniform chooses.


@flax.struct.dataclass
class Requests:
  """Sampling requests in arrays of a fixed capacity Q.

  Attributes:
    prompts: int32 [Q, P], distinct prompts, padded at the end.
    prompt_length: int32 [Q], tokens of each, 1 or more.
    prompt_count: int32 [], number of prompts in use.
    prompt_of: int32 [Q], the prompt of each request.
    identity: uint32 [Q, 2], problem and index of each request.
    count: int32 [], number of requests in use.
    seeds: uint32 [X], folded into the key one after another.
    cap: int32 [Q], most tokens of each response, 1 <= cap <= C.
    temperature: float32 []; 0 takes the most likely token.
    top_p: float32 [], share of the probability kept; 1 keeps all. None: the
      program has no filter.
    top_k: int32 [], most tokens kept; 0 keeps all. None if top_p is None.
  """

  prompts: jax.Array
  prompt_length: jax.Array
  prompt_count: jax.Array
  prompt_of: jax.Array
  identity: jax.Array
  count: jax.Array
  seeds: jax.Array
  cap: jax.Array
  temperature: jax.Array
  top_p: jax.Array | None
  top_k: jax.Array | None


@flax.struct.dataclass
class DecodeState:
  """The state of the engine between two calls of `decode_steps`.

  Attributes:
    prompt_cache: for each layer k [Q.., K, E, P] and v [Q.., K, P, E] of the
      prompts.
    cache: for each layer k [S, K, E, P + C] and v [S, K, P + C, E] of the
      slots; the columns are rounded up to whole blocks.
    uniforms: float32 [Q, C, 2], in [0, 1), two for each token to be drawn.
    clock: int32 [], decoding steps done.
    begun: int32 [], requests that got a slot so far.
    request: int32 [S], the request of each slot; -1 for an idle slot.
    token: int32 [S], the newest token of each slot.
    length: int32 [S], response tokens so far.
    responses: int32 [Q, C].
    logp: float32 [Q, C], of each token under the sampling distribution, nats.
    lengths: int32 [Q], 0 until the response is finished.
    stopped: bool [Q], whether the response ended with an end token.
  """

  prompt_cache: tuple[tuple[jax.Array, jax.Array], ...]
  cache: tuple[tuple[jax.Array, jax.Array], ...]
  uniforms: jax.Array
  clock: jax.Array
  begun: jax.Array
  request: jax.Array
  token: jax.Array
  length: jax.Array
  responses: jax.Array
  logp: jax.Array
  lengths: jax.Array
  stopped: jax.Array


def prefill(params, ask, *, shape, slots, columns, block=1):
  """Computes the prompts' cache; all slots are idle.

  Args:
    params: of decoder.unstacked, in the dtype to compute in.
    ask: Requests.
    shape: decoder.ModelConfig.
    slots: S, sequences decoded at a time.
    columns: C, tokens of the longest response.
    block: of decode_attention.Attention.
  Returns:
    DecodeState with no request begun.
  Raises:
    ValueError: the shapes of `ask` differ.
  """
  size = shapes.check(
    'Q P, Q, Q 2, Q', ask.prompts, ask.prompt_length, ask.identity, ask.cap
  )
  requests, width = size['Q'], size['P']
  none = jnp.zeros(slots, jnp.int32)
  needed = width + columns
  return DecodeState(
    prompt_cache=_read(params, ask, shape),
    cache=_blank(params, shape, slots, needed + -needed % block),
    uniforms=_uniforms(ask, columns),
    clock=jnp.int32(0),
    begun=jnp.int32(0),
    request=none - 1,
    token=none,
    length=none,
    responses=jnp.zeros((requests, columns), jnp.int32),
    logp=jnp.zeros((requests, columns), jnp.float32),
    lengths=jnp.zeros(requests, jnp.int32),
    stopped=jnp.zeros(requests, bool),
  )


def decode_steps(
  params,
  ask,
  progress,
  fewest=0,
  *,
  shape,
  eos_ids,
  stretch,
  attend=decode_attention.dense,
):
  """Decodes until all or nearly all requests are done, or for `stretch` steps.

  Args:
    params: of decoder.unstacked, in the dtype to compute in.
    ask: Requests.
    progress: DecodeState.
    fewest: int32 [], stops when no more requests than this are unfinished.
    shape: decoder.ModelConfig.
    eos_ids: ids that end a response.
    stretch: most decoding steps of this call.
    attend: of decode_attention.Attention.
  Returns:
    DecodeState.
  """
  until = progress.clock + stretch

  def busy(p):
    left = ask.count - jnp.sum(p.lengths > 0)
    return (left > fewest) & (p.clock < until)

  def full(p):
    return jnp.all(p.request >= 0) | (p.begun >= ask.count)

  def step(p):
    logits, p = _decode(params, ask, p, shape, attend)
    return _record(ask, p, *_choose(ask, p, logits), eos_ids)

  # A loop in a loop, because a GPU would copy the cache for a condition.
  def fill(p):
    p = _refill(ask, p)
    return jax.lax.while_loop(lambda p: busy(p) & full(p), step, p)

  return jax.lax.while_loop(busy, fill, progress)


def stages(slots):
  """Values of `fewest` for the calls of decode_steps, from first to last.

  The last value is 0. A value before it is also the number of slots that stay:
  `shrink` the batch to it after its calls. An idle slot costs as much as a busy
  one.
  """
  fewer = max(LEAST, slots // FEWER)
  return (fewer, 0) if 2 * fewer <= slots else (0,)


def of_slots(progress):
  """The arrays of a DecodeState that have a row for each slot, by name."""
  names = ('cache', 'request', 'token', 'length')
  return {name: getattr(progress, name) for name in names}


def shrink(arrays, slots):
  """Removes idle slots.

  Args:
    arrays: of `of_slots`, alone because a program copies what it returns; no
      more slots are busy than are to stay.
    slots: number of slots that stay.
  Returns:
    The same arrays with fewer rows.
  """
  kept = jnp.argsort(arrays['request'] < 0)[:slots]  # The busy ones first.
  return jax.tree.map(lambda x: x[kept], arrays)


def sample_tokens(logits, uniforms, temperature, top_p, top_k):
  """Draws one token a row by inverting its distribution.

  A float32 uniform has 2^23 values, too few for a flat tail of 151,936 tokens.
  So the second uniform chooses a block of the vocabulary, and the first one a
  token of that block. A vocabulary of one block needs the first alone.

  Args:
    logits: float32 [S, V].
    uniforms: float32 [S, 2], in [0, 1).
    temperature: float32 []; 0 takes the most likely token.
    top_p: float32 [], 1 keeps all; None: no filter is compiled.
    top_k: int32 [], 0 keeps all; None if top_p is None.
  Returns:
    int32 [S] tokens; float32 [S], their log-probabilities after temperature,
    top_k and top_p, nats (temperature 0: at a temperature of 1).
  Raises:
    ValueError: shapes differ.
  """
  shapes.check('S V, S 2', logits, uniforms)
  greedy = temperature == 0
  z = logits / jnp.where(greedy, 1.0, temperature)
  if top_p is not None:
    filtered = (top_p < 1) | (top_k > 0)
    z = jax.lax.cond(filtered, _filter, lambda z, *_: z, z, top_p, top_k)
  logp = jax.nn.log_softmax(z)
  drawn = _draw(jnp.exp(logp), uniforms)
  token = jnp.where(greedy, jnp.argmax(logits, axis=-1), drawn)
  return token, jnp.take_along_axis(logp, token[:, None], axis=-1)[:, 0]


def _draw(share, uniforms):
  """A token a row [S], of probabilities [S, V] and two uniforms [S, 2]."""
  rows, vocab = share.shape
  width = min(BLOCK, vocab)
  blocks = jnp.pad(share, [(0, 0), (0, -vocab % width)])
  blocks = blocks.reshape(rows, -1, width)
  block = _invert(jnp.sum(blocks, axis=-1), uniforms[:, 1])
  within = _invert(blocks[jnp.arange(rows), block], uniforms[:, 0])
  return block * width + within


def _invert(share, uniform):
  """The first entry of each row [S, N] whose running sum passes uniform [S]."""
  # Rounding may raise the sum at an entry of probability 0; it is skipped.
  reached = jnp.where(share > 0, jnp.cumsum(share, axis=-1), 0.0)
  goal = uniform[:, None] * jnp.max(reached, axis=-1, keepdims=True)
  return jnp.argmax(reached > goal, axis=-1)


def _filter(z, top_p, top_k):
  """Keeps the top_k tokens, then the fewest of them that reach top_p.

  As in vLLM, top_p is a share of the probability that top_k kept. Ties at top_k
  are all kept; ties at top_p only until the share is reached.
  """
  vocab = z.shape[-1]
  order = jnp.argsort(z, axis=-1, descending=True)
  ranked = jnp.take_along_axis(z, order, axis=-1)
  last = jnp.where(top_k > 0, jnp.minimum(top_k, vocab), vocab) - 1
  least = jax.lax.dynamic_slice_in_dim(ranked, last, 1, axis=-1)
  ranked = jnp.where(ranked < least, -jnp.inf, ranked)
  share = jax.nn.softmax(ranked)
  kept = jnp.cumsum(share, axis=-1) - share < top_p
  ranked = jnp.where(kept.at[:, 0].set(True), ranked, -jnp.inf)
  return jnp.put_along_axis(z, order, ranked, axis=-1, inplace=False)


def _blank(params, shape, rows, columns):
  """An empty cache: k [rows, K, E, columns], v [rows, K, columns, E]."""
  dtype, width = params['embed'].dtype, shape.head_dim
  k = jnp.zeros((rows, shape.kv_heads, width, columns), dtype)
  v = jnp.zeros((rows, shape.kv_heads, columns, width), dtype)
  return ((k, v),) * shape.layers


def _read(params, ask, shape):
  """The cache of the prompts in use."""
  requests, width = ask.prompts.shape
  prompts = jnp.pad(ask.prompts, [(0, -requests % AT_ONCE), (0, 0)])

  def some(i, cache):
    part = jax.lax.dynamic_slice_in_dim(prompts, i * AT_ONCE, AT_ONCE)
    return jax.tree.map(
      lambda c, new: jax.lax.dynamic_update_slice_in_dim(
        c, new, i * AT_ONCE, 0
      ),
      cache,
      decoder.prefill(params, shape, part),
    )

  blank = _blank(params, shape, prompts.shape[0], width)
  return jax.lax.fori_loop(0, -(-ask.prompt_count // AT_ONCE), some, blank)


def _uniforms(ask, columns):
  """Two uniforms a token, from the seeds, the problem and the index."""

  def stream(root, identity):
    folded = jnp.concatenate([ask.seeds, identity])
    # A loop, because a hash takes long to compile.
    key = jax.lax.fori_loop(
      0,
      folded.size,
      lambda i, key: jax.random.fold_in(key, folded[i]),
      jax.random.key(root),
    )
    return jax.random.uniform(key, columns)

  streams = jax.vmap(jax.vmap(stream, (None, 0)), (0, None), out_axes=-1)
  return streams(jnp.arange(2), ask.identity)


def _refill(ask, p):
  """Gives idle slots the next requests, and copies their prompts' columns."""
  idle = p.request < 0
  # The rank of each idle slot among them. A cumsum takes long to compile.
  rank = jnp.sum(jnp.tril(jnp.broadcast_to(idle, (idle.size,) * 2)), axis=1)
  following = p.begun + rank - 1
  taken = idle & (following < ask.count)
  request = jnp.where(taken, following, p.request)
  prompt = ask.prompt_of[jnp.maximum(request, 0)]
  last = ask.prompts[prompt, ask.prompt_length[prompt] - 1]

  def begin(c, kept):
    part = (slice(None), *map(slice, kept.shape[1:]))
    new = jnp.where(taken[:, None, None, None], kept[prompt], c[part])
    return c.at[part].set(new)

  return p.replace(
    cache=jax.tree.map(begin, p.cache, p.prompt_cache),
    begun=p.begun + jnp.sum(taken),
    request=request,
    token=jnp.where(taken, last, p.token),
    length=jnp.where(taken, 0, p.length),
  )


def _decode(params, ask, p, shape, attend):
  """Logits after each slot's newest token; adds the token to the cache."""
  prompt_length = ask.prompt_length[ask.prompt_of[jnp.maximum(p.request, 0)]]
  past_the_end = p.cache[0][0].shape[3]
  position = jnp.where(
    p.request < 0, past_the_end, prompt_length - 1 + p.length
  )
  logits, cache = decoder.decode(
    params, shape, p.token, position, p.cache, attend
  )
  return logits, p.replace(cache=cache, clock=p.clock + 1)


def _choose(ask, p, logits):
  uniforms = p.uniforms[p.request, p.length]
  return sample_tokens(logits, uniforms, ask.temperature, ask.top_p, ask.top_k)


def _record(ask, p, token, logp, eos_ids):
  """Stores the new tokens and frees the slots that are finished."""
  live = p.request >= 0
  # Writes past the end are dropped: idle slots write nothing.
  row = jnp.where(live, p.request, p.responses.shape[0])
  place = (row, p.length)
  length = p.length + 1
  stopped = jnp.isin(token, jnp.asarray(eos_ids))
  cap = ask.cap[jnp.maximum(p.request, 0)]
  done = live & (stopped | (length >= cap))
  done_row = jnp.where(done, p.request, p.responses.shape[0])
  return p.replace(
    request=jnp.where(done, -1, p.request),
    token=token,
    length=length,
    responses=p.responses.at[place].set(token, mode='drop'),
    logp=p.logp.at[place].set(logp, mode='drop'),
    lengths=p.lengths.at[done_row].set(length, mode='drop'),
    stopped=p.stopped.at[done_row].set(stopped, mode='drop'),
  )
