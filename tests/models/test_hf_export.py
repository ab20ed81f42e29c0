"""Exports: bit-exact, and readable by transformers."""

import json

import builders
import families
import jax
import numpy as np
import pytest
import safetensors.numpy

from siri_jax.commands import export as command
from siri_jax.data import arithmetic_words
from siri_jax.models import lora
from siri_jax.models.hf import config as hf_config
from siri_jax.models.hf import export, load, push
from siri_jax.runtime import checkpoint
from tests.helpers import launch

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

SHARD = 5000  # Bytes.
OWN = ('tokenizer.json', 'tokenizer_config.json', 'merges.txt', 'x.jinja')


@pytest.fixture(
  scope='module',
  params=[('qwen2', True), ('qwen3', False), ('llama', False)],
  ids=['qwen2-tied', 'qwen3', 'llama'],
)
def base(request, tmp_path_factory):
  """A bfloat16 model in several files, and a tokenizer."""
  folder = tmp_path_factory.mktemp('base')
  kind, tied = request.param
  model = families.make(
    kind,
    vocab_size=40,
    hidden_size=48,
    intermediate_size=56,
    tie_word_embeddings=tied,
  ).to(torch.bfloat16)
  model.save_pretrained(folder, max_shard_size='20KB')
  # In a format that no library would write again.
  text = (folder / 'config.json').read_text()
  (folder / 'config.json').write_text(text.replace('  ', '\t'))
  for name in (
    'tokenizer.json',
    'tokenizer_config.json',
    'merges.txt',
    'x.jinja',
  ):
    (folder / name).write_text(f'{{"{name}":   1}}')
  (folder / 'modeling.py').write_text('raise SystemExit')
  (folder / 'pytorch_model.bin').write_text('old')
  return folder


def tensors_of(folder):
  found = {}
  for path in folder.glob('*.safetensors'):
    found |= safetensors.numpy.load_file(path)
  return found


def exported(base, folder, change=lambda params: params):
  shape = hf_config.read_shape(base)
  params = load.read_parameters(base, shape, builders.here(shape))
  told = []
  export.write_folder(
    folder,
    change(params),
    export.frame_of(base, shape),
    {'updates': 7},
    shard_bytes=SHARD,
    tell=told.append,
  )
  assert sum(told) == len(tensors_of(base))
  return folder


def test_an_unchanged_model_is_exported_bit_for_bit(base, tmp_path):
  folder = exported(base, tmp_path / 'out')
  written, read = tensors_of(folder), tensors_of(base)
  assert written.keys() == read.keys()
  for name, tensor in read.items():
    assert written[name].dtype == tensor.dtype
    assert written[name].tobytes() == tensor.tobytes()


def test_only_the_bases_config_and_tokenizer_files_are_copied(base, tmp_path):
  folder = exported(base, tmp_path / 'out')
  own = ['config.json', 'generation_config.json', *OWN]
  for name in own:
    assert (folder / name).read_bytes() == (base / name).read_bytes()
  rest = {p.name for p in folder.iterdir() if p.suffix != '.safetensors'}
  assert rest == {*own, 'siri_jax.json', load.INDEX}
  assert json.loads((folder / 'siri_jax.json').read_text()) == {'updates': 7}


def test_no_file_exceeds_the_limit_unless_one_tensor_does(base, tmp_path):
  folder = exported(base, tmp_path / 'out')
  index = json.loads((folder / load.INDEX).read_text())
  files = sorted(folder.glob('*.safetensors'))
  assert {p.name for p in files} == set(index['weight_map'].values())
  total = 0
  for path in files:
    held = safetensors.numpy.load_file(path)
    assert {index['weight_map'][name] for name in held} == {path.name}
    size = sum(t.nbytes for t in held.values())
    assert size <= SHARD or len(held) == 1
    total += size
  assert total == index['metadata']['total_size']
  assert len(files) > 3


def test_a_model_of_one_file_has_no_index(base, tmp_path):
  shape = hf_config.read_shape(base)
  frame = export.frame_of(base, shape)
  assert list(export.split(frame, 10**9)) == ['model.safetensors']


