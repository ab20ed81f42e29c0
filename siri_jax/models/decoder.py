"""A dense decoder as pure functions over a pytree: the policy.

Grouped-query attention, rotary positions, RMSNorm, SwiGLU, tied or untied head.
ModelConfig says what differs between Qwen2, Qwen3 and Llama, and
models/hf/config.py has their table. Layers are stacked on a leading axis and
scanned.
Source: Qwen2, section 2.2, arxiv.org/abs/2407.10671; Qwen3, section 2,
arxiv.org/abs/2505.09388; Llama 3, section 3.2, arxiv.org/abs/2407.21783. The
tests compare it with transformers' Qwen2, Qwen3 and LlamaForCausalLM.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from siri_jax import shapes
from siri_jax.models import attention, rope
from siri_jax.settings import FLAG, real, whole

SETTINGS = {
  **dict.fromkeys(('layers', 'dim', 'heads', 'kv_heads'), whole(1)),
  'head_dim': whole(2),
  'mlp': whole(1),
  'rope_theta': real(0),
  'norm_eps': real(0),
  'tied': FLAG,
}


def _keeps(*names, products=False):
  """A jax.checkpoint policy that keeps named outputs and cuDNN's outputs."""
  named = jax.checkpoint_policies.save_only_these_names(*names)
  primitives = [attention.CUDNN] * (attention.SAVED in names)
  primitives += ['dot_general'] * products

  def policy(primitive, *args, **params):
    return primitive.name in primitives or named(primitive, *args, **params)

  return policy


def _keeps_all(primitive, *_, **__):
  """Keeps everything except gathered weights, which would undo their sharding.

  Of the functions with a custom backward pass, only `fetch` gives its output no
  name.
  """
  return primitive.name != 'custom_vjp_call'


# Name -> the jax.checkpoint policy, least memory first. 'full' recomputes a
# block from its input; 'attention' keeps attention's outputs; 'qkv' also keeps
# queries, keys and values; 'gate' also those of the output matrix and of one of
# the MLP's two wide ones; 'products' keeps the outputs of all matrix products;
# 'nothing' recomputes nothing.
REMAT = {
  'full': _keeps(),
  'attention': _keeps(attention.SAVED),
  'qkv': _keeps(attention.SAVED, 'qkv'),
  'gate': _keeps(attention.SAVED, 'qkv', 'output', 'gate'),
  'products': _keeps(attention.SAVED, products=True),
  'nothing': _keeps_all,
}


