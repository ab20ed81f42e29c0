"""Writes an HTML page about runs: state, results, figures and samples.

  python -m siri_jax.commands.report RUN [...] [--out=report.html] [--follow]

The page loads no other file. With --follow it is rewritten while the runs train
and reloads itself, until all of them are complete or Ctrl-C.
"""

import contextlib
import multiprocessing
import pathlib
import sys
import time
from concurrent import futures

from siri_jax.analysis import runs
from siri_jax.analysis.report.page import page
from siri_jax.config import command_line
from siri_jax.runtime import files


def write(path, text):
  """Writes the page atomically; invalid characters become '?'."""
  files.write_atomically(path, text.encode('utf-8', 'replace'))


@contextlib.contextmanager
def processes(count):
  """A `map` of several processes, if there are several runs to draw."""
  if count == 1 or 'fork' not in multiprocessing.get_all_start_methods():
    yield map
    return
  # A new interpreter would take longer to import than the figures to draw. This
  # process has no threads that a fork could harm: no JAX.
  fork = multiprocessing.get_context('fork')
  with futures.ProcessPoolExecutor(mp_context=fork) as pool:
    yield pool.map


def follow(folders, path, chosen, every):
  """Writes the page after each new step, until all runs are complete."""
  before = None
  while True:
    try:
      read = runs.read_all(folders)
    except ValueError as error:  # For example, a folder is being moved.
      print(f'page not updated: {error}', file=sys.stderr)
      time.sleep(every)
      continue
    state = [(run.last, len(run.evals)) for run in read]
    if state != before:
      write(path, page(read, chosen, every))
      print(
        f'{path}: after {min(last for last, _ in state)} updates', flush=True
      )
      before = state
    if all(run.complete for run in read):
      return
    time.sleep(every)


def main(argv=None):
  """Exit status: 0 written, 2 refused, 130 ended by Ctrl-C."""
  parser = command_line.parser(__doc__)
  parser.add_argument('runs', nargs='+', metavar='RUN', help="a run's folder")
  parser.add_argument(
    '--out',
    metavar='FILE',
    default='report.html',
    type=pathlib.Path,
    help='the page; by default report.html',
  )
  parser.add_argument('--words', help='words to mark, separated by commas')
  parser.add_argument('--follow', action='store_true', help='update the page')
  parser.add_argument(
    '--every',
    type=int,
    default=30,
    help='seconds between two updates with --follow; by default 30',
  )
  options = parser.parse_args(argv)
  chosen = options.words.split(',') if options.words else None
  try:
    read = runs.read_all(options.runs)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.follow:
      follow(options.runs, options.out, chosen, max(options.every, 1))
    else:
      with processes(len(read)) as each:
        write(options.out, page(read, chosen, each=each))
  except (ValueError, OSError) as error:
    print('refused:', *str(error).splitlines(), sep='\n  ', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print(f'\nstopped; {options.out} is not updated any more', file=sys.stderr)
    return 130
  print(options.out)
  return 0


if __name__ == '__main__':
  sys.exit(main())
