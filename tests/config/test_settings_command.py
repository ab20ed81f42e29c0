"""The command that lists every setting."""

import os
import sys

import pytest

from siri_jax.commands import settings
from siri_jax.config import base, descriptions
from siri_jax.runtime import run_folder


def test_every_setting_is_listed_with_its_meaning(capsys):
  assert settings.main([]) == 0
  entries = capsys.readouterr().out.split('\n')
  names = [x.partition('=')[0] for x in entries if x and x[0] != ' ']
  known = run_folder.flatten(base.get_config().to_dict())
  assert names == list(known)
  texts = descriptions.described(known)
  assert [name for name, text in texts.items() if not text] == []


def test_a_pattern_searches_names_and_meanings(capsys):
  assert settings.main(['clip_norm']) == 0
  out = capsys.readouterr().out
  assert out == (
    'optimizer_kw.clip_norm=1.0\n    Global norm of the gradient.\n'
  )
  assert settings.main(['NUCLEUS-FREE']) == 2
  assert "no setting has 'NUCLEUS-FREE'; leave it" in capsys.readouterr().err


def test_a_reader_that_ends_early_is_no_error(monkeypatch):
  read, write = os.pipe()
  os.close(read)
  with open(write, 'w') as stdout:
    monkeypatch.setattr(sys, 'stdout', stdout)
    assert settings.main([]) == 0


def test_another_programs_name_leads_to_the_setting(capsys):
  assert settings.main(['lr']) == 2
  assert 'did you mean learning_rate?' in capsys.readouterr().err


def test_a_config_shows_its_values_and_marks_what_differs(capsys):
  assert settings.main(['prompts_per_step', '--config=quickstart']) == 0
  assert capsys.readouterr().out.startswith('prompts_per_step=32 *\n')


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    # A comment that goes on below its setting.
    ('policy', "Initial parameters, from model_path; 'fresh' (random) and "),
    # One above it; a section's title is none.
    ('update_kw.param_sharding', "'zero3' gathers the parameters a layer"),
    ('learning_rate', 'Learning rate of AdamW, constant; paper, 5.1.'),
    # One of its group.
    ('mesh_kw.fsdp', 'Devices per axis.'),
  ],
)
def test_a_meaning_is_the_comment_of_the_setting(name, text):
  assert descriptions.described({name: None})[name].startswith(text)
