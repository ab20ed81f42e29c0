"""Renders the report: one HTML page that loads no other file."""

import base64
import datetime
import functools
import hashlib
import pathlib

import jinja2

from siri_jax.analysis import seeds
from siri_jax.analysis.figures import catalog, style, words
from siri_jax.analysis.report import facts, samples
from siri_jax.config import built_in_task

FOLDER = pathlib.Path(__file__).parent
DPI = 160
# The first is of no run; the caps of the second are in training, overlay.
SKIPPED = ('schedules', 'schedule')
SAYS = {
  'training': 'Cap, response length and accuracy against the step.',
  'overlay': 'All settings together, with a small panel for each cap.',
  'pareto': 'Accuracy against response length at the newest points.',
  'cost': 'Accuracy and response length against what the runs have spent.',
  'words': 'Words per response before and after the first compression.',
  'entropy': 'Entropy against the step.',
  'lag': 'The lag of the response length behind the cap.',
  'outcomes': 'Lengths of correct and incorrect responses; truncated share.',
  'updates': 'Reward, loss and gradient norm against the step.',
  'timing': 'Seconds of a step by its parts, and tokens a second.',
  'caps': 'Accuracy under every lower cap.',
}


def page(read, chosen=None, refresh=0, each=map):
  """The page as text.

  Args:
    read: list of runs.Run.
    chosen: words to mark and count; None for the default ones.
    refresh: seconds after which the page reloads itself; 0 for never.
    each: `map`, or that of a pool of processes, by which figures are drawn.
  Returns:
    str of HTML; text of models and files is escaped.
  """
  groups = seeds.of(read)
  chosen = chosen or words.usual(read)
  names = [name for name in catalog.every(chosen) if name not in SKIPPED]
  labels = ', '.join(group.label for group in groups[: style.NAMED])
  images = each(functools.partial(_image, read, chosen, labels), names)
  going = sum(not run.complete for run in read)
  script = (FOLDER / 'page.js').read_text()
  differing, changed, default = facts.settings(groups)
  environment = jinja2.Environment(autoescape=True)  # For text of models.
  return environment.from_string((FOLDER / 'page.html').read_text()).render(
    title=_title(read),
    state=_state(len(read), going),
    written=datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC'),
    refresh=refresh if going else 0,
    css=(FOLDER / 'page.css').read_text(),
    script=script,
    # The only script that a browser may run: text of models never is one.
    digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    notes=[note for run in read for note in run.notes],
    runs=facts.runs(groups),
    commands=facts.commands(groups),
    events=facts.events(groups),
    results=facts.results(groups),
    differing=differing if groups[1:] else None,
    changed=changed,
    default=default,
    figures=list(images),
    words=', '.join(chosen),
    task=built_in_task.sentence()
    * all(r.config['task'] in built_in_task.TASKS for r in read),
    settings=[s for s in (samples.of_group(g, chosen) for g in groups) if s],
  )


def _title(read):
  """The run's name, or the name of the runs' common folder."""
  if len(read) == 1:
    return read[0].name
  parents = {run.path.resolve().parent.name for run in read}
  return ', '.join(sorted(parents)) or 'runs'


def _state(count, going):
  """A sentence about the progress of the runs."""
  if count == 1:
    return 'Not finished.' if going else 'Complete.'
  return f'{count} runs, {f"{going} not finished" if going else "complete"}.'


def _image(read, chosen, labels, name):
  """A figure for the page, or the reason why there is none."""
  fig = catalog.one(name, read, chosen)
  if isinstance(fig, str):
    return {'name': name, 'why': fig}
  says = SAYS.get(name, name)
  return {
    'name': name,
    'png': base64.b64encode(style.png(fig, DPI, transparent=True)).decode(),
    'says': says,
    'alt': f'Figure {name} of {labels}. {says}',
    'wide': fig.get_figwidth() > style.COLUMN,
  }
