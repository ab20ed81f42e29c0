"""Estimate of the device memory of an update, from shapes only.

The temporary memory of a block's backward pass was fitted to the buffers that
XLA assigns to the real program.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from siri_jax.config import recipe as recipes
from siri_jax.models import attention, decoder, logprobs, lora, sharding

WORDS = 4  # Bytes of a float32 or int32.
# Temporary activations of a block in the backward pass.
MLP_WIDE, STREAM_WIDE = 6, 13
QK_NORM_WIDE = 8  # Of the norms of queries and keys.
SPARE = 0.1  # Share of a device for other buffers and fragmentation.


def estimate(recipe, layout, state, fit, micro_batches):
  """Bytes of one device by purpose.

  Args:
    recipe: update.UpdateConfig.
    layout: sharding.Layout; its mesh may be abstract.
    state: types.TrainState of shapes.
    fit: packing.PackingConfig.
    micro_batches: U, most micro-batches.
  Returns:
    dict. Only the larger of 'block' and 'head' counts: they are never in memory
    at the same time.
  """
  rows = fit.micro_batch_rows // fit.devices
  tensor = layout.mesh.shape['tensor']
  width = jnp.dtype(recipe.dtype).itemsize
  frozen = recipes.frozen(recipe)
  params = _bytes(state.params, layout.state.params)
  whole = _count(state.params) // tensor
  if recipe.param_sharding == 'zero1':
    # All weights, their gradients, and those of one micro-batch. On one device
    # frozen weights are computed with as they are.
    cut = layout.mesh.shape['fsdp'] > 1
    gathered = width * (whole + cut * _count(frozen) // tensor)
    gradients = (WORDS + width) * whole
  else:
    gathered = width * _fetched(recipe, layout.mesh) // tensor
    gradients = 2 * params
  # B times alpha / rank, float32.
  scaled = [
    _bytes(x, layout.state.params['layers'][name])
    for name, x in state.params['layers'].items()
    if name.endswith(lora.B)
  ]
  tokens = rows * fit.row_tokens
  return {
    'parameters': params + _bytes(frozen, layout.frozen),
    'optimiser': _bytes(state.opt_state, layout.state.opt_state),
    'gradients': gradients,
    'gathered weights': gathered + sum(scaled),
    'rows': 8 * WORDS * micro_batches * tokens,
    'kept': tokens * _kept(recipe, tensor, width)
    + _statistics(recipe, rows, fit.row_tokens, tensor),
    'block': width * tokens * _block(recipe.shape, tensor)
    + _scores(recipe, rows, fit.row_tokens, tensor),
    'head': _head(recipe, tokens, tensor),
  }


def estimates(recipe, layout, state, fit, micro_batches):
  """`estimate` for each policy of decoder.REMAT, by name."""
  by_remat = {r: dataclasses.replace(recipe, remat=r) for r in decoder.REMAT}
  return {
    remat: estimate(recipe, layout, state, fit, micro_batches)
    for remat, recipe in by_remat.items()
  }


def total(parts):
  """Peak bytes of one device, from the result of `estimate`."""
  rest = sum(n for name, n in parts.items() if name not in ('block', 'head'))
  return rest + max(parts['block'], parts['head'])


def fits(parts, device_gb):
  """Whether they fit a device, with SPARE left."""
  return total(parts) <= (1 - SPARE) * device_gb * 1e9


def best(found, device_gb):
  """The remat policy with the least recomputation that fits a device.

  Never 'nothing': it needs more than twice the memory of 'products' and is not
  faster, because reading the values takes as long as recomputing them. It can
  be set by name.

  Args:
    found: result of `estimates`, least memory first.
    device_gb: memory of a device, GB.
  """
  fast = [r for r in found if r != 'nothing' and fits(found[r], device_gb)]
  return fast[-1] if fast else next(iter(found))


def of_plan(plan, shape):
  """Key of decoder.REMAT -> `estimate` of the plan's update.

  Raises:
    ValueError: the mesh does not divide an array of the policy.
  """
  recipe = recipes.recipe_of(plan, shape, 'full')
  fit, state = recipes.fit_of(plan, shape), recipes.blank(recipe)
  layout = sharding.layout(
    sharding.abstract_mesh(**plan.c.mesh_kw), state, recipes.frozen(recipe)
  )
  # All rows of a step are on the devices, with and without gradient.
  most = 2 * plan.samples * plan.most_chunks
  micro_batches = -(-most // fit.micro_batch_rows)
  return estimates(recipe, layout, state, fit, micro_batches)


def choose_remat(c, found):
  """The config's remat policy; if it is '', the `best` of `of_plan`."""
  return c.update_kw.remat or best(found, c.update_kw.device_gb)


