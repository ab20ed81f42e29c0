"""Pushes: writing, reading, and refusals."""

import asyncio
import functools
import json
import os
import pickletools

import builders
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from siri_jax.models import hf_names, sharding
from siri_jax.rollout import weight_sync
from siri_jax.rollout.vllm_plugin import auth, tensor_parallel, weight_reader

SHAPE = builders.tiny_shape()
DTYPE = 'bfloat16'


def wanted_by(rank, ranks):
  """The Wanted of a rank."""
  return {
    name: weight_reader.Wanted(
      source, DTYPE, tensor_parallel.part_of(source, SHAPE, rank, ranks)
    )
    for name, source in hf_names.sources(SHAPE).items()
  }


WANTED = wanted_by(0, 1)


def export(params):
  return jax.tree.map(jnp.asarray, hf_names.export(params, jnp.bfloat16))


def written(folder, version=3, export=export):
  """The Pushed of lively parameters."""
  publisher = weight_sync.WeightPublisher(
    folder, 'run', export, push_secs=1.0, sleeps=False
  )
  return publisher.write(builders.lively(SHAPE), version)


def read(folder, pushed, wanted=WANTED, rank=0, ranks=1):
  return weight_reader.read(
    folder, pushed.name, pushed.digest, wanted, rank, ranks
  ).arrays


def test_a_push_is_read_as_it_was_written_under_hugging_face_names(tmp_path):
  params = builders.lively(SHAPE)
  found = read(tmp_path, written(tmp_path))
  assert found.keys() == WANTED.keys()
  for name, (ours, layer, size) in hf_names.sources(SHAPE).items():
    array = params[ours] if layer is None else params['layers'][ours][layer]
    expected = hf_names.to_hf(ours, array).astype(ml_dtypes.bfloat16)
    assert found[name].shape == size
    np.testing.assert_array_equal(
      found[name].view(np.uint16), np.asarray(expected).view(np.uint16), name
    )


