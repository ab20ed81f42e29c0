"""Samples every training problem once and grades the samples.

  python -m siri_jax.commands.presample --config=recipes/dast:laptop
    [--workdir=RUN] [--weights=start] [--samples=16] [--problems=0]
    [--out=FOLDER] [--config.KEY=VALUE ...]

Weights are the updates of a checkpoint, the start of the run, a Hugging Face
folder, or the URL of a server with the model. OUT/rollouts has the samples, in
the form of a run's, and OUT/reference.jsonl a line for each problem: samples,
correct, accuracy, mean tokens, mean tokens and least tokens of the right ones.
The same command continues what was interrupted and gives the same bytes; more
--samples, or another --config.seed, add to what is there. Exit status as
siri_jax.main's.
"""

import pathlib
import sys

from siri_jax.config import command_line
from siri_jax.offline import presample
from siri_jax.runtime import stopwatch, terminal
from siri_jax.runtime.exit_status import DONE, refuse


def define(add):
  """This program's own flags."""
  add.add_argument(
    '--weights',
    metavar='WORD',
    default='start',
    help='newest, updates done, start, a model folder or a URL; by default '
    'start',
  )
  for name, what in (
    ('samples', 'samples a problem'),
    ('problems', 'problems; 0: all'),
  ):
    add.add_argument(
      f'--{name}', type=int, help=f'{what}; by default presample_kw.{name}'
    )
  add.add_argument(
    '--out',
    metavar='FOLDER',
    default='',
    help="where samples go; by default presample/ in the run's folder",
  )


def main(argv):
  """Runs the command line and returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  if asked.faults:
    return refuse(asked.faults, asked.source)
  request = request_of(asked)
  with terminal.Terminal(0) as screen:
    try:
      table = presample.presample(request, screen)
    except stopwatch.StopRequested as stop:
      screen.say('finished problems are written; the same command continues')
      return 128 + stop.args[0]
    except (ValueError, OSError) as error:
      return refuse(str(error).splitlines(), request.out)
    screen.say(f'{table} has a line for each problem')
  return DONE


def request_of(asked):
  """The presample.Request of a command line."""
  given = {name: getattr(asked.flags, name) for name in ('samples', 'problems')}
  asked.config.presample_kw.update(
    {name: count for name, count in given.items() if count is not None}
  )
  return presample.Request(
    config=asked.config,
    source=asked.source,
    overrides=asked.overrides,
    workdir=asked.workdir,
    out=pathlib.Path(asked.flags.out or f'{asked.workdir}/{presample.FOLDER}'),
    weights=asked.flags.weights,
  )


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