def misfit(c, found, remat):
  """A warning if an update of `of_plan` may not fit a device, else ''."""
  parts, limit = found[remat], c.update_kw.device_gb
  if fits(parts, limit):
    return ''
  return (
    f'WARNING: an update is estimated to need {total(parts) / 1e9:.3g} '
    f'GB of a device with update_kw.remat={remat!r}; '
    f'update_kw.device_gb={limit:g} minus a tenth is available. --dry_run '
    'shows the parts. Set mesh_kw.fsdp to more devices, or another remat'
  )


def _bytes(tree, shardings):
  """Bytes that one device holds of a tree."""
  sizes = jax.tree.map(
    lambda x, s: math.prod(s.shard_shape(x.shape)) * x.dtype.itemsize,
    tree,
    shardings,
  )
  return sum(jax.tree.leaves(sizes))


def _count(tree):
  return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def _fetched(recipe, mesh):
  """Number of weights gathered at one time: two layers, embedding and head.

  The gradient of the embedding is also gathered, in float32, if it is trained.
  """
  shape, trained = recipe.shape, not recipe.adapters.rank
  if mesh.shape['fsdp'] == 1:
    return trained * shape.vocab * shape.dim
  sizes = decoder.param_shapes(shape)['layers'].values()
  layer = sum(math.prod(size[1:]) for size in sizes)
  ends = 1 if shape.tied else 2
  return 2 * layer + (ends + trained) * shape.vocab * shape.dim


def _kept(recipe, tensor, width):
  """Bytes kept for the backward pass, a token of all layers."""
  shape, remat = recipe.shape, recipe.remat
  heads, kv_heads = shape.heads // tensor, shape.kv_heads // tensor
  out, mlp = heads * shape.head_dim, shape.mlp // tensor
  qkv = (heads + 2 * kv_heads) * shape.head_dim
  kept = {
    'full': 0,
    'attention': out,
    'qkv': out + qkv,
    'gate': out + qkv + shape.dim + mlp,
    'products': out + qkv + shape.dim + 2 * mlp + _added(recipe, tensor),
    'nothing': out + qkv + 6 * mlp,
  }
  # The residual stream and the outputs of norms are float32.
  wide = shape.dim
  if remat == 'nothing':
    wide = 9 * shape.dim + 3 * _normed(shape, tensor)
  return shape.layers * (width * kept[remat] + WORDS * wide)


def _added(recipe, tensor):
  """Numbers of adapters' products, A x and B A x, a token of one layer."""
  shape, adapters = recipe.shape, recipe.adapters
  heads = {'q': shape.heads, 'k': shape.kv_heads, 'v': shape.kv_heads}
  wide = {name: n * shape.head_dim // tensor for name, n in heads.items()}
  wide |= {'o': shape.dim, 'down': 0}  # The block's output is not kept.
  wide |= dict.fromkeys(('gate', 'up'), shape.mlp // tensor)
  return sum(wide[name] + adapters.rank for name in adapters.targets)


def _block(shape, tensor):
  """Temporary numbers of one block's backward pass, a token."""
  norms = QK_NORM_WIDE * _normed(shape, tensor)
  return MLP_WIDE * shape.mlp // tensor + STREAM_WIDE * shape.dim + norms


def _normed(shape, tensor):
  """Numbers of a token's queries and keys, if they get a norm."""
  heads = (shape.heads + shape.kv_heads) // tensor
  return shape.qk_norm * heads * shape.head_dim


def _statistics(recipe, rows, row_tokens, tensor):
  """Bytes of the softmax statistics that cuDNN keeps of every layer."""
  if recipe.attend is not attention.cudnn:
    return 0
  layers = 1 if recipe.remat == 'full' else recipe.shape.layers
  heads = recipe.shape.heads // tensor
  return WORDS * layers * rows * attention.SEQUENCES * heads * row_tokens


def _scores(recipe, rows, row_tokens, tensor):
  """Bytes of the scores of one layer, for attention that stores them."""
  at_a_time = {
    attention.reference: row_tokens,
    attention.blocked: attention.BLOCK,
    attention.cudnn: 0,
  }
  heads = recipe.shape.heads // tensor
  return 3 * WORDS * rows * heads * at_a_time[recipe.attend] * row_tokens


def _head(recipe, tokens, tensor):
  """Bytes of the head's gradients and of the logits at the same time."""
  shape, width = recipe.shape, jnp.dtype(recipe.dtype).itemsize
  chunk, vocab = min(recipe.chunk, tokens), shape.vocab // tensor
  block = vocab // logprobs.blocks(vocab)
  trained = width * vocab * (not recipe.adapters.rank)
  gradients = (trained + WORDS * block + WORDS * tokens) * shape.dim
  logits = (WORDS + width) * chunk * block
  return max(WORDS * chunk * vocab, gradients + logits)
