"""Runs the notebooks' scripts from top to bottom and writes the .ipynb of each.

  python -m tools.make_notebooks [NAME ...]

A notebook's source is the percent script tools/notebooks/NAME.py; its .ipynb
has the outputs and is never edited by hand. Equal outputs give an equal file:
it has no times, and cell ids are digests of the cells.
"""

import collections
import hashlib
import os
import pathlib
import sys
import tempfile

import jupytext
import nbclient
import nbformat
from traitlets import config

from siri_jax.config import command_line
from siri_jax.runtime import files

FOLDER = pathlib.Path(__file__).parent / 'notebooks'
CELL_SECS = 600  # Time limit of a cell.
METADATA = {
  'kernelspec': {
    'name': 'python3',
    'display_name': 'Python 3',
    'language': 'python',
  },
  'language_info': {'name': 'python'},
}


def names():
  """The names of all notebooks, sorted."""
  return sorted(path.stem for path in FOLDER.glob('*.py'))


def source(name):
  """The notebook of a script, without outputs.

  Raises:
    FileNotFoundError: the script does not exist.
  """
  notebook = jupytext.read(FOLDER / f'{name}.py', fmt='py:percent')
  notebook.metadata = nbformat.from_dict(METADATA)
  seen = collections.Counter()
  for cell in notebook.cells:
    cell.metadata = nbformat.from_dict({})
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
    seen[digest] += 1
    cell.id = f'{digest}-{seen[digest]}'
  return notebook


def executed(notebook):
  """The notebook with the outputs of a run in the notebooks' folder.

  Raises:
    nbclient.exceptions.CellExecutionError: a cell failed; it is in the message.
  """
  # Without an installed siri_jax, that of this checkout.
  environment = {**os.environ, 'PYTHONPATH': str(FOLDER.parents[1].resolve())}
  with tempfile.TemporaryDirectory() as folder:
    # Sockets are files, so that other users of the machine cannot connect.
    sockets = {'transport': 'ipc', 'ip': f'{folder}/kernel'}
    nbclient.NotebookClient(
      notebook,
      timeout=CELL_SECS,
      kernel_name='python3',
      record_timing=False,
      resources={'metadata': {'path': str(FOLDER)}},
      config=config.Config(KernelManager=sockets),
    ).execute(env=environment)
  notebook.metadata = nbformat.from_dict(METADATA)
  for cell in notebook.cells:
    if cell.cell_type == 'code':
      for output in cell.outputs:
        _settle(output)
  return notebook


def _settle(output):
  """Removes the parts of an output that differ between runs."""
  data = output.get('data', {})
  if len(data) > 1:
    data.pop('text/plain', None)  # The text version of a picture or table.


def write(notebook, path):
  """Writes a notebook to a file atomically."""
  nbformat.validate(notebook)
  text = nbformat.writes(notebook).rstrip('\n') + '\n'
  files.write_atomically(path, text.encode())


def main():
  parser = command_line.parser(__doc__)
  parser.add_argument('names', nargs='*', metavar='NAME', help='default: all')
  asked = parser.parse_args().names
  if unknown := sorted({*asked} - {*names()}):
    wrong, known = ', '.join(unknown), ', '.join(names())
    parser.error(f'unknown notebook {wrong}; choose from {known}')
  for name in asked or names():
    print(f'{name}: running', flush=True)
    try:
      write(executed(source(name)), FOLDER / f'{name}.ipynb')
    except nbclient.exceptions.CellExecutionError as error:
      sys.exit(f'{name}: {error}')
    print(f'{name}: {FOLDER / name}.ipynb', flush=True)


if __name__ == '__main__':
  main()
