"""Which GPUs sample and which train, and what a machine must have for it."""

import os

import jax
import pytest

from siri_jax import main
from siri_jax.rollout import placement
from siri_jax.runtime import exit_status
from tests.helpers import tiny

EIGHT = tuple('01234567')


def divided(gpus, placement_='split', sampling=0, each=1):
  return placement.divide(
    tuple(gpus), placement=placement_, sampling=sampling, each=each
  )


def test_half_of_the_gpus_sample_by_default():
  found = divided(EIGHT)
  assert found.servers == (('0',), ('1',), ('2',), ('3',))
  assert found.trainer == ('4', '5', '6', '7')
  assert divided('01').trainer == ('1',)
  assert divided('012').trainer == ('1', '2')


def test_the_number_of_sampling_gpus_and_those_of_a_server_can_be_set():
  found = divided(EIGHT, sampling=6, each=2)
  assert found.servers == (('0', '1'), ('2', '3'), ('4', '5'))
  assert found.trainer == ('6', '7')


def test_shared_gpus_belong_to_servers_and_trainer():
  found = divided(EIGHT, 'shared', each=4)
  assert found.servers == (tuple('0123'), tuple('4567'))
  assert found.trainer == EIGHT
  assert divided('0', 'shared') == ((('0',),), ('0',))


def test_without_gpus_one_server_is_on_the_cpu():
  assert divided('') == divided('', 'shared') == (((),), ())


@pytest.mark.parametrize(
  ('given', 'told'),
  [
    (dict(gpus='0'), "placement='split' leaves 1 of the 1 GPUs to the trainer"),
    (dict(gpus='0123', sampling=4), 'leaves 0 of the 4 GPUs'),
    (dict(gpus='0123', sampling=9), 'leaves 0 of the 4 GPUs'),
    (dict(gpus=EIGHT, sampling=3, each=2), 'the 3 GPUs that sample do not'),
  ],
)
def test_gpus_that_cannot_be_divided_are_refused(given, told):
  with pytest.raises(ValueError, match=told):
    divided(**given)


@pytest.mark.parametrize('kind', ['split', 'shared'])
@pytest.mark.parametrize('each', [1, 2])
def test_every_gpu_is_used_and_none_by_two_servers(kind, each):
  found = divided(EIGHT, kind, each=each)
  sampling = [gpu for server in found.servers for gpu in server]
  assert len({*sampling}) == len(sampling)
  assert {*sampling, *found.trainer} == {*EIGHT}
  assert bool({*sampling} & {*found.trainer}) == (kind == 'shared')


@pytest.fixture
def machine(tmp_path, monkeypatch):
  """Sets the machine's GPUs, as nvidia-smi and the environment name them."""
  before = jax.config.jax_platforms
  jax.config.update('jax_platforms', None)
  monkeypatch.setenv('PATH', str(tmp_path))
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  monkeypatch.delenv('XLA_PYTHON_CLIENT_ALLOCATOR', raising=False)
  placement.visible.cache_clear()

  def has(count, visible=None):
    if count:
      listed = '\n'.join(
        f'GPU {n}: NVIDIA H100 80GB HBM3' for n in range(count)
      )
      path = tmp_path / 'nvidia-smi'
      path.write_text(f'#!/bin/sh\necho "{listed}"\n')
      path.chmod(0o755)
    if visible is not None:
      monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    return placement.visible()

  yield has
  jax.config.update('jax_platforms', before)
  placement.visible.cache_clear()


def test_gpus_are_those_of_nvidia_smi_or_those_that_cuda_may_see(machine):
  assert machine(2) == ('0', '1')


@pytest.mark.parametrize(
  ('named', 'found'),
  [('4,5', ('4', '5')), (' GPU-a , GPU-b', ('GPU-a', 'GPU-b')), ('-1', ())],
)
def test_gpus_hidden_from_cuda_are_not_used(machine, named, found):
  assert machine(8, named) == found


def test_a_machine_without_gpus_has_none(machine):
  assert machine(0) == ()


def config(**settings):
  c = tiny.get_config()
  c.engine = 'vllm'
  c.server_kw.python = '/bin/sh'
  c.server_kw.update(settings)
  return c


def test_a_split_hides_the_servers_gpus_from_the_trainer(machine):
  machine(8)
  c = config(placement='split')
  placement.reserve(c, trains=True)
  assert os.environ['CUDA_VISIBLE_DEVICES'] == '4,5,6,7'
  assert 'XLA_PYTHON_CLIENT_ALLOCATOR' not in os.environ
  # The servers' GPUs are still known after that.
  assert placement.shares(c).servers == (('0',), ('1',), ('2',), ('3',))


def test_a_trainer_that_shares_gpus_returns_their_memory(machine):
  machine(1)
  placement.reserve(config(placement='shared'), trains=True)
  assert os.environ['CUDA_VISIBLE_DEVICES'] == '0'
  assert os.environ['XLA_PYTHON_CLIENT_ALLOCATOR'] == 'platform'


def test_nothing_is_reserved_for_servers_of_others_or_the_embedded_engine(
  machine,
):
  machine(8)
  embedded = config(placement='split')
  embedded.engine = 'embedded'
  for c in (config(placement='external'), embedded):
    placement.reserve(c, trains=True)
    assert 'CUDA_VISIBLE_DEVICES' not in os.environ


def test_a_mesh_of_more_gpus_than_train_is_refused(machine):
  machine(8)
  c = config(placement='split', gpus=6)
  c.mesh_kw.fsdp = 4
  with pytest.raises(ValueError, match='mesh_kw asks for 4 devices, and 2 of'):
    placement.reserve(c, trains=True)


def test_all_that_a_machine_lacks_is_told_at_once_with_the_quickstart(machine):
  machine(0)
  c = config(placement='split', python='')
  c.update_kw.attention = 'cudnn'
  with pytest.raises(ValueError, match='vllm') as caught:
    placement.reserve(c, trains=True)
  attention, vllm, quickstart = str(caught.value).splitlines()
  assert attention.startswith("update_kw.attention='cudnn' needs a GPU")
  assert vllm.startswith('vllm is not installed in this Python')
  assert 'bash tools/quickstart.sh' in quickstart


@pytest.mark.parametrize('name', ['cosine640', 'cosine640_7b', 'one_gpu'])
def test_a_config_for_gpus_is_refused_without_one_before_anything_is_fetched(
  name, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(placement, 'visible', lambda: ())
  words = [f'--config=configs/{name}.py', f'--workdir={tmp_path / "run"}']
  words.append(f'--config.cache_dir={tmp_path}')
  assert main.main(words) == exit_status.REFUSED
  told = capsys.readouterr().err
  assert "update_kw.attention='cudnn' needs a GPU" in told
  assert 'bash tools/quickstart.sh' in told
  assert not (tmp_path / 'run').exists()
