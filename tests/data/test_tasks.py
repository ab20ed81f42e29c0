"""Tasks: their settings, and the messages about invalid ones."""

import json

import pytest
import tiny_tokenizer
from ml_collections import config_dict

from siri_jax import plugins, types
from siri_jax.config import base, plugin_defaults
from siri_jax.data import chat, load, problems, tasks

BUILT_IN = (
  *('seed', 'problems', 'held_out'),
  *('fewest', 'most', 'hard', 'slips', 'verbosity'),
)
SETTINGS = {
  'jsonl': (
    *('train', 'evals', 'tokenizer', 'instruction'),
    *('template_kw', 'thought'),
  ),
  'arithmetic': BUILT_IN,
  'arithmetic_labelled': (*BUILT_IN, 'labels'),
}


def _write(path, *ids, **more):
  row = {'problem': '1+1=?', 'answer': '2', 'source': 'hand', **more}
  path.write_text(''.join(json.dumps({'id': i, **row}) + '\n' for i in ids))
  return str(path)


@pytest.fixture
def settings(tmp_path):
  return config_dict.create(
    train=_write(tmp_path / 'train.jsonl', 'a', 'b'),
    evals={'test': _write(tmp_path / 'test.jsonl', 'c'), 'unwanted': ''},
    tokenizer=str(tiny_tokenizer.write(tmp_path / 'tokenizer')),
    instruction='{problem} Go.',
    template_kw={},
  )


def test_every_task_is_listed_with_its_settings():
  assert {
    name: tuple(plugins.settings_of(getattr(tasks, name)))
    for name in plugins.names('task')
  } == SETTINGS


def test_files_become_a_task(settings):
  task = plugins.find('task', 'jsonl', settings, ('thought',))(thought=True)
  assert [p.id for p in task.train] == ['a', 'b']
  assert {name: len(held_out) for name, held_out in task.evals.items()} == {
    'test': 1
  }
  prompt = task.encode(task.train[0])
  assert prompt == chat.load(
    settings.tokenizer,
    instruction=settings.instruction,
    template_kw={},
    thought=True,
  ).encode('1+1=?')
  assert max(prompt) < task.vocab
  assert len(prompt) <= task.most_tokens(task.train[0])
  assert task.decode([*prompt[-2:], task.eos_ids[0]]) == '<think>\n'


def test_the_built_in_task_knows_its_longest_prompt():
  settings = plugin_defaults.LINES['task']['arithmetic']
  settings = {**settings, 'problems': 10**9, 'held_out': 2}
  task = tasks.arithmetic(**settings)
  assert isinstance(task, types.Task)
  assert len(task.encode(task.train[5])) <= task.longest
  assert problems.drop_long(task, task.longest) == (task, 0)


def test_all_faults_come_at_once_under_the_names_of_their_settings(tmp_path):
  bad = _write(tmp_path / 'bad.jsonl', 'a', answer='')
  with pytest.raises(ValueError, match='task_kw') as error:
    tasks.jsonl(
      train=str(tmp_path / 'absent.jsonl'),
      evals={'test': bad},
      tokenizer=str(tmp_path),
      instruction='{problem}',
      template_kw={},
      thought=True,
    )
  told = str(error.value)
  assert "task_kw.train: '" in told
  assert 'task_kw.evals.test: ' in told
  assert 'bad.jsonl:1: "answer" is empty' in told
  assert 'no tokenizer.json' in told


def test_the_fingerprints_show_which_part_changed(settings):
  def changed():
    now = tasks.jsonl(**settings, thought=True).fingerprints
    return {name for name in now if now[name] != first[name]}

  first = tasks.jsonl(**settings, thought=True).fingerprints
  settings.instruction = '{problem}'
  assert changed() == {'tokenizer'}
  settings.train = settings.evals.test
  assert changed() == {'tokenizer', 'data'}
  settings.evals.test = ''
  assert changed() == {'tokenizer', 'data', 'held_out'}


@pytest.mark.slow
def test_the_real_problems_are_loaded_and_nine_long_ones_dropped(shared_data):
  task = tasks.jsonl(
    train=str(shared_data / 'problems/deepscaler_train.jsonl'),
    evals={'math500': str(shared_data / 'problems/math500.jsonl')},
    tokenizer=str(shared_data / 'tokenizer/deepseek-r1-distill-qwen'),
    instruction=base.get_config().task_kw.instruction,
    template_kw={},
    thought=True,
  )
  short, dropped = problems.drop_long(task, 1024)
  assert (len(short.train), dropped) == (40_308 - 9, 9)


def config_of(settings):
  """The part of a config that a task needs."""
  return config_dict.create(
    task='jsonl',
    task_kw=settings,
    max_prompt_tokens=64,
    policy='fresh',
    budget='step_cap',
    train_only='',
    grading_rule_kw={'kind': 'continuation'},
  )


def test_held_out_sets_are_read_without_training_problems(settings):
  settings.train = ''
  c = config_of(settings)
  task, dropped = load.read(c)
  assert (len(task.train), len(task.evals['test']), dropped) == (0, 1, 0)


def test_missing_training_problems_are_listed_with_other_faults(settings):
  settings.update(train='', tokenizer='nowhere')
  c = config_of(settings)
  with pytest.raises(ValueError, match=r'(?s)train is empty.*nowhere'):
    load.load_task(c)


def test_the_grading_rule_says_whether_prompts_open_a_thought(
  settings, tmp_path
):
  template = tiny_tokenizer.TEMPLATE.replace('<think>\n', '')
  settings.tokenizer = str(
    tiny_tokenizer.write(tmp_path / 'plain', template=template)
  )
  c = config_of(settings)
  ends = {}
  for kind in ('continuation', 'response', 'text'):
    c.grading_rule_kw.kind = kind
    task, _ = load.read(c)
    ends[kind] = task.decode(task.encode(task.evals['test'][0]))[-8:]
  assert ends == {
    'continuation': '<think>\n',
    'response': 'sistant>',
    'text': 'sistant>',
  }


def test_an_open_thought_that_the_rule_does_not_look_for_is_refused(settings):
  c = config_of(settings)
  c.grading_rule_kw.kind = 'text'
  with pytest.raises(ValueError, match=r"opens a thought.*'continuation'"):
    load.read(c)


def test_a_forced_first_token_is_one_token_and_counts_in_the_prompt(settings):
  c = base.get_config()
  c.update(config_of(settings).to_dict())
  kw = dict(share=0.5, close='</think>', start='A', short=4)
  c.budget, c.budget_kw = 'forced_modes', kw
  task, _ = load.read(c)
  c.max_prompt_tokens = len(task.encode(task.evals['test'][0]))
  with pytest.raises(ValueError, match=r'max_prompt_tokens=.* is too low'):
    load.read(c)
  c.max_prompt_tokens += 1
  load.read(c)
  c.budget_kw.start = 'Al'
  with pytest.raises(ValueError, match=r"'Al' is 2 tokens of task='jsonl'"):
    load.read(c)


def test_variables_of_a_template_are_a_dict(settings):
  given = {**settings.to_dict(), 'template_kw': 'enable_thinking'}
  with pytest.raises(ValueError, match=r'template_kw=.* is not a dict'):
    tasks.jsonl(**given, thought=True)
