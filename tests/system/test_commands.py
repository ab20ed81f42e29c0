"""The command lines of all commands, in one dialect."""

import argparse
import importlib
import pathlib
import sys

import pytest

from siri_jax import commands

MODULES = [
  'siri_jax.main',
  *(
    f'siri_jax.commands.{path.stem}'
    for path in pathlib.Path(commands.__path__[0]).glob('[!_]*.py')
  ),
]


@pytest.mark.parametrize('name', MODULES)
def test_every_flag_has_a_help_text_and_the_program_a_name_to_type(
  name, monkeypatch, capsys
):
  bare = []
  add = argparse.ArgumentParser.add_argument

  def watched(parser, *names, **options):
    bare.extend([] if options.get('help') else names)
    return add(parser, *names, **options)

  monkeypatch.setattr(argparse.ArgumentParser, 'add_argument', watched)
  file = f'/checkout/{name.replace(".", "/")}.py'
  monkeypatch.setattr('sys.argv', [file])
  with pytest.raises(SystemExit, match='0'):
    importlib.import_module(name).main(['--help'])
  assert capsys.readouterr().out.startswith(f'usage: python -m {name} ')
  assert bare == []


def test_a_command_reads_the_modules_of_the_working_directory(
  tmp_path, monkeypatch
):
  (tmp_path / 'my_config.py').write_text(
    'import my_caps\nfrom siri_jax.config.quickstart import get_config\n'
  )
  (tmp_path / 'my_caps.py').write_text('')
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr('sys.path', ['/usr/bin', *sys.path])
  words = ['settings', 'learning_rate', '--config=my_config.py']
  assert commands.main(words) == 0
