"""Fuzzed configs, command lines, files and server responses.

Each is accepted, or refused with the name of a setting or file: no traceback,
no hang, and 6 GB at most. A server's response is valid or not used. For a
thousand of each:

  python -m pytest tests/faults/test_fuzz.py --hypothesis-profile=thousand
"""

import json
import shutil

import asked
import builders
import fake_vllm
import hypothesis
import pytest
import tiny_tokenizer
from hypothesis import strategies as st

from siri_jax.data import problems
from siri_jax.models.hf import config as hf_config
from siri_jax.rollout import server_pool, vllm
from siri_jax.runtime import exit_status, run_folder
from tests.helpers import tiny

pytestmark = [pytest.mark.slow, pytest.mark.faults]

NAMES = sorted(run_folder.flatten(tiny.get_config().to_dict()))
# A setting, or one with a letter too many or too few.
SETTINGS = st.sampled_from(NAMES) | st.builds(
  lambda name, cut: name[:-1] if cut else f'{name}x',
  st.sampled_from(NAMES),
  st.booleans(),
)
VALUES = st.one_of(
  st.integers(-3, 40),
  st.sampled_from([10**6, 10**9, 2**31 - 1, 2**31, 2**63, 10**30]),
  st.floats(),
  st.booleans(),
  st.none(),
  st.text(max_size=8),
  st.sampled_from(['cosine', 'constant', 'fresh', 'mean_std']),
  st.sampled_from(['json:loads', 'math:pi', '.a:b', 'operator:neg']),
  st.lists(st.integers(0, 9), max_size=3),
  # ml_collections allows no dot in a name.
  st.dictionaries(st.text('ab_', max_size=4), st.integers(0, 9), max_size=2),
)
WORDS = VALUES.map(str) | st.sampled_from(
  ['', 'nan', '1e3', '[1', '(', "('wandb',)", '{', "{'low': 4}", '\x1b[2J']
)


@pytest.fixture(scope='module')
def program(tmp_path_factory):
  with asked.Program(tmp_path_factory.mktemp('asked')) as program:
    yield program


def judged(program, *arguments):
  """Whether a command line is accepted, and its output."""
  status, said = program.ask(*arguments, '--dry_run')
  assert status in (exit_status.DONE, exit_status.REFUSED), said
  assert (
    'settings differ from' if status == exit_status.DONE else 'refused: '
  ) in said
  return status == exit_status.DONE, said


@hypothesis.given(
  st.dictionaries(SETTINGS, VALUES, max_size=3),
  st.dictionaries(SETTINGS, WORDS, max_size=2),
)
def test_a_config_is_planned_or_refused_by_the_names_of_settings(
  program, changes, words
):
  hypothesis.assume(changes or words)
  file = f'{asked.ROOT}/tests/faults/fuzzed.py'
  given = [f'--config.{name}={word}' for name, word in words.items()]
  fine, said = judged(program, f'--config={file}:{json.dumps(changes)}', *given)
  names = {*changes, *words}
  if fine:
    assert names <= {*NAMES}
  else:
    assert any(
      n.split('.')[0] in said or n.split('.')[-1] in said for n in names
    )


FIELDS = st.sampled_from([*problems.KEYS, 'idx', 'level'])
ROWS = st.dictionaries(
  FIELDS, st.text(max_size=6) | st.integers() | st.none(), max_size=5
)
GOOD = [
  json.dumps({'id': f'p{n}', 'problem': 'q', 'answer': '1', 'source': ''})
  for n in range(4)
]
LINES = st.one_of(
  ROWS.map(lambda row: json.dumps(row).encode()),
  st.binary(max_size=12),
  st.sampled_from([b'[' * 5000, b'{"id": 1e999}', b'\xef\xbb\xbf{}', b'null']),
  st.sampled_from(GOOD).map(str.encode),
)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """A folder of valid files."""
  folder = tmp_path_factory.mktemp('files')
  (folder / 'train.jsonl').write_text('\n'.join(GOOD))
  tiny_tokenizer.write(folder / 'tokenizer')
  (folder / 'model').mkdir()
  model = hf_config.config_of(builders.tiny_shape(vocab=300))
  (folder / 'model' / 'config.json').write_text(json.dumps(model))
  return folder


