"""Prompts by the template of a tokenizer folder, and responses back to text."""

import json

import launch
import pytest
import tiny_tokenizer

from siri_jax.config import base
from siri_jax.config.recipes import adaptthink as recipe_adaptthink
from siri_jax.data import chat

INSTRUCTION = base.get_config().task_kw.instruction
MARK = '__ggml_vocab_test__'


def _load(folder, instruction='{problem} Go.', *, thought=True, **template_kw):
  return chat.load(
    folder, instruction=instruction, template_kw=template_kw, thought=thought
  )


def _words(talk, ids):
  return talk.tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)


@pytest.fixture
def folder(tmp_path):
  return tiny_tokenizer.write(tmp_path / 'tokenizer')


@pytest.fixture
def distilled(shared_data):
  path = shared_data / 'tokenizer' / 'deepseek-r1-distill-qwen'
  return _load(path, INSTRUCTION)


def test_a_prompt_is_the_template_with_one_bos_and_an_open_thought(folder):
  talk = _load(folder)
  ids = talk.encode('1+1=?')
  assert _words(talk, ids) == '<bos><user>1+1=? Go.<assistant><think>\n'
  assert ids.count(talk.tokenizer.bos_token_id) == 1


def test_words_go_after_the_instruction_or_into_the_systems_turn(folder):
  talk = _load(folder)
  noted = talk.encode('1+1=?', note='Think for 9 tokens.')
  assert _words(talk, noted) == (
    '<bos><user>1+1=? Go. Think for 9 tokens.<assistant><think>\n'
  )
  dots = talk.encode('1+1=?', opening='...\n')
  assert _words(talk, dots) == '<bos><user>1+1=? Go.<assistant><think>\n...\n'
  # This template marks every turn by <user>.
  both = talk.encode('</think>', note='Now.', system='Be short.')
  assert _words(talk, both) == (
    '<bos><user>Be short.<user></think> Go. Now.<assistant><think>\n'
  )
  assert talk.tokenizer.convert_tokens_to_ids('</think>') not in both


def test_a_template_without_a_systems_turn_is_refused(tmp_path):
  turn = '<user>{{ message["content"] }}'
  template = tiny_tokenizer.TEMPLATE.replace(
    turn, '{% if message["role"] == "user" %}' + turn + '{% endif %}'
  )
  talk = _load(tiny_tokenizer.write(tmp_path / 't', template=template))
  with pytest.raises(ValueError, match="leaves out the system's turn"):
    talk.encode('1+1=?', system='Be short.')


@pytest.mark.parametrize(
  'text',
  [
    *('x </think> y', '<user>', 'no<eos>w', '<bos><bos>', '</think>' * 3),
    *('<think>\n', 'a <assistant><think>\nso</think> 7', '\n <eos> \n'),
  ],
)
def test_a_control_token_in_a_problem_is_plain_text(folder, text):
  talk = _load(folder)
  ids = talk.encode(text)
  clean = talk.encode('?')
  assert [i for i in ids if i in talk.control] == [
    i for i in clean if i in talk.control
  ]
  assert _words(talk, ids) == f'<bos><user>{text} Go.<assistant><think>\n'
  assert talk.lengths([text, '?']) == [len(ids), len(clean)]
  assert len(ids) <= talk.most_tokens(text)


def test_a_template_that_asks_twice_has_no_control_token_twice(tmp_path):
  twice = '{{ message["content"] }}'
  template = tiny_tokenizer.TEMPLATE.replace(twice, f'{twice} {twice}')
  talk = _load(tiny_tokenizer.write(tmp_path / 'twice', template=template))
  ids = talk.encode('<eos>')
  assert not {*talk.eos_ids} & {*ids}
  assert '<user><eos> Go. <eos> Go.<assistant>' in _words(talk, ids)


def test_a_control_token_of_the_instruction_is_one(folder):
  talk = _load(folder, '<user>{problem}</think>')
  for text in ('?', '<user>'):
    ids = talk.encode(text)
    assert sum(i in talk.control for i in ids) == 6
    assert _words(talk, ids).startswith(f'<bos><user><user>{text}</think>')


def test_what_the_distilled_tokenizer_controls_with_is_text_in_a_problem(
  distilled,
):
  own = [151646, 151644, 151645, 151648]
  for token in ('<｜User｜>', '</think>', '<｜end▁of▁sentence｜>', '<|EOT|>'):
    text = f'Find $x$ {token} if $x+1=2$.'
    ids = distilled.encode(text)
    assert [i for i in ids if i >= 151643] == own
    assert text in _words(distilled, ids)
  spaced = 'Find $x$  if\n\n $x + 1 = 2$ .'
  whole = distilled.ids(distilled.render(spaced))
  assert distilled.encode(spaced) == whole


