"""The table that the fault tests print: what was done, and what happened."""

import math
from typing import NamedTuple

import pytest
import tabulate


class Told(NamedTuple):
  """A line of the table; `row` is only for its order."""

  row: int
  fault: str
  happened: str
  secs: float = math.nan
  lost: int | None = None


HEADERS = ('fault', 'what happened', 'recovery, s', 'steps lost')
UNTESTED = [
  Told(30, "another host's process dies", 'status 134, after 100 s: by hand')
]

LINES = []  # Of the tests that have passed.


@pytest.fixture
def tell():
  """Adds a line to the table: tell(row, fault, happened, secs, lost)."""
  return lambda *parts, **named: LINES.append(Told(*parts, **named))


def pytest_terminal_summary(terminalreporter):
  """Prints the table, where there was a fault."""
  if not LINES:
    return
  lines = [
    (
      line.fault,
      line.happened,
      '' if math.isnan(line.secs) else f'{line.secs:.1f}',
      '' if line.lost is None else line.lost,
    )
    for line in sorted([*LINES, *UNTESTED], key=lambda line: line.row)
  ]
  terminalreporter.section('faults')
  terminalreporter.write_line(tabulate.tabulate(lines, HEADERS, 'pipe'))
