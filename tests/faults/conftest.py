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
WAITING = [
  Told(row, fault, 'waits for the server')
  for row, fault in {
    11: 'vLLM dies in the middle of a rollout',
    12: 'vLLM hangs',
    13: 'vLLM is slow, token by token',
    14: 'bursts of 429, 500, 502, 503 and resets',
    15: 'replies that are garbage',
    16: 'finish reasons "abort" and "error"',
    17: 'weights of another version are served',
    18: 'a push of weights fails half way',
    19: 'a server left paused by a trainer that crashed',
    20: "a port in use, or another run's server on it",
    24: 'a server with another model or tokenizer',
  }.items()
] + [Told(30, "another host's process dies", 'waits for several hosts')]

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
    for line in sorted([*LINES, *WAITING], key=lambda line: line.row)
  ]
  terminalreporter.section('faults')
  terminalreporter.write_line(tabulate.tabulate(lines, HEADERS, 'pipe'))
