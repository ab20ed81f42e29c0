"""Checkpoints: bit-exact restore, and fallback to the one before."""

import json
import shutil

import builders
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siri_jax import compiled
from siri_jax.algorithm import optimizers
from siri_jax.models import decoder, sharding
from siri_jax.runtime import checkpoint, files

FACTS = {'tokens': 12345, 'task': 'fingerprint'}
TX = optimizers.adamw(
  learning_rate=1e-2,
  warmup_steps=0,
  b1=0.9,
  b2=0.999,
  eps=1e-8,
  weight_decay=0.01,
  clip_norm=1.0,
)


def recipes(**shape):
  """A state's shapes and types."""
  sizes = decoder.param_shapes(builders.tiny_shape(vocab=20, **shape))
  params = jax.tree.map(
    lambda size: jax.ShapeDtypeStruct(size, jnp.float32),
    sizes,
    is_leaf=lambda x: isinstance(x, tuple),
  )
  return jax.eval_shape(lambda p: compiled.new_state(p, TX), params)


def state_at(step, **shape):
  """A state in which all arrays, including moments, are random."""
  rng = np.random.default_rng(step)
  state = jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape) * 9, x.dtype),
    recipes(**shape),
  )
  return state.replace(step=jnp.int32(step))


def like(state):
  """The argument of `restore`: shapes, dtypes and shardings."""
  mesh = sharding.make_mesh(jax.devices(), data=1, fsdp=1, tensor=1)
  layout = sharding.layout(mesh, state)
  return checkpoint.abstract(state, layout.state)


def assert_same(restored, state):
  """The same tree, types and bits."""
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  for a, b in zip(
    jax.tree.leaves(restored), jax.tree.leaves(state), strict=True
  ):
    assert a.dtype == b.dtype
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


class Opened:
  """A run's checkpoints, opened for every use as after a kill."""

  def __init__(self, folder, keep=3, **options):
    self.folder, self.told = folder, []
    self._options = dict(keep=keep, **options)

  def save(self, *states):
    found = checkpoint.CheckpointManager(self.folder, **self._options)
    for state in states:
      found.save(state, FACTS)
    found.close()

  def restore(self, wanted):
    found = checkpoint.CheckpointManager(self.folder, **self._options)
    try:
      return found.restore(wanted, self.told.append)
    finally:
      found.close()

  def steps(self):
    """Steps of the checkpoints; they must equal those of the manifests."""
    folders = {p.name for p in self.folder.iterdir() if p.is_dir()}
    manifests = {p.name[:6] for p in self.folder.glob('*.manifest.json')}
    assert folders == manifests
    return sorted(map(int, folders))


@pytest.fixture(scope='module')
def states():
  return {step: state_at(step) for step in range(1, 7)}


@pytest.fixture(scope='module')
def saved(tmp_path_factory, states):
  """The folder of checkpoints 1 and 2, to be copied by tests."""
  folder = tmp_path_factory.mktemp('saved') / 'checkpoints'
  Opened(folder).save(states[1], states[2])
  return folder


@pytest.fixture
def run(tmp_path, saved):
  """A run with checkpoints 1 and 2."""
  return Opened(shutil.copytree(saved, tmp_path / 'checkpoints'))


def test_a_state_comes_back_typed_and_bit_for_bit(run, states):
  restored, facts = run.restore(like(states[2]))
  assert_same(restored, states[2])
  assert type(restored) is type(states[2])
  assert facts == FACTS
  assert run.told == []


def test_a_state_is_restored_with_its_sharding(run, states):
  mesh = sharding.make_mesh(jax.devices(), data=2, fsdp=2, tensor=2)
  wanted = checkpoint.abstract(
    states[2], sharding.layout(mesh, states[2]).state
  )
  restored, _ = run.restore(wanted)
  assert_same(restored, states[2])
  for array, meant in zip(
    jax.tree.leaves(restored), jax.tree.leaves(wanted), strict=True
  ):
    assert array.sharding.is_equivalent_to(meant.sharding, array.ndim)


