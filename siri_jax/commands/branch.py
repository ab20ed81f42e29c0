"""Starts a run from another run's checkpoint, with other settings.

  python -m siri_jax.commands.branch RUN --step=54 --out=runs/branch \\
    [--config.schedule=stair --config.KEY=VALUE ...]

Makes the new folder and prints the command that trains it. RUN may still be
training. Settings that are not changed here are those of the checkpoint. The
new RUN.json names RUN, so that figures show both.
"""

import pathlib
import sys

from siri_jax.config import command_line
from siri_jax.experiments import branch, grid
from siri_jax.runtime.exit_status import refuse


def main(argv):
  """Makes a branch and returns the exit status."""
  parser = command_line.parser(__doc__)
  parser.add_argument('run', help='folder of the run to branch from')
  parser.add_argument(
    '--step', type=int, required=True, help='its checkpoint, in updates done'
  )
  parser.add_argument('--out', required=True, help='the new folder')
  asked, words = parser.parse_known_args(argv)
  existed = pathlib.Path(asked.out).exists()
  try:
    overrides = grid.overrides(words)
    made = branch.branch(asked.run, asked.step, overrides, asked.out)
  except ValueError as error:
    return refuse(str(error).splitlines(), asked.out)
  print(
    f'{asked.out} exists already' if existed else f'Made {asked.out}', end=''
  )
  print('. To train it, run')
  print(command_line.typed('siri_jax.main', made.arguments))
  if asked.step >= (total := made.config.total_steps):
    print(f'total_steps={total} are done: add --config.total_steps=N to it')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
