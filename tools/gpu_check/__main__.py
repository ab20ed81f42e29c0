"""Runs all checks that need a GPU, in at most nine minutes.

  python -m tools.gpu_check [--only=A,B] [--skip=A,B] [--limit=540] [--tiny]
    [--out=runs/gpu_check]

The parts run in the order of their worth, each in a process with a time limit;
none needs another's success. The finding of a part is in OUT/check.json as soon
as it is known, its log in OUT/PART.log. At the end a table of all findings is
printed and written to OUT/table.txt. A part or a finding is

  pass      within its limits
  fail      outside them, or the part failed or ran out of time
  measured  a number without limits
  left out  not run; the table has the reason

--tiny runs small sizes, also on a CPU. The exit status is 1 if any part failed.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

import tabulate

from siri_jax.config import command_line

ROOT = pathlib.Path(__file__).parents[2]
SECS = 540.0  # Of the whole check.


class Part(NamedTuple):
  """A part of the check.

  Attributes:
    call: MODULE.FUNCTION of this folder.
    secs: its time limit.
    needs: modules without which it is left out.
    shows: what it measures.
  """

  call: str
  secs: float
  needs: tuple[str, ...]
  shows: str


SETTINGS = ('ml_collections',)
PARTS = {
  'card': Part('card.check', 30, (), 'versions, the card, its ceilings'),
  'attention': Part(
    'attention.check', 75, (), 'packed attention against the reference'
  ),
  'logprobs': Part(
    'logprobs.check',
    75,
    SETTINGS,
    'packed against alone, bfloat16 against transformers',
  ),
  'update': Part(
    'update.small', 130, SETTINGS, "the 1.5B's update at 16,384 tokens"
  ),
  'sampler': Part('sampler.check', 100, (), 'the embedded sampler'),
  '7b': Part('update.seven', 60, SETTINGS, 'one layer of the 7B'),
  '7b_deep': Part('update.seven_deep', 60, SETTINGS, 'three layers of the 7B'),
  'quickstart': Part(
    'quickstart.check',
    90,
    (*SETTINGS, 'grain'),
    "the quickstart's first third",
  ),
  'torch': Part(
    'update.torch',
    100,
    (*SETTINGS, 'torch', 'transformers'),
    "torch's update beside ours",
  ),
}


def main(argv):
  """Runs the parts, prints the table and returns the exit status."""
  flags = parse(argv)
  flags.out.mkdir(parents=True, exist_ok=True)
  deadline = time.monotonic() + flags.limit
  device, found = backend(), {}
  with tempfile.TemporaryDirectory() as cache:
    for name in chosen(flags):
      part, left = PARTS[name], deadline - time.monotonic()
      if why := obstacle(part, device, left, flags.tiny):
        found[name] = {'status': 'left out', 'why': why, 'findings': []}
        write(flags.out, found)
        continue
      secs = min(part.secs, left)
      print(f'{name}: {part.shows}, at most {secs:.0f} s', flush=True)
      command = [sys.executable, '-m', 'tools.gpu_check.child', part.call]
      command += [cache, *['--tiny'] * flags.tiny]
      for record in run(command, secs, flags.out / f'{name}.log'):
        found[name] = record
        write(flags.out, found)
  table = text(found)
  (flags.out / 'table.txt').write_text(table + '\n')
  print(f'{table}\n{flags.out / "check.json"} has the findings')
  return int(any(part['status'] == 'fail' for part in found.values()))


def parse(argv):
  """The command line."""
  parser = command_line.parser(__doc__)
  add = parser.add_argument
  add('--only', type=_names, default=[*PARTS], help=', '.join(PARTS))
  add('--skip', type=_names, default=[], help='parts not to run')
  add('--limit', type=float, default=SECS, help='seconds of all parts together')
  add('--tiny', action='store_true', help='small sizes, also on a CPU')
  add('--out', type=pathlib.Path, default='runs/gpu_check', help='a folder')
  flags = parser.parse_args(argv)
  flags.out = pathlib.Path(flags.out).resolve()
  return flags


def _names(given):
  names = given.split(',')
  if unknown := [name for name in names if name not in PARTS]:
    raise argparse.ArgumentTypeError(
      f'unknown {", ".join(unknown)}; choose from {", ".join(PARTS)}'
    )
  return names


def chosen(flags):
  """The names of the parts to run, in the order of their worth."""
  asked = set(flags.only) - set(flags.skip)
  return [name for name in PARTS if name in asked]


def backend():
  """The name of JAX's backend; a message if JAX does not start."""
  went = subprocess.run(
    [sys.executable, '-c', 'import jax; print(jax.default_backend())'],
    capture_output=True,
    text=True,
    check=False,
  )
  lines = (went.stdout + went.stderr).strip().splitlines()
  return lines[-1] if lines else f'status {went.returncode}'


