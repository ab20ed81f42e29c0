"""Runs a grid of settings, one process a run, and compares the results.

  python -m siri_jax.commands.ablate --config=configs/quickstart.py \\
    --out=runs/shapes --axis=schedule=cosine,stair,constant \\
    --axis=seed=0,1,2 [--jobs=N] [--grid=FILE.json] \\
    [--config.KEY=VALUE ...] [--past=RUN --step=STEP] \\
    [--executor=slurm --partition=NAME --gpus=8 --hours=48] [--dry_run]

From Python, siri_jax.experiments.ablate.ablate returns the table.
The same command continues unfinished runs. Exit status 0 if all runs finished,
1 if some failed, 2 refused, 128 + n ended by signal n.
"""

import sys

from siri_jax.analysis import ablation_table
from siri_jax.config import command_line
from siri_jax.experiments import ablate, grid, preview
from siri_jax.runtime import stopwatch
from siri_jax.runtime.exit_status import DONE, refuse

FLAGS = {
  'config': dict(
    required=True,
    metavar='FILE.py[:ARGUMENT]',
    help='the config file that all runs start from',
  ),
  'out': dict(required=True, metavar='FOLDER', help='folder of the ablation'),
  'axis': dict(
    action='append',
    default=[],
    metavar='KEY=VALUE,VALUE',
    help='a setting and its values; may be given several times',
  ),
  'grid': dict(metavar='FILE', help='JSON file of axes'),
  'dry_run': dict(
    action='store_true', help='print the runs and their cost, and exit'
  ),
  'past': dict(metavar='RUN', help='a run that all runs branch from'),
  'step': dict(type=int, help='the checkpoint of --past, in updates done'),
  'executor': dict(
    default='here',
    choices=ablate.EXECUTORS,
    help="here: processes of this machine; slurm: jobs; 'local' and 'debug': "
    "submitit's own executors, without a cluster",
  ),
  'jobs': dict(
    type=int,
    default=0,
    help='most runs at a time on this machine; by default as many as fit',
  ),
  'partition': dict(default='', help='the Slurm partition of the jobs'),
  'gpus': dict(type=int, default=0, help='GPUs of each Slurm job; 0'),
  'cpus': dict(type=int, default=8, help='CPU cores of each Slurm job; 8'),
  'hours': dict(
    type=float, default=24.0, help='time limit of each Slurm job, hours; 24'
  ),
}


def main(argv):
  """Runs the ablation of the command line; returns the exit status."""
  parser = command_line.parser(__doc__)
  for flag, options in FLAGS.items():
    parser.add_argument(f'--{flag}', **options)
  asked, words = parser.parse_known_args(argv)
  if (asked.past is None) != (asked.step is None):
    parser.error('--past=RUN and --step=STEP go together; give both')
  try:
    axes = grid.read(asked.grid) if asked.grid else {}
    axes |= grid.axes(asked.axis)
    overrides = grid.overrides(words)
    if asked.dry_run:
      ablate.check_place(asked.executor, asked.out)
      runs = grid.runs(asked.config, axes, asked.out, overrides)
      print(preview.text(runs), flush=True)
      wrong = preview.refusals(runs)
      return refuse(wrong, asked.out) if wrong else DONE
    frame = ablate.ablate(
      asked.config,
      axes,
      asked.out,
      overrides=overrides,
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
