"""The notebooks: equal to their scripts, and run without errors."""

import functools
import re

import nbformat
import pytest

from tools import make_notebooks

pytestmark = pytest.mark.parametrize('name', make_notebooks.names())
# Absolute paths of a machine, which must not be shown.
PLACES = re.compile(r'(?<![\w.:/-])/(home|root|tmp|work|Users|var|mnt)/')
# A measured number of a text: with decimals, or an interval's edge.
NUMBER = re.compile(r'(?<![\w.§])[-+]?\d+\.\d+(?!\w|\.\d)')
# Of the paper, or of a version: stated in these cells, and not measured here.
STATED = ('The paper', 'arXiv')
# Their results are recorded, so that a run of theirs has the same tables.
RECORDED = ('equal_cost', 'longer', 'rivals', 'section53')


@functools.cache
def committed(name):
  return nbformat.read(make_notebooks.FOLDER / f'{name}.ipynb', as_version=4)


def outputs(notebook):
  """(cell's id, output) of all code cells, in order."""
  for cell in notebook.cells:
    if cell.cell_type == 'code':
      yield from ((cell.id, output) for output in cell.outputs)


def texts(notebook):
  """The text of the outputs: (cell's id, kind, text)."""
  for cell, output in outputs(notebook):
    if output.output_type == 'stream':
      yield cell, output.name, output.text
    for kind, text in output.get('data', {}).items():
      if kind.startswith('text/'):
        yield cell, kind, text


def test_the_notebook_has_the_cells_of_its_script(name):
  written, script = committed(name), make_notebooks.source(name)
  pairs = zip(written.cells, script.cells, strict=True)
  for there, here in pairs:
    assert (there.cell_type, there.source) == (here.cell_type, here.source)
    assert there.id == here.id
  assert written.metadata == script.metadata


def test_it_has_outputs_and_no_error(name):
  kinds = [output.output_type for _, output in outputs(committed(name))]
  assert kinds, f'run: python -m tools.make_notebooks {name}'
  assert 'error' not in kinds
  pictures = [
    o for _, o in outputs(committed(name)) if 'image/png' in o.get('data', {})
  ]
  assert pictures
  assert [
    text for _, kind, text in texts(committed(name)) if kind == 'stderr'
  ] == []


def test_it_has_no_path_of_the_machine_that_ran_it(name):
  found = [t for t in texts(committed(name)) if PLACES.search(t[2])]
  assert found == []


def test_it_has_no_times_and_its_cells_are_numbered_as_executed(name):
  cells = [c for c in committed(name).cells if c.cell_type == 'code']
  assert not any('execution' in cell.metadata for cell in cells)
  numbers = [cell.execution_count for cell in cells]
  assert numbers == list(range(1, len(cells) + 1))


def measured(notebook):
  """The numbers with decimals in the text cells, without the paper's."""
  for cell in notebook.cells:
    if cell.cell_type == 'markdown':
      for part in re.split(r'\n\s*\n', cell.source):
        if not any(word in part for word in STATED):
          yield from NUMBER.findall(part)


def test_the_numbers_of_its_text_are_in_its_outputs(name):
  notebook = committed(name)
  shown = ' '.join(text for _, _, text in texts(notebook))
  there = {number.lstrip('+-') for number in NUMBER.findall(shown)}
  said = [number for number in measured(notebook) if number[1:]]
  assert [n for n in said if n.lstrip('+-') not in there] == []


@pytest.mark.slow
def test_it_runs_and_has_the_same_kinds_of_outputs(name, tmp_path):
  # The content of a table may differ, for example by a new schedule.
  fresh = make_notebooks.executed(make_notebooks.source(name))
  shown, before = (
    [
      (cell, sorted(output.get('data', {})))
      for cell, output in outputs(notebook)
    ]
    for notebook in (fresh, committed(name))
  )
  assert shown == before
  if name in RECORDED:
    plain = [t for t in texts(fresh) if t[1] == 'text/plain']
    assert plain == [t for t in texts(committed(name)) if t[1] == 'text/plain']
  make_notebooks.write(fresh, tmp_path / 'fresh.ipynb')
  nbformat.read(tmp_path / 'fresh.ipynb', as_version=4)