@pytest.mark.slow
def test_transformers_opens_it_and_gives_our_logits(base, tmp_path):
  def change(params):
    return jax.tree.map(lambda x: x * 1.25 + 0.01, params)

  folder = exported(base, tmp_path / 'out', change)
  model, info = transformers.AutoModelForCausalLM.from_pretrained(
    folder, output_loading_info=True, dtype=torch.float32
  )
  assert not any(info.values())
  ids = np.arange(12).reshape(2, 6)
  with torch.no_grad():
    theirs = model(torch.tensor(ids)).logits.numpy()
  shape = hf_config.read_shape(folder)
  params = load.read_parameters(folder, shape, builders.here(shape))
  ours = builders.logits(params, shape, ids)
  np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


ADAPTERS = lora.Adapters(2, 8.0, ('q', 'o', 'down'))


def adapted(base, folder):
  """(merged folder, PEFT's folder) of a base with lively adapters."""
  shape = hf_config.read_shape(base)
  rng = np.random.default_rng(0)
  _, sizes = lora.param_shapes(shape, ADAPTERS)
  trained = jax.tree.map(
    lambda size: np.float32(0.3 * rng.normal(size=size)),
    sizes,
    is_leaf=lambda x: isinstance(x, tuple),
  )
  merged = exported(
    base,
    folder / 'merged',
    lambda params: lora.joined(params, trained, ADAPTERS),
  )
  export.write_adapters(
    folder / 'adapters', trained['layers'], ADAPTERS, str(base), {'updates': 7}
  )
  return merged, folder / 'adapters'


def test_adapters_in_pefts_format_give_the_merged_tensors(base, tmp_path):
  merged, apart = adapted(base, tmp_path)
  config = json.loads((apart / 'adapter_config.json').read_text())
  assert config['target_modules'] == ['q_proj', 'o_proj', 'down_proj']
  adapters, read = tensors_of(apart), tensors_of(base)
  written, changed = tensors_of(merged), 0
  for name, tensor in written.items():
    start = 'base_model.model.' + name.removesuffix('weight')
    expected = read[name].astype(np.float32)
    if f'{start}lora_A.weight' in adapters:
      a, b = (adapters[f'{start}lora_{end}.weight'] for end in 'AB')
      expected = expected + config['lora_alpha'] / config['r'] * b @ a
      changed += 1
    # The last bit of a bfloat16.
    np.testing.assert_allclose(
      tensor.astype(np.float32), expected, rtol=2**-8, atol=1e-6
    )
  assert 2 * changed == len(adapters)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::FutureWarning')
def test_peft_loads_and_merges_them_as_an_export_does(base, tmp_path):
  peft = pytest.importorskip('peft')
  merged, apart = adapted(base, tmp_path)

  def opened(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
      folder, dtype=torch.float32
    )

  model = peft.PeftModel.from_pretrained(opened(base), apart)
  theirs = model.merge_and_unload().state_dict()
  for name, ours in opened(merged).state_dict().items():
    # The last bit of a bfloat16.
    torch.testing.assert_close(ours, theirs[name], rtol=2**-8, atol=1e-6)
  name = 'model.layers.0.mlp.down_proj.weight'
  assert (opened(base).state_dict()[name] - theirs[name]).abs().max() > 0.1


def test_a_folder_that_exists_is_not_changed(base, tmp_path):
  folder = exported(base, tmp_path / 'out')
  before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
  with pytest.raises(FileExistsError, match='delete it'):
    exported(base, folder)
  assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_a_broken_export_leaves_no_folder(base, tmp_path):
  def broken(params):
    layers = {k: v for k, v in params['layers'].items() if k != 'down'}
    return {**params, 'layers': layers}

  with pytest.raises(KeyError):
    exported(base, tmp_path / 'out', broken)
  assert not any(tmp_path.iterdir())