def judged_files(program, folder):
  task = {
    'train': f'{folder}/train.jsonl',
    'evals': {},
    'tokenizer': f'{folder}/tokenizer',
    'instruction': '{problem}',
    'template_kw': {},
  }
  return judged(
    program,
    f'--config={asked.ROOT}/tests/helpers/tiny.py',
    '--config.task=jsonl',
    f'--config.task_kw={task}',
    '--config.prompts_per_step=1',
    '--config.max_prompt_tokens=24',
    '--config.policy=pretrained',
    f'--config.model_path={folder}/model',
  )


@hypothesis.given(
  st.lists(LINES, max_size=5), st.sampled_from([b'\n', b'\r\n'])
)
def test_problems_are_read_or_refused_by_file_and_line(
  program, files, tmp_path_factory, lines, end
):
  folder = tmp_path_factory.getbasetemp() / 'lines'
  shutil.copytree(files, folder, dirs_exist_ok=True)
  (folder / 'train.jsonl').write_bytes(end.join(lines))
  fine, said = judged_files(program, folder)
  assert fine or 'train.jsonl' in said


@hypothesis.given(
  st.sampled_from(
    [
      'train.jsonl',
      'tokenizer/tokenizer.json',
      'tokenizer/tokenizer_config.json',
      'tokenizer/chat_template.jinja',
      'model/config.json',
    ]
  ),
  st.integers(0, 10**6),
  st.integers(0, 9),
  st.binary(max_size=4),
)
def test_a_damaged_file_is_read_or_refused_by_its_name(
  program, files, tmp_path_factory, name, place, gone, new
):
  folder = tmp_path_factory.getbasetemp() / 'damaged'
  shutil.copytree(files, folder, dirs_exist_ok=True)
  data = (folder / name).read_bytes()
  place %= len(data)
  (folder / name).write_bytes(data[:place] + new + data[place + gone :])
  fine, said = judged_files(program, folder)
  assert fine or any(part in said for part in ('train.jsonl', *name.split('/')))


JSON = st.recursive(
  VALUES,
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(['version', 'content', 'logprob']), inner)
  ),
  max_leaves=4,
)


def is_right(ids):
  """Whether they are ids that a server might have drawn."""
  return isinstance(ids, list) and ids and all(i in range(19) for i in ids)


PARTS = st.sampled_from(
  ['index', 'token_ids', 'finish_reason', 'weight_versions', 'logprobs']
)
REPLIES = st.one_of(
  st.binary(max_size=20),
  st.sampled_from([b'[' * 5000, b'{"choices": ' + b'1' * 5000 + b'}']),
  JSON.map(lambda value: json.dumps(value).encode()),
  JSON.map(lambda value: json.dumps({'choices': value}).encode()),
  JSON.map(lambda value: json.dumps({'choices': [value, value]}).encode()),
  st.dictionaries(PARTS, JSON, min_size=1, max_size=2)
  .filter(lambda parts: not is_right(parts.get('token_ids')))
  .map(lambda parts: fake_vllm.changed(**parts)),
)


@pytest.fixture(scope='module')
def served(tmp_path_factory):
  """A server, its client, and the samples without a fault."""
  with pytest.MonkeyPatch.context() as patch, fake_vllm.serving() as fake:
    for module, name in ((server_pool, 'REST_SECS'), (vllm, 'LOOK_SECS')):
      patch.setattr(module, name, 0.001)
    with fake_vllm.client(tmp_path_factory.mktemp('push'), fake) as client:
      yield fake, client, fake_vllm.sampled(client, count=1)


@hypothesis.given(
  st.sampled_from([fake_vllm.GENERATE, '/weight_info', '/metrics']), REPLIES
)
def test_a_reply_is_valid_or_requested_again(served, path, reply):
  fake, client, expected = served
  hypothesis.assume(path == fake_vllm.GENERATE or isinstance(reply, bytes))
  fake.faults[path].append(reply)
  for host in client._fleet.hosts:
    host.current = False  # So that its version is requested.
  assert fake_vllm.sampled(client, count=1) == expected
  fake.faults[path].clear()