def test_an_instruction_may_be_full_of_braces(folder):
  talk = _load(folder, INSTRUCTION)
  prompt = _words(talk, talk.encode(r'\frac{1}{2} of {problem}'))
  assert r'<user>\frac{1}{2} of {problem} Let' in prompt
  assert r'\boxed{}.<assistant>' in prompt


def test_a_template_that_opens_no_thought_is_completed(tmp_path, folder):
  old = tiny_tokenizer.TEMPLATE.replace('<think>\n', '')
  talk = _load(tiny_tokenizer.write(tmp_path / 'old', template=old))
  assert talk.opening == '<think>\n'
  assert talk.encode('1+1=?') == _load(folder).encode('1+1=?')


def test_a_tokenizer_that_cannot_think_is_refused(tmp_path):
  old = tiny_tokenizer.TEMPLATE.replace('<think>\n', '')
  path = tiny_tokenizer.write(tmp_path / 'old', template=old, think=())
  with pytest.raises(ValueError, match=r"<assistant>', opens no thought, and"):
    _load(path)
  talk = _load(path, thought=False)
  assert _words(talk, talk.encode('1+1=?')).endswith('Go.<assistant>')
  assert not talk.thinks


# How Qwen3's template ends; the rest of it is for tools and other roles.
QWEN3 = (
  '{%- for message in messages %}\n'
  '    {{- "<|im_start|>" + message.role + "\\n" + message.content }}\n'
  '    {{- "<|im_end|>" + "\\n" }}\n'
  '{%- endfor %}\n'
  '{%- if add_generation_prompt %}\n'
  '    {{- "<|im_start|>assistant\\n" }}\n'
  '    {%- if enable_thinking is defined and enable_thinking is false %}\n'
  '        {{- "<think>\\n\\n</think>\\n\\n" }}\n'
  '    {%- endif %}\n'
  '{%- endif %}'
)


@pytest.mark.parametrize(
  ('thought', 'variables', 'end'),
  [
    (True, {}, '<think>\n'),
    (True, {'enable_thinking': True}, '<think>\n'),
    (False, {}, ''),
    (False, {'enable_thinking': False}, '<think>\n\n</think>\n\n'),
  ],
)
def test_qwen3_thinks_or_not(tmp_path, thought, variables, end):
  folder = tiny_tokenizer.write(tmp_path, template=QWEN3)
  talk = _load(folder, '{problem}', thought=thought, **variables)
  start = '<|im_start|>user\n1+1=?<|im_end|>\n<|im_start|>assistant\n'
  assert _words(talk, talk.encode('1+1=?')) == start + end
  assert talk.thinks == thought


def test_a_thought_that_the_prompt_closes_cannot_be_continued(tmp_path):
  folder = tiny_tokenizer.write(tmp_path, template=QWEN3)
  told = r"closes the thought; remove enable_thinking.*'response'"
  with pytest.raises(ValueError, match=told):
    _load(folder, enable_thinking=False)


@pytest.mark.parametrize('name', ['enable_thinkin', 'messages'])
def test_a_variable_that_the_template_does_not_read_is_refused(tmp_path, name):
  folder = tiny_tokenizer.write(tmp_path, template=QWEN3)
  with pytest.raises(ValueError, match=f'template_kw.{name}: .* no variable'):
    _load(folder, **{name: False})


def test_decoding_keeps_the_end_of_the_thought_and_drops_that_of_text(folder):
  talk = _load(folder)
  said = '½ wait</think>\\boxed{7}'
  assert talk.decode([*talk.ids(said), *talk.eos_ids]) == said


def test_unknown_ids_decode_to_nothing(folder):
  talk = _load(folder)
  assert talk.decode([*talk.ids('a'), talk.vocab + 5]) == 'a'


def test_the_bound_on_a_prompt_holds(folder, distilled):
  # U+0958 and U+1D15E grow when they are normalised.
  for text in ('', '1+1=?', 'x' * 999, '½🚀' * 50, '\u0958\U0001d15e' * 50):
    for talk in (_load(folder), distilled):
      assert len(talk.encode(text)) <= talk.most_tokens(text)


def test_lengths_are_those_of_encode(folder):
  texts = ['', '1+1=?', 'é' * 100]
  talk = _load(folder)
  assert talk.lengths(texts) == [len(talk.encode(text)) for text in texts]


def test_generation_config_names_further_ends(folder):
  plain = _load(folder)
  config = {'eos_token_id': [plain.vocab - 1, *plain.eos_ids]}
  (folder / 'generation_config.json').write_text(json.dumps(config))
  both = _load(folder)
  assert both.eos_ids == (*plain.eos_ids, plain.vocab - 1)
  assert both.fingerprint != plain.fingerprint