# A layer's matrices -> the number of their input axes, after the layer's.
MATRICES = {'q': 1, 'k': 1, 'v': 1, 'o': 2, 'gate': 1, 'up': 1, 'down': 1}
# Ends of the names of a matrix's adapter, A and B of models/lora.py.
ADAPTER = ('_lora_a', '_lora_b')


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The shape of a policy and its constants; hashable.

  Attributes:
    vocab: rows of the embedding, V.
    layers: blocks, L.
    dim: width of the residual stream, D.
    heads: query heads, H.
    kv_heads: key-value heads, K, a divisor of H.
    head_dim: width of a head, E, even.
    mlp: width of the SwiGLU, F.
    rope_theta: base of the rotary frequencies.
    norm_eps: added to the mean square in RMSNorm.
    tied: whether the head is the embedding.
    qkv_bias: whether q, k and v have biases.
    qk_norm: whether each head's queries and keys get an RMSNorm before RoPE.
    rope_scaling: rope.RopeScaling, or None.
    padding: last rows of the embedding that no token has. The policy is the
      distribution over the other ones, for engines and trainer alike.
  """

  vocab: int
  layers: int
  dim: int
  heads: int
  kv_heads: int
  head_dim: int
  mlp: int
  rope_theta: float
  norm_eps: float
  tied: bool
  qkv_bias: bool
  qk_norm: bool
  rope_scaling: rope.RopeScaling | None = None
  # Not compared: the arrays are the same, and the name of a cached SFT policy
  # is made of the shape.
  padding: int = dataclasses.field(default=0, compare=False, repr=False)


def param_shapes(shape):
  """The parameter tree with the shape of each array in its place."""
  n, d, f = shape.layers, shape.dim, shape.mlp
  h, k, e = shape.heads, shape.kv_heads, shape.head_dim
  layers = {
    'attn_norm': (n, d),
    'q': (n, d, h, e),
    'k': (n, d, k, e),
    'v': (n, d, k, e),
    'o': (n, h, e, d),
    'mlp_norm': (n, d),
    'gate': (n, d, f),
    'up': (n, d, f),
    'down': (n, f, d),
  }
  if shape.qkv_bias:
    layers |= {'q_bias': (n, h, e), 'k_bias': (n, k, e), 'v_bias': (n, k, e)}
  if shape.qk_norm:
    layers |= {'q_norm': (n, e), 'k_norm': (n, e)}
  tree = {'embed': (shape.vocab, d), 'layers': layers, 'norm': (d,)}
  return tree if shape.tied else {**tree, 'head': (d, shape.vocab)}


def param_count(shape):
  """The number of parameters."""
  sizes = jax.tree.leaves(param_shapes(shape), is_leaf=_is_size)
  return sum(map(math.prod, sizes))


def init(key, shape):
  """Random float32 parameters: N(0, 0.04), biases 0, norms 1.

  Qwen2's standard deviation is 0.02; small models learn faster with 0.04.
  """
  paths, tree = jax.tree.flatten_with_path(
    param_shapes(shape), is_leaf=_is_size
  )
  keys = jax.random.split(key, len(paths))

  def draw(path, size, key):
    name = path[-1].key
    if name.endswith('norm'):
      return jnp.ones(size, jnp.float32)
    if name.endswith('bias'):
      return jnp.zeros(size, jnp.float32)
    return 0.04 * jax.random.normal(key, size, jnp.float32)

  leaves = [draw(p, s, k) for (p, s), k in zip(paths, keys, strict=True)]
  return jax.tree.unflatten(tree, leaves)


def forward(
  params, shape, tokens, positions, segments, *, fetch, attend, remat
):
  """Hidden states after the last norm.

  Args:
    params: the tree of `param_shapes`, in the dtype to compute in; a matrix of
      a layer may have an adapter, see lora.joined.
    shape: Shape.
    tokens: int32 [M, R].
    positions: int32 [M, R], position of each token in its sequence.
    segments: int32 [M, R], one number for each sequence of a row.
    fetch: function that gathers a layer's arrays; the backward pass calls it
      again.
    attend: (q, k, v, segments) -> out, of models/attention.py.
    remat: a key of REMAT.
  Returns:
    [M, R, D] in the params' dtype.
  Raises:
    ValueError: shapes differ.
  """
  shapes.check('M R, M R, M R', tokens, positions, segments)
  angles = rope.angles(shape, positions.reshape(-1))

  # Rows are flat except in attention. With two axes, the sum in a weight's
  # gradient makes XLA transpose its operands on a CPU.
  def block(x, layer):
    layer = fetch(layer)
    qkv = checkpoint_name(project_qkv(layer, shape, x, angles), 'qkv')
    in_rows = (a.reshape(*tokens.shape, *a.shape[1:]) for a in qkv)
    return output_and_mlp(layer, shape, x, attend(*in_rows, segments)), None

  # A scan needs no prevent_cse.
  block = jax.checkpoint(block, policy=REMAT[remat], prevent_cse=False)
  x = embed(params['embed'], tokens.reshape(-1))
  x, _ = scan_layers(block, x, params['layers'])
  return norm(x, params['norm'], shape.norm_eps).reshape(*tokens.shape, -1)


@jax.custom_vjp
def embed(table, tokens):
  """Rows [..., D] of a table [V, D] in float32; their gradient too.

  The residual stream stays in float32. Rounded at each block, a bfloat16 policy
  would be further from the float32 policy than transformers' is.
  """
  return table[tokens].astype(jnp.promote_types(table.dtype, jnp.float32))


def _embed_backwards(saved, slope):
  table, tokens = saved
  total = jnp.zeros(table.shape, jnp.float32)
  total = total.at[tokens].add(slope.astype(jnp.float32))
  return total.astype(table.dtype), None


embed.defvjp(
  lambda table, tokens: (embed(table, tokens), (table, tokens)),
  _embed_backwards,
)


def unstacked(params):
  """Parameters for prefill and decode: 'layers' is a tuple of trees.

  Slicing the stacked arrays in a decoding loop would copy every weight at every
  token.

  Args:
    params: the tree of `param_shapes`.
  Returns:
    The same arrays, with the stacked ones split by layer.
  """
  count = jax.tree.leaves(params['layers'])[0].shape[0]
  parts = (
    jax.tree.map(lambda w, i=i: w[i], params['layers']) for i in range(count)
  )
  return {**params, 'layers': tuple(parts)}


def prefill(params, shape, tokens):
  """Keys and values of whole prompts, for a cache.

  Args:
    params: of `unstacked`.
    shape: Shape.
    tokens: int32 [N, P], padded at the end.
  Returns:
    For each layer k [N, K, E, P] and v [N, K, P, E].
  """
  positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
  angles = rope.angles(shape, positions)
  one_segment = jnp.ones_like(tokens)
  x = embed(params['embed'], tokens)
  cache = []
  for layer in params['layers']:
    q, k, v = project_qkv(layer, shape, x, angles)
    x = output_and_mlp(
      layer, shape, x, attention.reference(q, k, v, one_segment)
    )
    cache.append((k.transpose(0, 2, 3, 1), v.swapaxes(1, 2)))
  return tuple(cache)


def decode(params, shape, token, position, cache, attend):
  """Decodes one token for every slot.

  The layers are unrolled: a scan would copy each layer's cache at every token.

  Args:
    params: of `unstacked`.
    shape: Shape.
    token: int32 [S], the newest token of each slot.
    position: int32 [S], its position and cache column; C or more for an idle
      slot, for which nothing is written.
    cache: for each layer k [S, K, E, C] and v [S, K, C, E]; columns from
      `position` on do not matter.
    attend: of decode_attention.Attention.
  Returns:
    float32 [S, V] logits of the next token, -inf at padding; the cache with
    this token added.
  """
  angles = rope.angles(shape, position)
  slots = jnp.arange(token.size)
  length = jnp.where(position < cache[0][0].shape[3], position + 1, 0)
  x = embed(params['embed'], token)
  grown = []
  for layer, (k, v) in zip(params['layers'], cache, strict=True):
    q, new_k, new_v = project_qkv(layer, shape, x, angles)
    k = k.at[slots, :, :, position].set(new_k)
    v = v.at[slots, :, position].set(new_v)
    x = output_and_mlp(layer, shape, x, attend(q, k, v, length))
    grown.append((k, v))
  x = norm(x, params['norm'], shape.norm_eps)
  logits = jnp.einsum(
    'sd,dv->sv', x, head(params), preferred_element_type=jnp.float32
  )
  if shape.padding:
    words = jnp.arange(shape.vocab) < shape.vocab - shape.padding
    logits = jnp.where(words, logits, -jnp.inf)
  return logits, tuple(grown)


def scan_layers(block, x, layers):
  """jax.lax.scan over the stacked layers; a few layers are unrolled."""
  count = jax.tree.leaves(layers)[0].shape[0]
  # Unrolled, two layers run 20 % faster on a CPU; 28 would compile for minutes.
  return jax.lax.scan(block, x, layers, unroll=count <= 4)


def head(params):
  """The output matrix [D, V]; the embedding's transpose if tied."""
  return params['head'] if 'head' in params else params['embed'].T