def test_after_a_full_disk_the_partial_folder_is_deleted(
  base, tmp_path, monkeypatch
):
  def full(held, path, metadata):
    del held, metadata
    path.touch()
    raise safetensors.SafetensorError('I/O error: No space left on device')

  monkeypatch.setattr(safetensors.numpy, 'save_file', full)
  with pytest.raises(OSError, match=r'out cannot be written: .*No space left'):
    exported(base, tmp_path / 'out')
  assert not any(tmp_path.iterdir())


def test_tensors_have_the_permissions_of_the_config(base, tmp_path):
  folder = exported(base, tmp_path / 'out')
  assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_a_runs_newest_checkpoint_opens_in_transformers(
  whole, tmp_path, capsys
):
  out = tmp_path / 'out'
  assert command.main([f'--run={whole}', f'--to={out}']) == command.DONE
  said = capsys.readouterr().out.splitlines()
  assert said[:2] == [f'{out}', 'load it with:']
  model = transformers.Qwen2ForCausalLM.from_pretrained(out)
  saved = checkpoint.read_parameters(whole / 'checkpoints', launch.STEPS)
  ids = np.arange(12).reshape(2, 6)
  with torch.no_grad():
    theirs = model(torch.tensor(ids)).logits.numpy()
  ours = builders.logits(saved, hf_config.read_shape(out), ids)
  np.testing.assert_allclose(ours, theirs, atol=1e-5)
  about = json.loads((out / 'siri_jax.json').read_text())
  assert about['updates'] == launch.STEPS
  assert about['config'] == 'tests/helpers/tiny.py'


def test_the_code_of_a_card_runs_and_ends_as_the_run_did(
  whole, tmp_path, capsys
):
  out = tmp_path / 'out'
  assert command.main([f'--run={whole}', f'--to={out}']) == command.DONE
  card = (out / 'README.md').read_text()
  code = card.partition('```python\n')[2].partition('```')[0]
  exec(code, {})
  assert '; expected: ' in capsys.readouterr().out
  generation = transformers.GenerationConfig.from_pretrained(out)
  assert generation.eos_token_id == [arithmetic_words.ID['<eos>']]
  found = [getattr(generation, k) for k in ('temperature', 'top_p', 'top_k')]
  assert found == [0.6, 1.0, 0]
  assert generation.max_new_tokens == 8  # The cap of the evaluations.


def test_an_upload_without_a_token_is_refused_before_the_export(
  whole, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(push.constants, 'HF_HUB_OFFLINE', False)
  monkeypatch.setattr(push.huggingface_hub, 'get_token', lambda: None)
  out = tmp_path / 'out'
  words = [f'--run={whole}', f'--to={out}', '--push_to_hub=me/new']
  assert command.main(words) == command.REFUSED
  assert '--push_to_hub=me/new: no token' in capsys.readouterr().err
  assert not out.exists()


@pytest.mark.parametrize(
  ('words', 'told'),
  [
    (['--step=1'], 'has no checkpoint 1; it has [4, 8, 11, 12]'),
    (['--to={whole}'], 'exists: delete it'),
    (['--run={tmp}'], 'is not the folder of a run'),
  ],
)
def test_an_impossible_export_is_refused(whole, tmp_path, capsys, words, told):
  words = [w.format(whole=whole, tmp=tmp_path) for w in words]
  assert command.main([f'--run={whole}', *words]) == command.REFUSED
  said = capsys.readouterr().err
  assert told in said
  assert 'Traceback' not in said


@pytest.mark.parametrize(
  ('text', 'told'),
  [
    ('', 'is not JSON'),
    ('[]', 'is not a JSON object'),
    ('{"policy": "fresh"}', 'lacks model_path, task, task_kw, eval_kw'),
  ],
)
def test_a_damaged_config_of_a_run_is_named(tmp_path, capsys, text, told):
  (tmp_path / 'config.json').write_text(text)
  assert command.main([f'--run={tmp_path}']) == command.REFUSED
  assert f'{tmp_path / "config.json"} {told}' in capsys.readouterr().err
