"""Writes one page about runs: settings, table, figures and samples.

  python -m siri_jax.commands.report RUN [...] [--out=report.html] [--follow]

The page needs nothing but itself. With --follow it is written anew as the
runs go on and loads itself anew, until all of them are complete or Ctrl-C.
"""

import argparse
import base64
import datetime
import pathlib
import re
import sys
import time

import jinja2

from siri_jax.analysis import ablation_table, run_table, runs, seeds
from siri_jax.analysis.figures import catalog, style, words
from siri_jax.runtime import files, run_folder

TEMPLATE = pathlib.Path(__file__).with_name('report.html')
DPI = 200
UNSEEN = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]')
PROBLEMS = 4  # Whose samples are shown, of each setting.
SAYS = {
  'schedules': 'Every schedule over one cycle.',
  'schedule': 'The caps that the runs had.',
  'training': 'Cap, length and accuracy against the step.',
  'overlay': 'The settings over one another.',
  'pareto': 'Accuracy against the length of a response.',
  'words': 'Words before and after the first compression.',
  'entropy': 'Entropy against the step, compression shaded.',
  'lag': 'How far the length lags behind the cap.',
  'outcomes': 'Lengths of right, wrong and cut samples.',
  'caps': 'Accuracy at every cap.',
}


def page(read, chosen=None, refresh=0):
  """The page as text.

  Args:
    read: list of runs.Run.
    chosen: words to mark and count; None for the usual ones.
    refresh: seconds after which it loads itself anew; 0 for never.
  Returns:
    str of HTML. What models and files say stands in it as text.
  """
  found = seeds.of(read)
  chosen = chosen or words.usual(read)
  drawn, undrawn = [], []
  for name, fig in catalog.drawn(read, chosen):
    if isinstance(fig, str):
      undrawn.append((name, fig))
    else:
      drawn.append(_image(name, fig))
  going = sum(not run.complete for run in read)
  environment = jinja2.Environment(autoescape=True)  # Model text comes in here.
  return environment.from_string(TEMPLATE.read_text()).render(
    title=', '.join(g.label for g in found) if read[1:] else read[0].name,
    state=_state(len(read), going),
    written=datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC'),
    refresh=refresh if going else 0,
    notes=[note for run in read for note in run.notes],
    **_settings(found),
    tables=_tables(found),
    figures=drawn,
    undrawn=undrawn,
    words=', '.join(chosen),
    settings=[s for s in (_samples(g, chosen) for g in found) if s],
  )


def _state(count, going):
  """How far the runs are, in a sentence."""
  if count == 1:
    return 'Going on.' if going else 'Complete.'
  return (
    f'{count} runs, {f"{going} of them going on" if going else "complete"}.'
  )


def _settings(found):
  """What the runs were set to: where they differ, and what they share."""
  members = [(group, run) for group in found for run in group.runs]
  flat = [run_folder.flatten(run.config) for _, run in members]
  names = list(dict.fromkeys(name for settings in flat for name in settings))
  values = {n: [repr(s[n]) if n in s else '' for s in flat] for n in names}
  differing = [n for n in names if len(set(values[n])) > 1]
  return {
    'differing': differing,
    'shared': [(n, values[n][0]) for n in names if n not in differing],
    'runs': [
      {
        'name': run.name,
        'setting': group.label,
        'done': len(run.column('step')) and run.last,
        'total': run.config['total_steps'],
        'set_to': [values[n][place] for n in differing],
      }
      for place, (group, run) in enumerate(members)
    ],
  }


def _tables(found):
  """The settings beside one another, then one run of each, point by point."""
  texts = []  # (what it tells, text)
  try:
    if any(len(group.runs) > 1 for group in found):
      arms = {
        g.label: {r.config['seed']: r.path for r in g.runs} for g in found
      }
      told = ablation_table.text(ablation_table.Ablation(arms).table())
      texts.append(
        ('At their last evaluations', f'{told}\n\n{ablation_table.NOTES}')
      )
    told = run_table.text([group.runs[0].path for group in found])
    texts.append(('The first run of each setting, point by point', told))
  except ValueError as error:
    texts.append(('No table', str(error)))
  return texts


def _image(name, fig):
  """A figure for the page; a double column goes across all of it."""
  wide = fig.get_figwidth() > style.COLUMN
  return {
    'png': base64.b64encode(style.png(fig, DPI)).decode(),
    'says': SAYS.get(name, name),
    'wide': wide,
    'width': round(fig.get_figwidth() * 160),
  }


