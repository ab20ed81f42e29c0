"""Recorded runs of the notebooks: one archive each, unpacked on first use."""

import pathlib
import tarfile

ARCHIVES = pathlib.Path(__file__).parent / 'notebooks'
CACHE = pathlib.Path('runs/cache/recorded')


def unpack(name):
  """Unpacks an archive of runs unless that was done; returns the folder.

  Args:
    name: NAME of the archive tools/notebooks/NAME.tar.gz.
  Returns:
    pathlib.Path below runs/cache.
  """
  archive, folder = ARCHIVES / f'{name}.tar.gz', CACHE / name
  done = folder / '.unpacked'
  if not done.exists() or done.stat().st_mtime < archive.stat().st_mtime:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
      file.extractall(folder, filter='data')
    done.touch()
  return folder
