"""The model card of an exported policy, README.md of its folder."""

import pathlib

import huggingface_hub
import jinja2
import tabulate

from siri_jax.analysis import run_table, seeds
from siri_jax.analysis.report import facts
from siri_jax.config import built_in_task
from siri_jax.models.hf import hub
from siri_jax.runtime import run_folder

PAPER = 'https://arxiv.org/abs/2509.25176'
# First words of a licence's text -> its name on the Hub.
LICENCES = {'MIT License': 'mit', 'Apache License': 'apache-2.0'}
TEMPLATE = pathlib.Path(__file__).with_name('card.md.jinja')


def text(run, step, *, place, files):
  """The card as Markdown with the Hub's metadata.

  Args:
    run: runs.Run.
    step: updates done at the checkpoint.
    place: name on the Hub, or path, in the commands that load the policy.
    files: file name -> bytes, the other small files of the folder.
  Returns:
    str.
  """
  base = run.config['model_path']
  name = run.config['policy'] == 'pretrained' and hub.parse(base)
  metadata = huggingface_hub.ModelCardData(
    base_model=name.repo if name else None,
    library_name='transformers',
    pipeline_tag='text-generation',
    license=licence(files),
    tags=['siri_jax', 'siri', 'grpo', 'reinforcement-learning', 'jax'],
  )
  start = f'from {name.repo if name else pathlib.Path(base).name}'
  if run.config['policy'] != 'pretrained':
    start = f'from a policy without a base model ({run.config["policy"]})'
  environment = jinja2.Environment(keep_trailing_newline=True)
  return environment.from_string(TEMPLATE.read_text()).render(
    metadata=metadata.to_yaml(),
    title=f'{run.name}, {step:,} updates',
    paper=PAPER,
    step=f'{step:,}',
    total=f'{run.config["total_steps"]:,}',
    start=start,
    place=place,
    has_tokenizer='tokenizer.json' in files,
    instruction=repr(run.config['task_kw'].get('instruction', '{problem}')),
    task=run.config['task'],
    task_kw=run.config['task_kw'],
    about=built_in_task.sentence(),
    results=run_table.text([run.path], 'github'),
    settings=settings(run),
  )


def settings(run):
  """A table of the settings that changed the result, beside the defaults."""
  _, changed, _ = facts.settings(seeds.of([run]))
  rows = [
    [' '.join(cell.replace('|', '\\|').split()) for cell in row]
    for row in changed.rows
    if not run_folder.is_among(row[0], run_folder.RESUMABLE_SETTINGS)
  ]
  rows.append(['seed', run.config['seed'], ''])
  return tabulate.tabulate(rows, changed.heads, 'github', disable_numparse=True)


def licence(files):
  """The Hub's name of a folder's licence; None if it is not known."""
  for name, data in files.items():
    if name.startswith('LICENSE'):
      first = data.decode(errors='replace').strip().partition('\n')[0].strip()
      return LICENCES.get(first, 'other')
  return None
