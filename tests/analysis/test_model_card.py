"""The model card: metadata that the Hub accepts, settings and results."""

import huggingface_hub
from made_runs import make

from siri_jax.analysis import runs
from siri_jax.analysis.model_card import card

TOKENIZER = {'tokenizer.json': b'{}'}


def card_of(path, files=TOKENIZER, **changes):
  changes = {'task_kw': {'instruction': '{problem}'}, **changes}
  made = make(path, policy='pretrained', **changes)
  return card.text(runs.read(made), 16, place='me/new', files=files)


def test_the_metadata_name_the_base_model_and_its_licence(tmp_path):
  files = {**TOKENIZER, 'LICENSE': b'MIT License\n\nCopyright'}
  text = card_of(tmp_path, files, model_path='them/base@v1')
  data = huggingface_hub.ModelCard(text).data
  assert data.base_model == 'them/base'
  assert data.library_name == 'transformers'
  assert data.license == 'mit'
  assert 'grpo' in data.tags


def test_a_base_model_on_this_disk_is_no_name_of_the_hub(tmp_path):
  text = card_of(tmp_path, model_path='/models/my-base')
  data = huggingface_hub.ModelCard(text).data
  assert data.base_model is None
  assert data.license is None
  assert 'from my-base.' in text


def test_the_settings_are_those_that_changed_the_result(tmp_path):
  text = card_of(
    tmp_path,
    model_path='a/b',
    learning_rate=3e-5,
    limits_kw={'stall_secs': 7.0},
  )
  (line,) = (s for s in text.splitlines() if s.startswith('| learning_rate'))
  assert line.split('|')[2].strip() == '3e-05'
  assert 'stall_secs' not in text


def test_the_card_has_the_evaluations_and_loads_by_the_name(tmp_path):
  text = card_of(tmp_path, model_path='a/b')
  assert '| start' in text.partition('## Evaluations')[2]
  assert "from_pretrained('me/new')" in text
  assert 'vllm serve me/new`' in text
  code = text.partition('```python\n')[2].partition('```')[0]
  compile(code, 'card', 'exec')


def test_a_policy_without_a_tokenizer_is_loaded_by_token_ids(tmp_path):
  text = card_of(tmp_path, {}, model_path='a/b')
  assert 'There is no tokenizer' in text
  assert 'vllm serve me/new --skip-tokenizer-init' in text
