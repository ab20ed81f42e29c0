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

import contextlib
import pathlib
import sys

from absl import flags

from siri_jax import build
from siri_jax.analysis import paper_table
from siri_jax.analysis.figures import accuracy_by_cap
from siri_jax.config import command_line
from siri_jax.config import plan as plans
from siri_jax.evaluation import evaluate, weights
from siri_jax.runtime import run_folder, stopwatch, terminal, xla_flags
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
    'samples', 0, 'a problem; by default table_samples', flag_values=values
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
  out = pathlib.Path(asked.flags.out or f'{asked.workdir}/evaluations')
  with contextlib.ExitStack() as stack:
    jobs, faults = prepared(asked, out, stack)
    if asked.faults or faults:
      return refuse([*asked.faults, *faults], asked.source)
    xla_flags.set_up(asked.config.cache_dir)
    screen = stack.enter_context(terminal.Terminal(0))
    signals = stack.enter_context(
      stopwatch.Signals(screen.say, secs=asked.config.stop_secs)
    )
    try:
      graders = stack.enter_context(build.graders_of(asked.config))
      for job in jobs:
        evaluate.measure(job, graders, screen, signals)
    except stopwatch.StopAsked as stop:
      screen.say('every finished problem is kept; the same command goes on')
      return 128 + stop.args[0]
    except (ValueError, OSError) as error:
      return refuse(str(error).splitlines(), out)
    shown = [*asked.flags.against, *(out / job.weights.name for job in jobs)]
    screen.say(paper_table.save(out, shown, asked.flags.paper))
    screen.say(
      f'{accuracy_by_cap.save(out, shown)} shows accuracy at every cap'
    )
  return DONE


def prepared(asked, out, stack):
  """(jobs, faults): what is to be measured, checked before it takes time."""
  c, faults, found = asked.config, [], []
  if asked.flags.samples:
    c.table_samples = asked.flags.samples
  for word in dict.fromkeys(asked.flags.weights):
    try:
      each = weights.find(c, word, asked.workdir)
      plans.make(each.c)
      found.append((each, evaluate.held_out_task(each.c, asked.flags.sets)))
    except plans.RefusedError as error:
      faults += error.faults
    except (ValueError, OSError) as error:
      faults += str(error).splitlines()
  faults += [
    f'--against={each}' for each in paper_table.faults(asked.flags.against)
  ]
  if faults or asked.faults:
    return [], list(dict.fromkeys(faults))
  try:
    jobs = [
      evaluate.Job(
        each, task, evaluate.folders_of(out, each, task, asked, stack)
      )
      for each, task in found
    ]
  except (ValueError, OSError, run_folder.RefusedError) as error:
    return [], str(error).splitlines()
  return jobs, []


if __name__ == '__main__':
  sys.exit(main(sys.argv))