def test_without_a_checkpoint_restore_returns_none(tmp_path, states):
  run = Opened(tmp_path / 'checkpoints')
  assert run.restore(like(states[1])) is None
  assert run.told == []


def test_saving_a_step_again_leaves_it_as_it_is(run, states):
  other = state_at(9).replace(step=jnp.int32(2))
  run.save(other)
  restored, _ = run.restore(like(other))
  assert_same(restored, states[2])


def test_the_newest_checkpoints_and_those_at_extrema_are_kept(tmp_path, states):
  run = Opened(tmp_path / 'checkpoints', keep=2, always=(1, 3))
  run.save(*states.values())
  assert run.steps() == [1, 3, 5, 6]


def test_multiples_of_keep_every_are_kept(tmp_path, states):
  run = Opened(tmp_path / 'checkpoints', keep=1, every=2)
  run.save(*states.values())
  assert run.steps() == [2, 4, 6]
  run.save(state_at(7))
  assert run.steps() == [2, 4, 6, 7]


def test_a_state_may_be_donated_while_it_is_written(tmp_path):
  large = jnp.arange(2.0**22).reshape(2048, 2048)
  state = state_at(1).replace(params={'large': large})
  here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  wanted = checkpoint.abstract(state, jax.tree.map(lambda _: here, state))
  change = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
  run = checkpoint.CheckpointManager(tmp_path / 'checkpoints', keep=1)
  run.save(state, FACTS)
  jax.block_until_ready(change(state))
  run.finish()
  restored, _ = run.restore(wanted, print)
  run.close()
  np.testing.assert_array_equal(
    restored.params['large'].ravel(), np.arange(2.0**22)
  )


def test_no_checkpoint_is_deleted_before_the_next_one_is_whole(
  tmp_path, states, monkeypatch
):
  run = Opened(tmp_path / 'checkpoints', keep=1)
  run.save(states[1])

  def killed(path, value):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(files, 'write_json', killed)
    with pytest.raises(KeyboardInterrupt):
      run.save(states[2])
  restored, _ = run.restore(like(states[1]))
  assert_same(restored, states[1])
  run.save(states[2])
  assert run.steps() == [2]


def flip(path):
  """One bit in the middle of a file."""
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def truncate(path):
  path.write_bytes(path.read_bytes()[:-2])  # The last may be a line break.


def files_of(folder):
  return sorted(p for p in folder.rglob('*') if p.is_file())


@pytest.mark.parametrize('harm', [flip, truncate, lambda path: path.unlink()])
def test_damage_to_any_file_is_named_and_the_checkpoint_before_is_restored(
  run, states, harm
):
  pristine = {p: p.read_bytes() for p in files_of(run.folder / '000002')}
  manifest = run.folder / '000002.manifest.json'
  pristine[manifest] = manifest.read_bytes()
  largest = max(pristine, key=lambda p: len(pristine[p]))
  metadata = next(p for p in pristine if p.name == '_METADATA')
  top = run.folder / '000002' / '_CHECKPOINT_METADATA'
  for path in (largest, metadata, top):
    for name, data in pristine.items():
      name.parent.mkdir(parents=True, exist_ok=True)
      name.write_bytes(data)
    harm(path)
    run.told.clear()
    restored, facts = run.restore(like(states[1]))
    assert_same(restored, states[1])
    assert facts == FACTS
    (told,) = run.told
    assert '000002 is damaged' in told
    assert str(path.relative_to(run.folder / '000002')) in told
    assert run.steps() == [1]


def test_a_checkpoint_without_a_manifest_is_skipped(run, states):
  (run.folder / '000002.manifest.json').unlink()
  restored, _ = run.restore(like(states[1]))
  assert_same(restored, states[1])
  assert run.told == ['checkpoint 000002 was not finished']
  assert run.steps() == [1]