def project_qkv(layer, shape, x, angles):
  """Normed x [..., D] to q [..., H, E] and k, v [..., K, E], with RoPE."""
  x = norm(x, layer['attn_norm'], shape.norm_eps)
  q = _product(x, layer, 'q', 'dhe')
  k = _product(x, layer, 'k', 'dke')
  v = _product(x, layer, 'v', 'dke')
  if shape.qkv_bias:
    q, k, v = q + layer['q_bias'], k + layer['k_bias'], v + layer['v_bias']
  if shape.qk_norm:
    q = norm(q, layer['q_norm'], shape.norm_eps)
    k = norm(k, layer['k_norm'], shape.norm_eps)
  return rope.turn(q, angles), rope.turn(k, angles), v


def output_and_mlp(layer, shape, x, out):
  """The rest of a block after attention: output matrix, residuals, SwiGLU."""
  # In two dimensions, because XLA would transpose (h, e) on a CPU.
  out = out.reshape(*x.shape[:-1], -1)
  x = x + checkpoint_name(_product(out, layer, 'o', 'ad'), 'output')
  y = norm(x, layer['mlp_norm'], shape.norm_eps)
  gate = checkpoint_name(_product(y, layer, 'gate', 'df'), 'gate')
  gate = jax.nn.silu(gate)
  up = _product(y, layer, 'up', 'df')
  return x + _product(gate * up, layer, 'down', 'fd')


def _product(x, layer, name, axes):
  """x [..., I] times a matrix, plus x A B if it has an adapter.

  Args:
    x: [..., I]; the matrix's input axes are flat in it.
    layer: arrays of one layer by name.
    name: a key of MATRICES.
    axes: einsum's letters of the matrix: one for its inputs, then its outputs.
  """

  def flat(w):
    return w.reshape(x.shape[-1], *w.shape[MATRICES[name] :])

  given, made = axes[0], axes[1:]
  y = jnp.einsum(f'...{given},{axes}->...{made}', x, flat(layer[name]))
  a, b = (name + end for end in ADAPTER)
  if a not in layer:
    return y
  inner = jnp.einsum(f'...{given},{given}r->...r', x, flat(layer[a]))
  return y + jnp.einsum(f'...r,r{made}->...{made}', inner, layer[b])


def norm(x, scale, eps):
  """RMSNorm over the last axis, in float32; returns the scale's dtype."""
  wide = x.astype(jnp.float32)
  wide *= jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + eps)
  # Rounded once, at the end; transformers also rounds before the scale.
  return (wide * scale).astype(scale.dtype)


def _is_size(value):
  return isinstance(value, tuple)
