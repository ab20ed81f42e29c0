"""Evaluates policies on held-out sets, as in the paper.

  python -m siri_jax.commands.evaluate --config=configs/quickstart.py
    [--workdir=RUN] [--weights=start,27,newest] [--sets=aime24,amc]
    [--samples=64] [--against=FOLDER,FOLDER] [--paper=1.5B] [--out=FOLDER]
    [--config.KEY=VALUE ...]

Weights are the updates of a checkpoint, the start of the run, a Hugging Face
folder, or the URL of a server with the model. dAcc/CR compares with the first
weights, or with the first folder of --against. Samples are written to
OUT/WEIGHTS/SET at once: the same command continues an interrupted evaluation
and gives the same result. Exit status as siri_jax.main's.
"""

import pathlib
import sys

from siri_jax.analysis import paper_table
from siri_jax.analysis.figures import accuracy_by_cap
from siri_jax.config import command_line
from siri_jax.evaluation import evaluate
from siri_jax.runtime import stopwatch, terminal
from siri_jax.runtime.exit_status import DONE, refuse


def define(add):
  """This program's own flags."""
  for name, default, help_text in (
    (
      'weights',
      ['newest'],
      'newest, updates done, start, a model folder or a URL; by default newest',
    ),
    ('sets', [], "held-out sets; by default all of the config's"),
    ('against', [], 'folders of earlier evaluations to compare with'),
  ):
    add.add_argument(
      f'--{name}',
      metavar='A,B',
      action=command_line.Items,
      default=default,
      help=help_text,
    )
  add.add_argument(
    '--samples',
    type=int,
    default=0,
    help='samples a problem; by default eval_kw.table_samples',
  )
  add.add_argument(
    '--out',
    metavar='FOLDER',
    default='',
    help="where results go; by default evaluations/ in the run's folder",
  )
  add.add_argument(
    '--paper', choices=paper_table.ROWS, help="also show the paper's rows"
  )


def main(argv):
  """Runs the command line and returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  request, against = request_of(asked), asked.flags.against
  faults = [f'--against={each}' for each in paper_table.faults(against)]
  faults = [*asked.faults, *evaluate.find(request)[1], *faults]
  if faults:
    return refuse(list(dict.fromkeys(faults)), asked.source)
  with terminal.Terminal(0) as screen:
    try:
      measured = evaluate.evaluate(request, screen)
    except stopwatch.StopRequested as stop:
      screen.say('finished problems are written; the same command continues')
      return 128 + stop.args[0]
    except (ValueError, OSError) as error:
      return refuse(str(error).splitlines(), request.out)
    shown = [*against, *measured]
    screen.say(paper_table.save(request.out, shown, asked.flags.paper))
    caps = accuracy_by_cap.save(request.out, shown)
    screen.say(f'{caps} shows the accuracy under every cap')
  return DONE


def request_of(asked):
  """The evaluate.Request of a command line."""
  return evaluate.Request(
    config=asked.config,
    source=asked.source,
    overrides=asked.overrides,
    workdir=asked.workdir,
    out=pathlib.Path(asked.flags.out or f'{asked.workdir}/evaluations'),
    weights=asked.flags.weights,
    sets=asked.flags.sets,
    samples=asked.flags.samples,
  )


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
