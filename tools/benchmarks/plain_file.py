"""Plain writes and reads of a file, the floor of a push and of a checkpoint."""

import os

CHUNK = 2**20  # Bytes of a write or read.


def write(path, size, *, wait):
  """Writes `size` random bytes; with `wait`, until they are on the disk."""
  block = os.urandom(min(CHUNK, size))
  with open(path, 'wb', buffering=0) as file:
    for start in range(0, size, len(block)):
      file.write(block[: size - start])
    if wait:
      os.fsync(file.fileno())


def read(path):
  """Reads a file into memory that is used again."""
  memory = bytearray(CHUNK)
  with open(path, 'rb', buffering=0) as file:
    while file.readinto(memory):
      pass