def obstacle(part, device, left, tiny):
  """The reason to leave a part out; '' if there is none."""
  absent = [n for n in part.needs if importlib.util.find_spec(n) is None]
  if absent:
    names = ' '.join(absent).replace('_', '-')
    return f'not installed: {names}; python3 -m pip install {names}'
  if not tiny and device != 'gpu' and part != PARTS['card']:
    return f'no GPU, JAX has {device!r}; --tiny runs it at a small size'
  return '' if left > 1 else 'no time left; raise --limit, or name it in --only'


def run(command, secs, log):
  """Runs a part; yields its record at each finding and at its end.

  Args:
    command: a program that prints its findings as JSON lines.
    secs: time limit.
    log: path for its messages.
  """
  record = {'status': 'running', 'limit_secs': round(secs), 'findings': []}
  began, late = time.monotonic(), threading.Event()
  with (
    open(log, 'w') as file,
    subprocess.Popen(
      command,
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=file,
      text=True,
      start_new_session=True,  # So that its own processes end with it.
    ) as process,
  ):

    def expire():
      late.set()
      end(process)

    timer = threading.Timer(secs, expire)
    timer.start()
    try:
      for line in process.stdout:
        record['findings'].append(json.loads(line))
        yield record
      process.wait()
    finally:
      timer.cancel()
      end(process)
  record['secs'] = round(time.monotonic() - began, 1)
  yield record | outcome(record, process.returncode, late.is_set(), log)


def end(process):
  """Kills a part and the processes that it started."""
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)


def outcome(record, status, late, log):
  """The status of a part that has ended, and the reason if it failed."""
  if late:
    return {'status': 'fail', 'why': f'not done in {record["limit_secs"]} s'}
  if status:
    lines = pathlib.Path(log).read_text().strip().splitlines()
    why = f'{lines[-1] if lines else f"status {status}"}; see {log}'
    return {'status': 'fail', 'why': why}
  passed = [f['passed'] for f in record['findings'] if 'passed' in f]
  if not passed:
    return {'status': 'measured'}
  return {'status': 'pass' if all(passed) else 'fail'}


def write(out, found):
  """Writes what is known so far."""
  fresh = out / 'check.json.new'
  fresh.write_text(json.dumps(found, indent=1) + '\n')
  fresh.replace(out / 'check.json')


def text(found):
  """The table of all findings."""
  rows = []
  for name, part in found.items():
    took = f'{part["secs"]:.0f} s' if 'secs' in part else ''
    rows.append([name, part['status'], part.get('why', ''), took])
    rows += [['', *_row(finding)] for finding in part['findings']]
  return tabulate.tabulate(
    rows, ['part', '', 'finding', ''], disable_numparse=True
  )


def _row(finding):
  name = finding['finding']
  if 'left_out' in finding:
    return 'left out', name, finding['left_out']
  value, word = finding['value'], 'measured'
  if 'passed' in finding:
    word = 'pass' if finding['passed'] else 'fail'
  shown = f'{value:,.4g}' if isinstance(value, float) else str(value)
  limits = [
    f'{sign} {finding[key]:.4g}'
    for key, sign in (('at_least', '>='), ('at_most', '<='))
    if key in finding
  ]
  limit = f' ({", ".join(limits)})' if limits else ''
  return word, name, f'{shown} {finding["unit"]}'.strip() + limit


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
