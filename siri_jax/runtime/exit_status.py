"""Exit statuses of the commands, and the refusal that names every fault."""

import sys

from siri_jax.runtime import credentials

DONE = 0
REFUSED = 2  # A command line, a config, a file or a folder.
DIVERGED = 3
UNWRITTEN = 5  # A file could not be written.
UNSERVED = 6  # No vLLM server responds.


def refuse(faults, source):
  """Prints all faults to stderr and returns REFUSED.

  Args:
    faults: messages, one a line.
    source: the config, file or folder with the faults.
  """
  print(f'refused: {source}', file=sys.stderr)
  for fault in faults:
    print(f'  {credentials.masked(fault)}', file=sys.stderr)
  return REFUSED