def _samples(group, chosen):
  """The newest samples of a group's first run at two points; None without.

  Those of its compressed and its expanded point, or of its first and last
  evaluation where the cap does not turn.
  """
  run = group.runs[0]
  newest = {record['kind']: record['step'] for record in run.evals}
  ends = [kind for kind in style.MARKERS if kind in newest]
  if len(ends) < 2:
    steps = sorted({record['step'] for record in run.evals})
    newest = {f'after {step} updates': step for step in steps}
    ends = list(newest)[:: max(len(newest) - 1, 1)]
  tables = [words.samples_at(run, newest[kind]) for kind in ends]
  if not tables or not all(len(table) for table in tables):
    return None
  titles = [
    f'{k}, {newest[k]} updates' if k in style.MARKERS else k for k in ends
  ]
  return {
    'label': group.label,
    'run': run.name,
    'says': ' beside '.join(titles),
    'pairs': [
      (
        _visible(pair[0]['problem']),
        [_sample(*part, chosen) for part in zip(titles, pair, strict=True)],
      )
      for pair in _pairs([table.to_dict('records') for table in tables])
    ],
  }


def _pairs(tables):
  """The first samples of the same problems at each point.

  Half of them were judged alike and half apart, as far as there are such.
  """
  first = [{row['problem_id']: row for row in reversed(t)} for t in tables]
  common = [key for key in reversed(first[0]) if all(key in f for f in first)]
  pairs = [[f[key] for f in first] for key in common]
  if not pairs:  # Other problems were trained on; one beside another.
    ways = (list(f.values())[::-1] for f in first)
    pairs = [list(pair) for pair in zip(*ways, strict=False)]
  alike, apart = [], []
  for pair in pairs:
    same = len({row['correct'] for row in pair}) == 1
    (alike if same else apart).append(pair)
  shown = apart[: max(PROBLEMS // 2, PROBLEMS - len(alike))]
  return alike[: PROBLEMS - len(shown)] + shown


def _sample(at, row, chosen):
  segments = words.segments(_visible(row['response']), chosen)
  return {
    'at': at,
    'verdict': 'right' if row['correct'] else 'wrong',
    'length': row['length'],
    'marked': sum(marked for _, marked in segments),
    'segments': segments,
  }


def _visible(text):
  """A text whose control characters, which could turn it round, are written."""
  return UNSEEN.sub(lambda found: f'<{ord(found[0]):04X}>', text)


def write(path, text):
  """Writes the page whole; what is no text in a sample becomes '?'."""
  files.write_atomically(path, text.encode('utf-8', 'replace'))


def follow(folders, path, chosen, every):
  """Writes the page whenever the runs have gone on, until all are complete."""
  before = None
  while True:
    try:
      read = runs.read_all(folders)
    except ValueError as error:  # A folder that is being moved, say.
      print(f'the page stays as it was: {error}', file=sys.stderr)
      time.sleep(every)
      continue
    state = [(run.last, len(run.evals)) for run in read]
    if state != before:
      write(path, page(read, chosen, every))
      print(
        f'{path}: after {min(last for last, _ in state)} updates', flush=True
      )
      before = state
    if all(run.complete for run in read):
      return
    time.sleep(every)


def main(argv=None):
  """Exit status: 0 written, 2 refused, 130 ended by Ctrl-C."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('runs', nargs='+', metavar='RUN')
  parser.add_argument('--out', default='report.html', type=pathlib.Path)
  parser.add_argument('--words', help='to mark and count, divided by commas')
  parser.add_argument('--follow', action='store_true', help='as the runs go on')
  parser.add_argument('--every', type=int, default=30, help='seconds; 30')
  options = parser.parse_args(argv)
  chosen = options.words.split(',') if options.words else None
  try:
    read = runs.read_all(options.runs)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.follow:
      follow(options.runs, options.out, chosen, max(options.every, 1))
    else:
      write(options.out, page(read, chosen))
  except (ValueError, OSError) as error:
    print('refused:', *str(error).splitlines(), sep='\n  ', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print(f'\n{options.out} stays as it is', file=sys.stderr)
    return 130
  print(options.out)
  return 0


if __name__ == '__main__':
  sys.exit(main())
