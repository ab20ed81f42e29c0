"""Selects the training problems whose accuracy rises as the average does.

  python -m siri_jax.commands.select --config=CONFIG --workdir=RUN
    [--out=FILE.jsonl] [--least=0.6] [--epochs=0]

LIMR's selection, of the accuracies of each problem in each epoch of a run. The
run must have recorded the samples of every step: record_kw.rollouts_every=1.
FILE.jsonl, by default RUN/selected.jsonl, is a problem file, and FILE.card.json
says how many problems were left out and why. A run with
--config.train_only=FILE.jsonl trains on them alone. Exit status as
siri_jax.main's.
"""

import pathlib
import sys

import numpy as np

from siri_jax.analysis import runs
from siri_jax.config import command_line
from siri_jax.data import load, selection
from siri_jax.runtime.exit_status import DONE, refuse


def define(add):
  """This program's own flags."""
  add.add_argument(
    '--out',
    default='',
    metavar='FILE.jsonl',
    help="the problem file; by default selected.jsonl in the run's folder",
  )
  add.add_argument(
    '--least',
    type=float,
    default=0.6,
    help='least score of a problem that is kept; %(default)s, as in LIMR',
  )
  add.add_argument(
    '--epochs',
    type=int,
    default=0,
    help="epochs that count; 0: all whole ones; LIMR's are 21",
  )


def main(argv):
  """Runs the command line and returns the exit status."""
  asked = command_line.parse(argv, define, __doc__)
  if asked.config is None:
    return refuse(asked.faults, 'the command line')
  if asked.faults:
    return refuse(asked.faults, asked.source)
  out = pathlib.Path(asked.flags.out or f'{asked.workdir}/selected.jsonl')
  try:
    if out.suffix != '.jsonl':
      raise ValueError(f'--out={out} does not end in .jsonl')
    task, _ = load.read(asked.config)
    given = asked.config.prompts_per_step, asked.flags.epochs
    accuracy = read(pathlib.Path(asked.workdir), task.train, *given)
    chosen, summary = select(task.train, accuracy, asked.flags.least)
  except (ValueError, OSError) as error:
    return refuse(str(error).splitlines(), asked.workdir)
  selection.write(out, chosen, {'run': asked.workdir, **summary})
  print(
    f'{out}: {len(chosen):,} of {summary["problems"]:,} problems; '
    f'{summary["below"]:,} score below {asked.flags.least:g} over '
    f'{summary["epochs"]} epochs, {summary["unknown"]:,} were not sampled in '
    'two epochs in a row, or in the last one'
  )
  return DONE


def read(run, train, prompts, epochs):
  """The accuracy of each training problem in each epoch, float64 [P, K].

  Raises:
    ValueError: the run has no whole epoch, or did not record all its samples.
  """
  epoch_steps = len(train) // prompts
  there = runs.steps_done(run) // max(epoch_steps, 1)
  epochs = epochs or there
  if not 1 <= epochs <= there:
    raise ValueError(
      f'{run} has {there} whole epochs of {epoch_steps} steps, and '
      f'{max(epochs, 1)} are needed'
    )
  rows = []
  for step in range(epochs * epoch_steps):
    path = run / 'rollouts' / f'{step:06d}.jsonl.gz'
    if not path.exists():
      raise ValueError(
        f'{path} is missing; train with record_kw.rollouts_every=1, which '
        'records the samples of every step'
      )
    rows += runs.read_samples(path)
  return selection.by_epoch(rows, [p.id for p in train], epoch_steps, epochs)


def select(train, accuracy, least):
  """The problems that are kept, and a summary of those that are not.

  Raises:
    ValueError: none is kept.
  """
  found = selection.scores(accuracy)
  kept = found >= least
  if not kept.any():
    raise ValueError(
      f'no problem has a score of {least:g}; the highest is '
      f'{np.nanmax(found):.3g}, so set --least to at most that'
    )
  return [p for p, own in zip(train, kept, strict=True) if own], {
    'problems': len(train),
    'kept': int(kept.sum()),
    'below': int((found < least).sum()),
    'unknown': int(np.isnan(found).sum()),
    'least': least,
    'epochs': accuracy.shape[1],
    'accuracy': np.nanmean(accuracy, axis=0).tolist(),
  }


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
