"""Parsing of command lines, with all faults at once."""

import pytest

from siri_jax import main
from siri_jax.config import command_line

TINY = 'tests/helpers/tiny.py'


def parse(*arguments):
  return command_line.parse(arguments, command_line.define_run, main.__doc__)


def test_a_config_alone_asks_for_its_own_folder():
  asked = parse(f'--config={TINY}')
  assert asked.faults == []
  assert asked.config.prompts_per_step == 4
  assert (asked.source, asked.workdir) == (TINY, 'runs/tiny')
  assert asked.overrides == {}
  assert (asked.flags.dry_run, asked.flags.allow_change) == (False, [])


def test_the_argument_of_a_config_is_in_the_folders_name():
  asked = parse('--config=configs/quickstart.py:short')
  assert asked.faults == []
  assert asked.source == 'configs/quickstart.py:short'
  assert asked.workdir == 'runs/quickstart-short'


@pytest.mark.parametrize('joined', [True, False])
def test_values_may_follow_a_space_or_an_equals_sign(joined):
  words = {
    '--config': TINY,
    '--workdir': 'here',
    '--config.seed': '7',
    '--config.task_kw.problems': '99',
    '--config.learning_rate': '1',
    '--config.writers': "('wandb',)",
    '--allow_change': 'seed,task_kw',
  }
  if joined:
    asked = parse(*(f'{key}={value}' for key, value in words.items()))
  else:
    asked = parse(*(word for pair in words.items() for word in pair))
  assert asked.faults == []
  assert asked.workdir == 'here'
  assert asked.config.seed == 7
  assert asked.config.task_kw.problems == 99
  assert asked.config.learning_rate == 1.0
  assert asked.config.writers == ('wandb',)
  assert asked.flags.allow_change == ['seed', 'task_kw']
  assert asked.overrides == {
    'seed': 7,
    'task_kw.problems': 99,
    'learning_rate': 1.0,
    'writers': ('wandb',),
  }


def test_a_negative_value_may_follow_a_space():
  asked = parse('--config', TINY, '--config.seed', '-1', '--dry_run')
  assert asked.faults == []
  assert asked.config.seed == -1
  assert asked.flags.dry_run


def test_the_settings_of_another_plug_in_replace_those_of_the_configs():
  asked = parse(
    f'--config={TINY}',
    '--config.schedule=constant',
    "--config.schedule_kw={'cap': 8}",
  )
  assert asked.faults == []
  assert asked.config.schedule_kw.to_dict() == {'cap': 8}
  # Plain values, because they are written to RUN.json.
  assert asked.overrides['schedule_kw'] == {'cap': 8}
  assert type(asked.overrides['schedule_kw']) is dict


def test_every_part_that_cannot_be_read_is_named_and_the_others_are_read():
  asked = parse(
    f'--config={TINY}',
    '--config.seed=seven',
    '--config.group_size=2.5',
    '--config.prompts_per_step=8',
    '--bogus',
    '--workdir=here',
    'stray',
  )
  assert len(asked.faults) == 4
  for part in (
    'seed=seven',
    'group_size=2.5',
    '--bogus is not a flag',
    'stray is not a flag',
  ):
    assert any(part in fault for fault in asked.faults), part
  assert asked.config.prompts_per_step == 8
  assert asked.workdir == 'here'


def test_an_unknown_setting_is_left_for_the_plan_to_refuse():
  asked = parse(f'--config={TINY}', '--config.learning_rat=1')
  assert asked.faults == []
  assert 'learning_rat' in asked.config


@pytest.mark.parametrize('word', ['-h', '--help'])
def test_help_prints_the_programs_description_and_flags(word, capsys):
  with pytest.raises(SystemExit, match='0'):
    parse(f'--config={TINY}', word)
  said = capsys.readouterr().out
  assert main.__doc__ in said
  assert '--workdir' in said
  assert '--dry_run' in said


