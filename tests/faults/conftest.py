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


@pytest.fixture
def tell(request):
  """Adds a line to the table: tell(row, fault, happened, secs, lost)."""

  def add(*parts, **named):
    # With the test's report, for tests run in several processes.
    line = tuple(Told(*parts, **named))
    request.node.user_properties.append(('fault', line))

  return add


def pytest_terminal_summary(terminalreporter):
  """Prints the table, where there was a fault."""
  told = [
    Told(*line)
    for report in terminalreporter.stats.get('passed', ())
    for name, line in report.user_properties
    if name == 'fault'
  ]
  if not told:
    return
  lines = [
    (
      line.fault,
      line.happened,
      '' if math.isnan(line.secs) else f'{line.secs:.1f}',
      '' if line.lost is None else line.lost,
    )
    for line in sorted(told, key=lambda line: line.row)
  ]
  terminalreporter.section('faults')
  terminalreporter.write_line(tabulate.tabulate(lines, HEADERS, 'pipe'))