def taken(name, whole, rank, ranks):
  """The slice of a tensor that vLLM's loaders use for Qwen2."""
  layer = name.rpartition('.layers.')[2]
  if 'norm' in layer:
    return whole
  if 'k_proj' in layer or 'v_proj' in layer:
    heads = np.split(whole, SHAPE.kv_heads)
    each = max(1, SHAPE.kv_heads // ranks)
    first = rank * SHAPE.kv_heads // ranks
    return np.concatenate(heads[first : first + each])
  if 'embed' in layer or 'head' in layer:
    per = 64 // ranks  # The 19 ids are padded.
    return whole[rank * per : (rank + 1) * per]
  axis = 1 if 'o_proj' in layer or 'down_proj' in layer else 0
  return np.split(whole, ranks, axis)[rank]


def scattered(params, devices=4):
  """An export with arrays sharded over devices, where they divide an axis."""
  mesh = jax.make_mesh(
    (1, 1, devices), sharding.MESH_AXES, devices=jax.devices()[:devices]
  )
  return {
    name: jax.device_put(array, sharding.spread(mesh, array.shape))
    for name, array in export(params).items()
  }


# The model has two layers, so two devices hold one each.
layer_by_layer = functools.partial(scattered, devices=2)


def test_the_last_pushes_are_kept_also_after_a_close(tmp_path):
  publisher = weight_sync.WeightPublisher(
    tmp_path, 'run', export, push_secs=1.0, sleeps=False
  )
  for version in range(4):
    publisher.write(builders.lively(SHAPE), version)
    publisher.close()
  kept = sorted(path.name for path in tmp_path.iterdir())
  assert kept == ['run-000002', 'run-000003']


def test_an_array_is_spread_over_the_first_axis_that_the_devices_divide():
  mesh = jax.make_mesh((1, 1, 4), sharding.MESH_AXES, devices=jax.devices()[:4])
  for size, axis in (
    ((8, 3), 0),
    ((2, 12, 4), 1),
    ((2, 3, 4), 2),
    ((2, 3), None),
  ):
    spec = sharding.spread(mesh, size).spec
    expected = [sharding.MESH_AXES if i == axis else None for i in range(3)]
    assert [*spec, None, None, None][:3] == expected


@pytest.mark.parametrize('export', [export, scattered, layer_by_layer])
@pytest.mark.parametrize('ranks', [2, 4])
def test_a_rank_reads_only_the_slices_of_its_loaders(tmp_path, ranks, export):
  pushed = written(tmp_path, export=export)
  whole = read(tmp_path, pushed)
  for rank in range(ranks):
    wanted = wanted_by(rank, ranks)
    found = read(tmp_path, pushed, wanted, rank, ranks)
    for name, array in whole.items():
      assert found[name].shape == array.shape
      expected = taken(name, array, rank, ranks)
      part = found[name][wanted[name].part]
      assert part.shape == expected.shape, name
      assert part.tobytes() == expected.tobytes(), name


def test_each_file_is_checked_by_one_rank(tmp_path):
  pushed = written(tmp_path)
  spoilt('a bit')(tmp_path / pushed.name)
  refused = 0
  for rank in range(4):
    try:
      read(tmp_path, pushed, wanted_by(rank, 4), rank, 4)
    except weight_reader.PushError:
      refused += 1
  assert refused == 1


def test_nothing_in_a_push_is_pickled(tmp_path):
  pushed = written(tmp_path)
  for path in (tmp_path / pushed.name).rglob('*'):
    if path.is_file():
      with pytest.raises((ValueError, IndexError, KeyError, UnicodeError)):
        list(pickletools.genops(path.read_bytes()))


# Allowed paths of a push.


@pytest.mark.faults
@pytest.mark.parametrize(
  'name',
  [
    '..',
    '../outside-000003',
    'run/../../outside-000003',
    '/outside-000003',
    '{outside}',
    'link-000003',
    'run-000003/arrays',
    '',
    '.',
    'run-000003\n',
  ],
)
def test_a_path_that_leads_out_of_the_root_is_refused(tmp_path, name):
  root, outside = tmp_path / 'root', tmp_path / 'outside-000003'
  pushed = written(root)
  (root / pushed.name).rename(outside)
  (root / 'link-000003').symlink_to(outside)
  name = name.format(outside=outside)
  with pytest.raises(
    weight_reader.PushError, match='is not the name of a push'
  ):
    weight_reader.read(root, name, pushed.digest, WANTED, 0, 1)


@pytest.mark.faults
def test_a_symlink_within_a_push_is_refused(tmp_path):
  pushed = written(tmp_path)
  file = next(p for p in (tmp_path / pushed.name / 'arrays').rglob('0*'))
  file.rename(tmp_path / 'elsewhere')
  file.symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(weight_reader.PushError, match='differ from the manifest'):
    read(tmp_path, pushed)


# Allowed contents of a push.


def spoilt(kind):
  """A function that damages a push's folder."""

  def spoil(folder):
    arrays = folder / 'arrays'
    file = sorted(arrays.rglob('[0-9]*'))[0]
    if kind == 'a bit':
      data = bytearray(file.read_bytes())
      data[-1] ^= 1
      file.write_bytes(data)
    elif kind == 'the end of a file':
      os.truncate(file, file.stat().st_size - 1)
    elif kind == 'a file too few':
      file.unlink()
    elif kind == 'a file too many':
      (arrays / 'more').write_text('')
    elif kind == 'the manifest':
      path = folder / 'manifest.json'
      manifest = json.loads(path.read_text())
      path.write_text(json.dumps({**manifest, 'version': 4}))
    else:
      (folder / 'manifest.json').unlink()

  return spoil


@pytest.mark.faults
@pytest.mark.parametrize(
  'kind',
  [
    'a bit',
    'the end of a file',
    'a file too few',
    'a file too many',
    'the manifest',
    'no manifest',
  ],
)
def test_files_that_differ_from_the_manifest_are_refused(tmp_path, kind):
  pushed = written(tmp_path)
  spoilt(kind)(tmp_path / pushed.name)
  with pytest.raises(weight_reader.PushError, match=str(tmp_path)):
    read(tmp_path, pushed)


@pytest.mark.faults
@pytest.mark.parametrize('kind', ['a bit', 'a file too few', 'a file too many'])
def test_files_that_change_after_the_check_are_refused(tmp_path, kind):
  pushed = written(tmp_path)
  push = pushed.name, pushed.digest
  checked = weight_reader.read(tmp_path, *push, WANTED, 0, 1)
  checked.refuse_changes()
  spoilt(kind)(tmp_path / pushed.name)
  with pytest.raises(weight_reader.PushError, match='1 files have changed'):
    checked.refuse_changes()


def test_only_the_user_can_write_in_the_folder_of_pushes(tmp_path):
  folder = tmp_path / 'pushes'
  folder.mkdir()
  folder.chmod(0o777)
  written(folder)
  assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.faults
def test_a_folder_of_pushes_of_another_user_is_refused(tmp_path, monkeypatch):
  owner = tmp_path.stat().st_uid
  monkeypatch.setattr('os.getuid', lambda: owner + 1)
  monkeypatch.setattr(weight_sync, 'ROOT', owner + 2)
  with pytest.raises(ValueError, match=r'server_kw\.folder'):
    written(tmp_path)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', 'float32'])
@pytest.mark.parametrize('special', [np.nan, -np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_found_in_each_dtype(dtype, special):
  numbers = np.linspace(-3e4, 3e4, 999).astype(dtype)
  largest = ml_dtypes.finfo(dtype).max
  numbers[:2] = largest, -largest
  assert weight_reader._is_finite(numbers)
  numbers[500] = special
  assert not weight_reader._is_finite(numbers)


@pytest.mark.faults
def test_arrays_of_another_model_are_refused_and_named(tmp_path):
  pushed = written(tmp_path)
  norm, layer = 'model.norm.weight', 'model.layers.1.mlp.up_proj.weight'
  source = WANTED[norm].source
  wide, more = source._replace(size=(17,)), source._replace(name='more')
  for wrong, wanted in (
    ('norm', {**WANTED, norm: WANTED[norm]._replace(source=wide)}),
    ('norm', {**WANTED, norm: WANTED[norm]._replace(dtype='float32')}),
    ('norm', {name: x for name, x in WANTED.items() if name != norm}),
    ('more', {**WANTED, 'more': WANTED[norm]._replace(source=more)}),
    ('up', {name: x for name, x in WANTED.items() if name != layer}),
  ):
    with pytest.raises(weight_reader.PushError, match=f': {wrong} is '):
      read(tmp_path, pushed, wanted)


@pytest.mark.faults
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, bad):
  def poisoned(params):
    arrays = export(params)
    return {**arrays, 'norm': arrays['norm'].at[3].set(bad)}

  pushed = written(tmp_path, export=poisoned)
  with pytest.raises(weight_reader.PushError, match='finite: norm'):
    read(tmp_path, pushed)


# The API key.


def answered(path, headers=(), kind='http'):
  """The guard's response, or 'inside' if it passes a request."""
  sent = []

  async def inside(scope, receive, send):
    sent.append('inside')

  async def send(message):
    sent.append(message.get('status') or message.get('code'))

  scope = {'type': kind, 'path': path, 'headers': list(headers)}
  asyncio.run(auth.Guard(inside)(scope, None, send))
  return sent[0]


@pytest.mark.faults
def test_only_health_is_open_without_the_key(monkeypatch):
  monkeypatch.setenv(auth.KEY, 'secret')
  key = (b'authorization', b'Bearer secret')
  assert answered('/health') == 'inside'
  for path in ('/metrics', '/v1/models', '/update_weights', '/', '/health/x'):
    assert answered(path) == 401
    assert answered(path, [(b'authorization', b'Bearer other')]) == 401
    assert answered(path, [(b'authorization', b'Bearer ')]) == 401
    assert answered(path, [key]) == 'inside'
  assert answered('/socket', kind='websocket') == 1008
  assert answered('', kind='lifespan') == 'inside'
  monkeypatch.delenv(auth.KEY)
  with pytest.raises(KeyError, match=auth.KEY):
    answered('/metrics')