def test_without_a_config_it_says_which_to_give():
  for arguments in [(), ('--dry_run',), ('--config.seed=3',)]:
    asked = parse(*arguments)
    assert asked.config is None
    assert 'configs/quickstart.py' in asked.faults[0]


@pytest.mark.parametrize(
  ('text', 'named'),
  [
    (None, 'cannot be read'),
    ('def get_config(:', 'SyntaxError'),
    ('import nothing_of_the_kind', 'nothing_of_the_kind'),
    ('def get_config():\n  return {}["key"]', 'KeyError'),
  ],
)
def test_a_config_that_does_not_load_is_a_fault_and_not_a_crash(
  tmp_path, text, named
):
  path = tmp_path / 'config.py'
  if text is not None:
    path.write_text(text)
  asked = parse(f'--config={path}', '--config.seed=3')
  assert asked.config is None
  assert str(path) in asked.faults[0]
  assert named in asked.faults[0]


def test_a_list_that_is_given_twice_has_the_items_of_both():
  more = ('--config.seed=3', '--allow_change', 'model', '--allow_change=loss')
  asked = parse(f'--config={TINY}', '--allow_change=seed,data', *more)
  assert asked.faults == []
  assert asked.flags.allow_change == ['seed', 'data', 'model', 'loss']
  assert asked.config.seed == 3


@pytest.mark.parametrize(
  ('word', 'part'),
  [
    ('configs/quickstart.py', 'write --config=configs/quickstart.py'),
    ('quickstart:short', 'write --config=quickstart:short'),
    ('--dryrun', 'did you mean --dry_run?'),
    ('--config.seed', 'write --config.seed=VALUE'),
    ('--config.seed=x', 'seed=x is not a whole number'),
    ('--config.learning_rate=x', 'learning_rate=x is not a number'),
    ('--config.model_kw.tied=x', 'model_kw.tied=x is not True or False'),
    ('--config.schedule_kw=3', 'schedule_kw=3 is not a dict of settings'),
    ('--config.shedule_kw.low=3', 'there is no group shedule_kw'),
  ],
)
def test_a_word_that_cannot_be_read_is_named_with_what_to_write(word, part):
  (fault,) = parse(f'--config={TINY}', word).faults
  assert part in fault


def test_a_stray_word_is_named_without_a_config_too():
  asked = parse('configs/quickstart.py')
  assert 'write --config=configs/quickstart.py' in asked.faults[0]
  assert '--config is missing' in asked.faults[1]


def test_an_unknown_cap_of_the_quickstart_lists_the_names():
  (fault,) = parse('--config=configs/quickstart.py:cos').faults
  assert fault.startswith("--config=configs/quickstart.py:cos: unknown cap 'co")
  for name in ('constant', 'stair', 'short_then_long'):
    assert name in fault


def test_a_packaged_config_has_a_short_name():
  asked = parse('--config=quickstart:short')
  assert (asked.source, asked.workdir) == (
    'quickstart:short',
    'runs/quickstart-short',
  )
  same = parse('--config=configs/quickstart.py:short')
  assert asked.config.to_dict() == same.config.to_dict()


@pytest.mark.parametrize('value', ['wandb', "('wandb',)", "['wandb']"])
def test_a_tuple_may_be_written_as_words(value):
  assert parse(
    f'--config={TINY}', f'--config.writers={value}'
  ).config.writers == ('wandb',)


@pytest.mark.parametrize(
  ('argv', 'name'),
  [
    (['/usr/bin/siri-jax', 'train'], 'siri-jax train'),
    (['/x/siri_jax/siri_jax/main.py'], 'python -m siri_jax.main'),
    (['/x/siri_jax/commands/table.py'], 'python -m siri_jax.commands.table'),
  ],
)
def test_a_programs_name_can_be_typed(monkeypatch, argv, name):
  monkeypatch.setattr('sys.argv', argv)
  assert command_line.parser('About.').prog == name


def test_a_list_without_its_value_is_a_fault_still():
  assert parse(f'--config={TINY}', '--allow_change').faults
