"""The memory and the cores of this machine."""

import os
import pathlib


def free_bytes():
  """Bytes of memory that programs can still take."""
  try:
    lines = pathlib.Path('/proc/meminfo').read_text().splitlines()
  except OSError:  # macOS; half of the memory is likely to be free.
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2
  kilobytes = {line.split()[0]: int(line.split()[1]) for line in lines}
  return 1024 * kilobytes['MemAvailable:']


def cores():
  """Numbers of the cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))
