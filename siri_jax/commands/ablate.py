"""Runs a grid of settings, one process a run, and compares the results.

  python -m siri_jax.commands.ablate --config=configs/quickstart.py \\
    --out=runs/shapes --axis=schedule=cosine,stair,constant \\
    --axis=seed=0,1,2 [--jobs=N] [--grid=FILE.json] \\
    [--config.KEY=VALUE ...] [--past=RUN --step=STEP] \\
    [--executor=slurm --partition=NAME --gpus=8 --hours=48]

From Python, siri_jax.experiments.ablate.ablate returns the table.
The same command continues unfinished runs. Exit status 0 if all runs finished,
1 if some failed, 2 refused, 128 + n ended by signal n.
"""

import argparse
import sys

from siri_jax.analysis import ablation_table
from siri_jax.experiments import ablate, grid
from siri_jax.runtime import stopwatch
from siri_jax.runtime.exit_status import refuse


def main(argv):
  """Runs the ablation of the command line; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--config', required=True, help='FILE.py or FILE.py:ARG')
  parser.add_argument('--out', required=True, help='folder of the ablation')
  parser.add_argument('--axis', action='append', default=[], help='KEY=V,V,...')
  parser.add_argument('--grid', help='JSON file of axes')
  parser.add_argument('--past', help='a run that all runs branch from')
  parser.add_argument('--step', type=int, help='updates done, of --past')
  parser.add_argument('--executor', default='here', choices=ablate.EXECUTORS)
  parser.add_argument('--jobs', type=int, default=0, help='runs at a time')
  parser.add_argument('--partition', default='', help="Slurm's")
  parser.add_argument('--gpus', type=int, default=0, help='GPUs of a job')
  parser.add_argument('--cpus', type=int, default=8, help='CPUs of a job')
  parser.add_argument('--hours', type=float, default=24.0, help='of a job')
  asked, words = parser.parse_known_args(argv)
  if (asked.past is None) != (asked.step is None):
    parser.error('--past=RUN and --step=STEP go together; give both')
  try:
    axes = grid.axes(asked.axis)
    frame = ablate.ablate(
      asked.config,
      {**(grid.read(asked.grid) if asked.grid else {}), **axes},
      asked.out,
      overrides=grid.overrides(words),
      past=(asked.past, asked.step) if asked.past else None,
      **{name: getattr(asked, name) for name in ablate.PLACE},
    )
  except ValueError as error:
    return refuse(str(error).splitlines(), asked.out)
  except stopwatch.StopRequested as stop:
    print('saved; the same command continues')
    return 128 + stop.args[0]
  print(ablation_table.text(frame), ablation_table.NOTES, sep='\n\n')
  return int('why' in frame)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
