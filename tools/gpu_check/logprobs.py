"""Log-probabilities: packed against alone, bfloat16 against transformers.

A policy of 4 layers of the 1.5B has random parameters. Distances are of the
log-probabilities of the response tokens, nats.
"""

import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from siri_jax import compiled, types
from siri_jax.algorithm import packing
from siri_jax.config import base
from siri_jax.config import recipe as recipes
from siri_jax.models import attention, decoder, hf_names, sharding
from tools.benchmarks import full_size
from tools.gpu_check.findings import checked, left_out, measured

ROOT = pathlib.Path(__file__).parents[2]
LENGTHS = (3000, 400, 1700, 900, 2600, 300)  # Tokens of the responses.
TINY_LENGTHS = (90, 40, 17)
PROMPT = 16  # Tokens.
ROUNDING = 1e-4  # nats; the most that float32 may differ.
SLACK = 1.25  # Ratio of two means of rounding errors that counts as equal.


def check(tiny):
  """Yields the distances between policies, packings and transformers."""
  shape = full_size.SHAPES['tiny' if tiny else '1.5b']
  shape = dataclasses.replace(shape, layers=1 if tiny else 4)
  samples = draw(shape, TINY_LENGTHS if tiny else LENGTHS)
  params = parameters(shape)
  try:  # Before JAX takes the GPU's memory.
    theirs = of_transformers(shape, params, samples)
  except (ImportError, subprocess.CalledProcessError) as error:
    theirs, why = None, getattr(error, 'stderr', str(error)).strip()
    yield left_out('ours against transformers', why.splitlines()[-1])
  row_tokens = 128 if tiny else 4096
  with jax.default_matmul_precision('highest'):
    exact, packed = of_ours(shape, params, samples, 'float32', row_tokens)
  yield distance('packed against alone, float32', packed, exact)
  if theirs:
    yield distance('ours against transformers, float32', exact, theirs[0])
  narrow = of_ours(shape, params, samples, 'bfloat16', row_tokens)
  alone, packed = (float(np.mean(np.abs(x - exact))) for x in narrow)
  name = 'alone in bfloat16 against float32, mean'
  if theirs:
    own = float(np.mean(np.abs(theirs[1] - theirs[0])))
    yield measured(
      'transformers in bfloat16 against float32, mean', own, 'nats'
    )
    yield checked(name, alone, 'nats', at_most=own)
  else:
    yield measured(name, alone, 'nats')
  yield checked(
    'packed in bfloat16 against float32, mean',
    packed,
    'nats',
    at_most=SLACK * alone,
  )


def distance(name, a, b):
  """The largest difference, which float32's rounding must explain."""
  return checked(name, np.max(np.abs(a - b)), 'nats', at_most=ROUNDING)


def draw(shape, lengths):
  """Random samples with responses of these lengths."""
  rng = np.random.default_rng(0)
  return [
    types.Tokens(
      prompt_ids=rng.integers(0, shape.vocab, PROMPT, np.int32),
      response_ids=rng.integers(0, shape.vocab, length, np.int32),
    )
    for length in lengths
  ]


def parameters(shape):
  """Random float32 parameters of the host.

  Norms and biases are away from 1 and 0, so that their effect is tested.
  """
  rng = np.random.default_rng(1)

  def make(path, size):
    name, noise = path[-1].key, rng.standard_normal(size, np.float32)
    vector = name.endswith(('norm', 'bias'))
    return (0.1 if vector else 0.04) * noise + name.endswith('norm')

  return jax.tree.map_with_path(
    make,
    decoder.param_shapes(shape),
    is_leaf=lambda x: isinstance(x, tuple),
  )


def of_ours(shape, params, samples, dtype, row_tokens):
  """Log-probabilities by our policy, each sample alone in a row, and packed.

  Args:
    shape: decoder.ModelConfig.
    params: float32 parameters of the host.
    samples: list of types.Tokens.
    dtype: name of the dtype to compute in.
    row_tokens: tokens of a packed row.
  Returns:
    Two arrays float32 [tokens of all responses], one sample after another.
  """
  fast = jax.default_backend() == 'gpu' and dtype == 'bfloat16'
  recipe = full_size.recipe_of(
    base.get_config(),
    shape,
    attend=attention.cudnn if fast else attention.blocked,
    dtype=jnp.dtype(dtype),
    remat='full',
  )
  mesh = sharding.make_mesh(jax.devices()[:1], data=1, fsdp=1, tensor=1)
  layout = sharding.layout(mesh, recipes.blank(recipe))
  params = jax.device_put(params, layout.state.params)
  read = compiled.compile_logprobs(recipe, layout)
  # Each sample's number is in `adv`, to find it again in the rows.
  numbers = np.arange(len(samples), dtype=np.float32)
  found = []
  for sequences in (1, attention.SEQUENCES):
    fit = packing.PackingConfig(row_tokens, sequences, 1, 1, (1.0, 0.0))
    rows, count = packing.pack(samples, [1.0] * len(samples), numbers, fit)
    logp, _ = read({}, params, sharding.put(rows, layout.rows), np.int32(count))
    live = rows.mask > 0
    logp, owner = np.asarray(logp)[live], rows.adv[live]
    found.append(np.concatenate([logp[owner == n] for n in numbers]))
  return found


def of_transformers(shape, params, samples):
  """The same by transformers, in float32 and in bfloat16.

  Raises:
    ImportError: torch is not installed.
    subprocess.CalledProcessError: it failed.
  """
  if not importlib.util.find_spec('torch'):
    raise ImportError('torch is not installed')
  with tempfile.TemporaryDirectory() as folder:
    save_file(
      {
        name: np.ascontiguousarray(x)
        for name, x in hf_names.named(
          hf_names.export(params, np.float32), shape
        ).items()
      },
      f'{folder}/model.safetensors',
    )
    ids = [
      [*map(int, s.prompt_ids), *map(int, s.response_ids)] for s in samples
    ]
    job = {'shape': dataclasses.asdict(shape), 'ids': ids, 'prompt': PROMPT}
    pathlib.Path(folder, 'job.json').write_text(json.dumps(job))
    subprocess.run(
      [sys.executable, '-m', 'tools.benchmarks.peers.torch_logprobs', folder],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=True,
    )
    return [
      np.load(pathlib.Path(folder, f'{dtype}.npy'))
      for dtype in ('float32', 'bfloat16')
    ]
