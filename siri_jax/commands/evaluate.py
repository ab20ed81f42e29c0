"""Accuracy and length of policies on held-out sets, as the paper tells them.

  python -m siri_jax.commands.evaluate --config=configs/quickstart.py
    [--workdir=RUN] [--weights=start,27,newest] [--sets=aime24,amc]
    [--samples=64] [--against=FOLDER,FOLDER] [--paper=1.5B] [--out=FOLDER]
    [--config.KEY=VALUE ...]

Weights are a checkpoint of the run by its updates, what the run starts from,
a Hugging Face folder, or the URL of a server that has the model. The first of
them, or the first folder of an earlier evaluation named by --against, is what
dAcc/CR compares with. OUT/WEIGHTS/SET keeps every sample as it comes: the same
command goes on where it was ended, and comes out the same. Exit status as
siri_jax.main's.
"""

import pathlib
import sys

from absl import flags

from siri_jax.analysis import paper_table
from siri_jax.analysis.figures import accuracy_by_cap
from siri_jax.config import command_line
from siri_jax.evaluation import evaluate
from siri_jax.runtime import stopwatch, terminal
from siri_jax.runtime.exit_status import DONE, refuse


def define(values):
  """This program's own flags."""
  for name, default, told in (
    (
      'weights',
      'newest',
      'newest, updates done, start, a model folder or a URL',
    ),
    ('sets', '', "held-out sets; by default all of the config's"),
    ('against', '', 'folders of earlier evaluations, shown before'),
  ):
    flags.DEFINE_list(name, default, told, flag_values=values)
  flags.DEFINE_integer(
    'samples',
    0,
    'a problem; by default eval_kw.table_samples',
    flag_values=values,
  )
  flags.DEFINE_string(
    'out', '', "by default evaluations/ in the run's folder", flag_values=values
  )
  flags.DEFINE_enum(
    'paper',
    None,
    list(paper_table.ROWS),
    "the paper's rows beside",
    flag_values=values,
  )


def main(argv):
  """Measures what the command line asks for and returns the exit status."""
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
      screen.say('every finished problem is kept; the same command goes on')
      return 128 + stop.args[0]
    except (ValueError, OSError) as error:
      return refuse(str(error).splitlines(), request.out)
    shown = [*against, *measured]
    screen.say(paper_table.save(request.out, shown, asked.flags.paper))
    caps = accuracy_by_cap.save(request.out, shown)
    screen.say(f'{caps} shows accuracy at every cap')
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
  sys.exit(main(sys.argv))
