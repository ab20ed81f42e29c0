"""Rewrites the tables of BENCHMARKS.md: python -m tools.benchmarks [NAME ...]

Runs the named benchmarks, or all, each alone in a process of its own. Progress
is shown as it comes. What a benchmark prints on standard output replaces its
part of the page, below the command, the machine, the date and the commit. One
that fails leaves its part as it was. Needs an otherwise idle machine, but for
`counters`.
"""

import datetime
import os
import pathlib
import shlex
import subprocess
import sys

from siri_jax.config import command_line
from siri_jax.runtime import provenance
from tools.benchmarks import laptop, marked

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / 'tools/benchmarks/BENCHMARKS.md'
BENCHMARKS = {
  'counters': 'python -m tools.benchmarks.counters',
  'laptop': 'python -m tools.benchmarks.laptop',
  'update': (
    'python -m tools.benchmarks.update --model=tiny --sequences=16 --updates=3'
  ),
  'push': 'python -m tools.benchmarks.push --config=cosine640 --layers=7',
  'small_push': 'python -m tools.benchmarks.push --config=quickstart',
  'save': 'python -m tools.benchmarks.save',
  'grading': 'python -m tools.benchmarks.grading',
}


def main(argv):
  """Runs the benchmarks that are named, or all; returns the exit status."""
  parser = command_line.parser(__doc__)
  parser.add_argument(
    'names', nargs='*', help=f'of {", ".join(BENCHMARKS)}; by default all'
  )
  names = parser.parse_args(argv).names or [*BENCHMARKS]
  if unknown := [name for name in names if name not in BENCHMARKS]:
    print(
      f'no benchmark {", ".join(unknown)}; choose from {", ".join(BENCHMARKS)}',
      file=sys.stderr,
    )
    return 2
  failed = [name for name in names if not rewritten(DOCUMENT, name)]
  if failed:
    print(f'failed: {", ".join(failed)}', file=sys.stderr)
  return int(bool(failed))


def rewritten(document, name):
  """Runs a benchmark and rewrites its part; returns whether it succeeded."""
  command = BENCHMARKS[name]
  print(f'{name}: {command}', file=sys.stderr, flush=True)
  _, *words = shlex.split(command)
  done = subprocess.run(
    [sys.executable, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
  )
  print(done.stdout, flush=True)
  if done.returncode == 0:
    marked.replace(document, name, f'{conditions(command)}\n\n{done.stdout}')
  return done.returncode == 0


def conditions(command):
  """A sentence: how, where, when and at which commit was measured."""
  commit = provenance.commit(ROOT)
  sha = commit.get('sha', 'unknown')[:8]
  changed = ', with changes' if commit.get('dirty') else ''
  today = datetime.date.today().isoformat()
  return (
    f'`{command}`\non {os.cpu_count()} cores of {laptop.processor()}, {today}, '
    f'commit {sha}{changed}:'
  )


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
