"""The parameters of a run's policy before its first update, on the devices.

See models/lora.py: with adapters the policy is frozen and the adapters are
trained; without them the whole policy is trained.
"""

import hashlib

import jax
import jax.numpy as jnp

from siri_jax import compiled, sft
from siri_jax.data import load
from siri_jax.models import decoder, lora, sharding
from siri_jax.models.hf import initial
from siri_jax.runtime import checkpoint

BASE = 'base'  # Name of the fingerprint of frozen parameters.


def frozen(c, task, recipe, layout, screen, signals):
  """The frozen parameters in the compute dtype; {} without adapters.

  Args:
    c: the config.
    task: types.Task, for SFT.
    recipe: update.UpdateConfig.
    layout: sharding.Layout.
    screen: terminal.Terminal.
    signals: stopwatch.Signals.
  """
  if not recipe.adapters.rank:
    return {}
  own = c, task, recipe.shape, layout.frozen, recipe.dtype
  return whole(*own, screen, signals)


def trained(c, task, recipe, layout, screen, signals):
  """The trained parameters, float32; arguments as of `frozen`."""
  places = layout.state.params
  if not recipe.adapters.rank:
    return whole(c, task, recipe.shape, places, jnp.float32, screen, signals)
  key = jax.random.fold_in(jax.random.key(c.seed), 1)  # 0: a fresh policy's.
  return sharding.put(lora.init(key, recipe.shape, recipe.adapters), places)


def whole(c, task, shape, places, dtype, screen, signals):
  """All parameters of the policy that a run starts from.

  Args:
    c: the config.
    task: types.Task, for SFT.
    shape: decoder.ModelConfig.
    places: sharding of each array.
    dtype: dtype of the parameters.
    screen: terminal.Terminal.
    signals: stopwatch.Signals.
  """
  if c.policy != 'sft':
    return initial.parameters(c, shape, places, dtype)
  fresh = initial.parameters(c, shape, places)
  params = sft.parameters(c, task, shape, fresh, screen, signals)
  return sharding.put(params, places, dtype)


def base(held, added):
  """The fingerprint that binds adapters to what they are added to.

  Args:
    held: of `frozen`.
    added: lora.Adapters.
  Returns:
    {BASE: sha256 of the frozen parameters and the adapters' scale}; {} without
    adapters. It is the same on every mesh.
  """
  if not added.rank:
    return {}
  found = jax.device_get(compiled.evaluated(lora.checksums, held))
  numbers = [int(n) for n in jax.tree.leaves(found)]
  text = repr((numbers, added.alpha / added.rank))
  return {BASE: hashlib.sha256(text.encode()).hexdigest()}


def adapters(c):
  """The lora.Adapters of a run's settings; an older run has none."""
  return lora.of(c.lora_kw) if 'lora_kw' in c else lora.NONE


def refuse_other_base(checkpoints, done, now):
  """Raises if a checkpoint's adapters were trained on another base.

  Args:
    checkpoints: path of a run's checkpoints.
    done: updates done of one of them.
    now: of `base`.
  Raises:
    ValueError: they were.
  """
  then = checkpoint.read_facts(checkpoints, done).get('fingerprints', {})
  if then.get(BASE) != now.get(BASE):
    raise ValueError(
      f'{checkpoints}: the adapters of checkpoint {done} were trained on '
      'another base or with another lora_kw.alpha; set policy, model_path, '
      'compute_dtype and lora_kw as in the run'
    )


def of_checkpoint(c, checkpoints, done, screen, signals):
  """A checkpoint's policy on this process's first device, float32.

  Args:
    c: the run's settings.
    checkpoints: path of the run's checkpoints.
    done: updates done of one of them.
    screen: terminal.Terminal.
    signals: stopwatch.Signals.
  Returns:
    (decoder.ModelConfig, tree of lora.joined).
  Raises:
    ValueError: there is no such checkpoint, it is damaged, or its adapters
      were trained on another base.
  """
  params = checkpoint.read_parameters(checkpoints, done)
  added = adapters(c)
  if not added.rank:
    return initial.shape_of(c, params['embed'].shape[0]), params
  task = None if c.policy == 'pretrained' else load.load_task(c)[0]
  shape = initial.shape_of(c, task.vocab if task else 0)
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  places = jax.tree.map(
    lambda _: here,
    decoder.param_shapes(shape),
    is_leaf=lambda x: isinstance(x, tuple),
  )
  held = whole(c, task, shape, places, jnp.float32, screen, signals)
  as_trained = jax.tree.map(lambda x: x.astype(c.compute_dtype), held)
  refuse_other_base(checkpoints, done, base(as_trained, added))
  return shape, lora.joined(held, params, added)
