"""Links, paths and commands in the documents."""

import pathlib
import re
import shlex

import pytest

from siri_jax.config import base, command_line
from siri_jax.runtime import run_folder

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENTS = sorted(
  path.relative_to(ROOT).as_posix()
  for path in [*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')]
)


def text_of(name):
  return (ROOT / name).read_text()


def commands_of(name):
  """Every command of a document that starts siri_jax, as words."""
  text = text_of(name).replace('\\\n', ' ')
  for line in re.findall(r'python -m siri_jax\.[a-z_.]+ [^`\n]*', text):
    yield shlex.split(line.partition('#')[0].rstrip(' &'))


@pytest.mark.parametrize('name', DOCUMENTS)
def test_every_link_leads_somewhere(name):
  links = re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', text_of(name))
  folder = (ROOT / name).parent
  local = [link for link in links if '://' not in link]
  assert [link for link in local if not (folder / link).exists()] == []


@pytest.mark.parametrize('name', DOCUMENTS)
def test_every_path_of_the_project_exists(name):
  found = re.findall(
    r'(?<![\w./])((?:siri_jax|configs|tools|tests|docs)/[\w/.]*\w)',
    text_of(name),
  )
  assert [path for path in found if not (ROOT / path).exists()] == []


@pytest.mark.parametrize('name', DOCUMENTS)
def test_every_line_of_prose_has_at_most_100_columns(name):
  lines = text_of(name).splitlines()
  free = ('|', '    ', '!', 'http')  # Tables, code, images.
  assert [x for x in lines if len(x) > 100 and not x.startswith(free)] == []


def source_of(module):
  return (ROOT / f'{module.replace(".", "/")}.py').read_text()


@pytest.mark.parametrize('name', DOCUMENTS)
def test_every_command_exists_and_accepts_its_flags(name):
  config = base.get_config().to_dict()
  settings = {*config, *run_folder.flatten(config)}
  shared = pathlib.Path(command_line.__file__).read_text()
  for words in commands_of(name):
    source = source_of(words[2]) + shared
    for flag in re.findall(r'--([\w.]+)', ' '.join(words[3:])):
      setting = flag.removeprefix('config.')
      if setting.startswith(('schedule_kw.', 'text_rewards_kw.')):
        continue  # Its settings are the plug-in's.
      known = (
        setting in settings
        if flag != setting
        else f"'{flag}'" in source or f'--{flag}' in source
      )
      assert known, f'{" ".join(words)}: --{flag}'


def test_the_documents_are_searched_for_commands():
  found = [words for name in DOCUMENTS for words in commands_of(name)]
  assert len(found) > 15