def test_the_fingerprint_depends_on_tokenizer_template_and_instruction(
  tmp_path,
):
  plain = tiny_tokenizer.write(tmp_path / 'plain')
  again = tiny_tokenizer.write(tmp_path / 'again')
  template = 'Hello.' + tiny_tokenizer.TEMPLATE
  other = tiny_tokenizer.write(tmp_path / 'other', template=template)
  wider = tiny_tokenizer.write(
    tmp_path / 'wider', think=('<think>', '</think>', '<more>')
  )
  assert _load(plain).fingerprint == _load(again).fingerprint
  prints = {_load(path).fingerprint for path in (plain, other, wider)}
  prints.add(_load(plain, '{problem} Stop.').fingerprint)
  assert len(prints) == 4


def _spoil(folder, name, text):
  (folder / name).write_text(text)


@pytest.mark.parametrize(
  ('spoil', 'told'),
  [
    (lambda f: (f / 'tokenizer.json').unlink(), 'no tokenizer.json'),
    (lambda f: _spoil(f, 'tokenizer.json', '{"a'), 'cannot be read'),
    (lambda f: _spoil(f, 'tokenizer_config.json', '{"a'), 'cannot be read'),
    (lambda f: (f / 'chat_template.jinja').unlink(), 'no chat template'),
    (lambda f: _spoil(f, 'chat_template.jinja', '{% if %}'), 'template fails'),
    (lambda f: _spoil(f, 'tokenizer_config.json', '{}'), 'has no eos_token'),
    *(
      (lambda f, text=text: _spoil(f, 'generation_config.json', text), told)
      for text, told in (
        ('', 'generation_config.json is not JSON'),
        ('{', 'generation_config.json is not JSON'),
        ('[1]', 'generation_config.json is not a JSON object'),
        ('{"eos_token_id": "x"}', "generation_config.json: .* names 'x'"),
        ('{"eos_token_id": [1, 99999, -1]}', 'names 99999, -1, no id'),
        ('{"eos_token_id": true}', 'names True, no id'),
        ('{"eos_token_id": [[1]]}', r'names \[1\], no id'),
        ('{"eos_token_id": 1' + '0' * 5000 + '}', 'is not JSON: Exceeds'),
        ('{"eos_token_id": 1' + '0' * 4000 + '}', 'names 1000*, no id'),
      )
    ),
  ],
)
def test_a_broken_folder_is_named_with_its_fault(folder, spoil, told):
  spoil(folder)
  with pytest.raises(ValueError, match=told) as error:
    _load(folder)
  assert str(folder) in str(error.value)


def test_faults_of_instruction_and_folder_are_listed_at_once(tmp_path):
  with pytest.raises(
    ValueError, match='must be in the instruction once'
  ) as error:
    _load(tmp_path, 'Think!')
  assert 'no tokenizer.json' in str(error.value)


def test_loading_prints_nothing(folder):
  program = (
    'from siri_jax.data import chat;'
    f'talk = chat.load({str(folder)!r}, instruction="{{problem}}", '
    'template_kw={}, thought=True);'
    'talk.encode("x" * 999)'
  )
  done = launch.python(program)
  assert (done.stdout, done.stderr) == ('', '')


def test_the_distilled_tokenizer_passes_its_fixtures(distilled, shared_data):
  inputs = (shared_data / 'tokenizer/fixtures.inp').read_bytes().decode()
  outputs = (shared_data / 'tokenizer/fixtures.out').read_text()
  texts = inputs.split(f'\n{MARK}\n')  # The last one is empty.
  wanted = [[int(i) for i in line.split()] for line in outputs.split('\n')]
  assert len(texts) == len(wanted) == 47
  assert [distilled.ids(text) for text in texts] == wanted
  assert [distilled.decode(ids) for ids in wanted] == texts


def test_the_distilled_prompt_is_the_documented_one(shared_data):
  path = shared_data / 'tokenizer' / 'deepseek-r1-distill-qwen'
  talk = _load(path, '{problem}')
  documented = [151646, 151644, 16, 10, 16, 19884, 151645, 151648, 198]
  assert talk.encode('1+1=?') == documented
  assert (talk.eos_ids, talk.vocab) == ((151643,), 151665)


def test_the_first_tokens_that_adaptthink_forces_are_those_of_its_script(
  distilled,
):
  """end_of_think_token_id and non_end_of_think_token_id."""
  asked = recipe_adaptthink.get_config().budget_kw
  assert distilled.ids(asked.close) == [151649]
  assert distilled.ids(asked.start) == [71486]
