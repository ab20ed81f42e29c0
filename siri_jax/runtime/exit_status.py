"""Exit statuses of the commands, and what they print at their end."""

import os
import sys

from siri_jax.runtime import credentials

DONE = 0
REFUSED = 2  # A command line, a config, a file or a folder.
DIVERGED = 3
UNWRITTEN = 5  # A file could not be written.
UNSERVED = 6  # No vLLM server responds.


def show(text):
  """Prints a command's result and returns DONE, also if `head` reads less."""
  try:
    print(text, flush=True)
  except BrokenPipeError:  # Python would fail again at its own last flush.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  return DONE


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
