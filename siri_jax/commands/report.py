"""Writes an HTML page about runs: settings, table, figures and samples.

  python -m siri_jax.commands.report RUN [...] [--out=report.html] [--follow]

The page loads no other file. With --follow it is rewritten while the runs train
and reloads itself, until all of them are complete or Ctrl-C.
"""

import base64
import datetime
import pathlib
import re
import sys
import time

import jinja2

from siri_jax.analysis import ablation_table, run_table, runs, seeds
from siri_jax.analysis.figures import catalog, style, words
from siri_jax.config import command_line
from siri_jax.runtime import files, run_folder

TEMPLATE = pathlib.Path(__file__).with_name('report.html')
DPI = 200
UNSEEN = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]')
PROBLEMS = 4  # Problems with samples shown, for each setting.
SAYS = {
  'schedules': 'Every schedule over one cycle.',
  'schedule': 'The caps of the runs.',
  'training': 'Cap, length and accuracy against the step.',
  'overlay': 'All settings in one panel each.',
  'pareto': 'Accuracy against the length of a response.',
  'words': 'Words before and after the first compression.',
  'entropy': 'Entropy against the step, compression shaded.',
  'lag': 'The lag of the length behind the cap.',
  'outcomes': 'Lengths of right, wrong and cut samples.',
  'caps': 'Accuracy at every cap.',
}


def page(read, chosen=None, refresh=0):
  """The page as text.

  Args:
    read: list of runs.Run.
    chosen: words to mark and count; None for the default ones.
    refresh: seconds after which the page reloads itself; 0 for never.
  Returns:
    str of HTML; text of models and files is escaped.
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
  environment = jinja2.Environment(autoescape=True)  # For text of models.
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
  """A sentence about the progress of the runs."""
  if count == 1:
    return 'Not finished.' if going else 'Complete.'
  return f'{count} runs, {f"{going} not finished" if going else "complete"}.'


def _settings(found):
  """The settings in which the runs differ, and those they share."""
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
  """Tables of all settings, then of one run of each, point by point."""
  texts = []  # (title, text)
  try:
    if any(len(group.runs) > 1 for group in found):
      arms = {
        g.label: {r.config['seed']: r.path for r in g.runs} for g in found
      }
      table = ablation_table.text(ablation_table.Ablation(arms).table())
      texts.append(
        ('At their last evaluations', f'{table}\n\n{ablation_table.NOTES}')
      )
    table = run_table.text([group.runs[0].path for group in found])
    texts.append(('The first run of each setting, point by point', table))
  except ValueError as error:
    texts.append(('No table', str(error)))
  return texts


def _image(name, fig):
  """A figure for the page; a wide one uses its full width."""
  wide = fig.get_figwidth() > style.COLUMN
  return {
    'png': base64.b64encode(style.png(fig, DPI)).decode(),
    'says': SAYS.get(name, name),
    'wide': wide,
    'width': round(fig.get_figwidth() * 160),
  }


def _samples(group, chosen):
  """The newest samples of a group's first run at two points; None without.

  The points are compressed and expanded, or the first and last evaluation if
  the cap has no extrema.
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

  If possible, half of the pairs have equal verdicts and half different ones.
  """
  first = [{row['problem_id']: row for row in reversed(t)} for t in tables]
  common = [key for key in reversed(first[0]) if all(key in f for f in first)]
  pairs = [[f[key] for f in first] for key in common]
  if not pairs:  # The points have no common problems; pair any two.
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
  """Text with visible control characters, which could reverse it."""
  return UNSEEN.sub(lambda found: f'<{ord(found[0]):04X}>', text)


def write(path, text):
  """Writes the page atomically; invalid characters become '?'."""
  files.write_atomically(path, text.encode('utf-8', 'replace'))


def follow(folders, path, chosen, every):
  """Writes the page after each new step, until all runs are complete."""
  before = None
  while True:
    try:
      read = runs.read_all(folders)
    except ValueError as error:  # For example, a folder is being moved.
      print(f'page not updated: {error}', file=sys.stderr)
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
  parser = command_line.parser(__doc__)
  parser.add_argument('runs', nargs='+', metavar='RUN', help="a run's folder")
  parser.add_argument(
    '--out',
    metavar='FILE',
    default='report.html',
    type=pathlib.Path,
    help='the page; by default report.html',
  )
  parser.add_argument('--words', help='words to mark, separated by commas')
  parser.add_argument('--follow', action='store_true', help='update the page')
  parser.add_argument(
    '--every',
    type=int,
    default=30,
    help='seconds between two updates with --follow; by default 30',
  )
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
    print(f'\nstopped; {options.out} is not updated any more', file=sys.stderr)
    return 130
  print(options.out)
  return 0


if __name__ == '__main__':
  sys.exit(main())
