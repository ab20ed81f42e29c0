"""Runs the notebooks' scripts from top to bottom and writes the .ipynb of each.

  python -m tools.make_notebooks [NAME ...]

A notebook's source is the percent script tools/notebooks/NAME.py; its .ipynb
carries the outputs and is never edited by hand. One that says the same gives
the same file: no times, no counts of execution, ids by the cells' contents.
"""

import argparse
import collections
import hashlib
import pathlib
import sys
import tempfile

import jupytext
import nbclient
import nbformat
from traitlets import config

from siri_jax.runtime import files

FOLDER = pathlib.Path(__file__).parent / 'notebooks'
CELL_SECS = 600  # That one cell may take.
METADATA = {
  'kernelspec': {
    'name': 'python3',
    'display_name': 'Python 3',
    'language': 'python',
  },
  'language_info': {'name': 'python'},
}


def names():
  """The notebooks that there are, in the order of their names."""
  return sorted(path.stem for path in FOLDER.glob('*.py'))


def source(name):
  """A notebook as its script has it: no outputs yet.

  Raises:
    FileNotFoundError: there is no such script.
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
  """The notebook with the outputs of a run in its own folder.

  Raises:
    nbclient.exceptions.CellExecutionError: a cell failed; shows it.
  """
  with tempfile.TemporaryDirectory() as folder:
    # Sockets are files: nobody else on the machine can listen.
    sockets = {'transport': 'ipc', 'ip': f'{folder}/kernel'}
    nbclient.NotebookClient(
      notebook,
      timeout=CELL_SECS,
      kernel_name='python3',
      record_timing=False,
      resources={'metadata': {'path': str(FOLDER)}},
      config=config.Config(KernelManager=sockets),
    ).execute()
  notebook.metadata = nbformat.from_dict(METADATA)
  for cell in notebook.cells:
    if cell.cell_type == 'code':
      cell.execution_count = None
      for output in cell.outputs:
        _settle(output)
  return notebook


def _settle(output):
  """Takes from an output what another run would have otherwise."""
  if output.output_type == 'execute_result':
    output.execution_count = None
  data = output.get('data', {})
  if len(data) > 1:
    data.pop('text/plain', None)  # What stands for a picture or table.


def write(notebook, path):
  """Writes it whole or not at all."""
  nbformat.validate(notebook)
  text = nbformat.writes(notebook).rstrip('\n') + '\n'
  files.write_atomically(path, text.encode())


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('names', nargs='*', metavar='NAME', help='default: all')
  asked = parser.parse_args().names
  if unknown := sorted({*asked} - {*names()}):
    parser.error(f'{", ".join(unknown)} is none of {", ".join(names())}')
  for name in asked or names():
    print(f'{name}: running', flush=True)
    try:
      write(executed(source(name)), FOLDER / f'{name}.ipynb')
    except nbclient.exceptions.CellExecutionError as error:
      sys.exit(f'{name}: {error}')
    print(f'{name}: {FOLDER / name}.ipynb', flush=True)


if __name__ == '__main__':
  main()