def test_a_manifest_of_sha256_sums_is_read_and_finds_damage(run, states):
  folder = run.folder / '000002'
  sums = checkpoint.checksums(folder, of=files.sha256)
  checkpoint.manifest(run.folder, 2).write_text(json.dumps(sums))
  assert_same(run.restore(like(states[2]))[0], states[2])
  next(p for p in sorted(folder.rglob('*')) if p.is_file()).unlink()
  assert_same(run.restore(like(states[1]))[0], states[1])
  assert '000002 is damaged' in run.told[0]


def test_an_incomplete_manifest_is_damage(run, states):
  truncate(run.folder / '000002.manifest.json')
  restored, _ = run.restore(like(states[1]))
  assert_same(restored, states[1])
  assert '000002.manifest.json' in run.told[0]


def test_a_manifest_that_is_no_object_is_damage(run):
  for text in ('', '[1]', '"x"', '[' * 100_000):
    checkpoint.manifest(run.folder, 2).write_text(text)
    with pytest.raises(checkpoint.CorruptCheckpointError, match='manifest'):
      checkpoint.read_parameters(run.folder, 2)


def test_the_step_of_a_damaged_checkpoint_can_be_saved_again(run, states):
  flip(max(files_of(run.folder / '000002'), key=lambda p: p.stat().st_size))
  run.restore(like(states[1]))
  run.save(states[2])
  run.told.clear()
  restored, _ = run.restore(like(states[2]))
  assert_same(restored, states[2])
  assert run.told == []


def test_without_a_valid_checkpoint_it_raises_and_deletes_nothing(run, states):
  for step in ('000001', '000002'):
    flip(max(files_of(run.folder / step), key=lambda p: p.stat().st_size))
  for _ in range(2):  # The second call must not silently return None.
    with pytest.raises(
      checkpoint.CorruptCheckpointError, match=r'\[2, 1\] is valid'
    ):
      run.restore(like(states[2]))
  assert run.steps() == [1, 2]


def test_the_files_of_a_killed_save_are_deleted(run, states):
  half = run.folder / '000003.orbax-checkpoint-tmp'
  half.mkdir()
  (half / 'some').write_bytes(b'half')
  restored, _ = run.restore(like(states[2]))
  assert_same(restored, states[2])
  run.save(states[3])
  assert run.steps() == [1, 2, 3]


def test_a_run_killed_in_its_first_save_starts_from_step_0(tmp_path, states):
  run = Opened(tmp_path / 'checkpoints')
  run.save(states[1])
  (run.folder / '000001.manifest.json').unlink()
  assert run.restore(like(states[1])) is None
  run.save(states[1])
  assert run.steps() == [1]


def test_another_dtype_is_refused_and_never_cast(run, states):
  halved = states[2].replace(
    params=jax.tree.map(lambda x: x.astype(jnp.bfloat16), states[2].params)
  )
  with pytest.raises(ValueError, match='another model') as refusal:
    run.restore(like(halved))
  assert 'params/embed' in str(refusal.value)
  assert 'float32' in str(refusal.value)
  assert 'bfloat16' in str(refusal.value)


@pytest.mark.parametrize(
  ('shape', 'named'),
  [
    ({'mlp': 32}, 'params/layers/down'),
    ({'layers': 3}, 'params/layers/attn_norm'),
    ({'tied': True}, 'params/head'),
  ],
)
def test_another_model_is_refused_by_its_arrays(run, shape, named):
  with pytest.raises(ValueError, match='another model') as refusal:
    run.restore(like(recipes(**shape)))
  assert named in str(refusal.value)
  assert run.steps() == [1, 2]


def test_a_model_with_an_array_more_is_refused(tmp_path):
  run = Opened(tmp_path / 'checkpoints')
  run.save(state_at(1, tied=True))
  with pytest.raises(ValueError, match=r'params/head is None, the model'):
    run.restore(like(recipes()))
