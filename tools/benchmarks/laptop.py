"""Times siri_jax, TRL and Tunix on one small GRPO job, on two cores.

python -m tools.benchmarks.laptop [--systems siri_jax trl tunix]
  [--sizes 0.14M 4.2M 30M] [--runs 3] [--timed 6]

The job is tools/benchmarks/peers/job.py; other scripts of that folder run it on
each system. Each system has its own environment under .bench (gigabytes, made
once). They run one after the other without caches, --runs times in turn, so
that a change of the machine's speed meets all of them. The table has the
medians of the runs and, in square brackets, the least and the largest. The row
of a system that fails gives the reason. Every run is added to
.bench/results.json when it ends; .bench/logs has the output of the systems.
Needs Python 3.11 or 3.12 and an otherwise idle machine.
"""

import itertools
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import tabulate

from siri_jax.config import command_line

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = pathlib.Path('.bench')
OURS = 'siri_jax'
REQUIREMENTS = {
  OURS: 'requirements-cpu.txt',
  'trl': 'tools/benchmarks/peers/requirements-trl.txt',
  'tunix': 'tools/benchmarks/peers/requirements-tunix.txt',
}
SCRIPTS = {
  OURS: 'tools/benchmarks/peers/siri_peer.py',
  'trl': 'tools/benchmarks/peers/trl_peer.py',
  'tunix': 'tools/benchmarks/peers/tunix_peer.py',
}
# Size of tools/benchmarks/peers/job.py -> its first steps, which are not timed:
# they compile, or a thread beside them does.
WARM_UP = {'0.14M': 20, '4.2M': 3, '30M': 3}
CORES = 2
COLUMNS = {  # Key of a row: heading, format, unit.
  'steps_per_sec': ('steps/s', '.3g', ''),
  'tokens_per_sec': ('tokens/s', ',.0f', ''),
  'first_step_secs': ('first step', '.1f', ' s'),
  'peak_mib': ('peak memory', ',.0f', ' MiB'),
}


NOTE = (
  'Medians of the runs, and in square brackets the least and the largest. In '
  'round brackets: siri_jax over this system. others: cores that other '
  'processes used at most; repeat the run above 0.1.'
)


def say(text):
  """Shows progress; standard output has the table alone."""
  print(text, file=sys.stderr, flush=True)


def main(argv):
  """Runs all systems and prints the table; returns 0 if all succeeded."""
  asked = parse(argv)
  os.chdir(ROOT)
  (HOME / 'logs').mkdir(parents=True, exist_ok=True)
  two_cores()
  ready = {
    s: make_environment(s) for s in {OURS: 0} | dict.fromkeys(asked.systems)
  }
  if not ready[OURS]:
    return f'{OURS} could not be installed; it writes the policies for all'
  rows = []
  for size in asked.sizes:
    steps = WARM_UP[size] + asked.timed
    folder = prepare(size, steps)
    for run, system in itertools.product(range(asked.runs), asked.systems):
      row = dict(size=size, system=system, run=run)
      if ready[system]:
        row |= measure(system, size, steps, folder)
      else:
        row['failed'] = f'{REQUIREMENTS[system]} could not be installed'
      rows.append(row)
      write(rows)
  print(table(rows))
  return int(any('failed' in row for row in rows))


def parse(argv):
  """The command line."""
  parser = command_line.parser(__doc__)
  parser.add_argument(
    '--systems', nargs='+', choices=SCRIPTS, default=[*SCRIPTS]
  )
  parser.add_argument('--sizes', nargs='+', choices=WARM_UP, default=[*WARM_UP])
  parser.add_argument('--runs', type=int, default=3, help='of each system')
  parser.add_argument('--timed', type=int, default=6, help='steps')
  return parser.parse_args(argv)


def two_cores():
  """Restricts this process and its children to two cores, if possible."""
  if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  os.environ |= {
    'OMP_NUM_THREADS': str(CORES),
    'CUDA_VISIBLE_DEVICES': '',
    'JAX_PLATFORMS': 'cpu',
    'HF_HUB_OFFLINE': '1',
  }
  # Programs cached by an earlier run would hide the cost of the first step.
  for name in ('PYTHONPATH', 'JAX_COMPILATION_CACHE_DIR'):
    os.environ.pop(name, None)


def python_of(system):
  """The interpreter of a system's own environment."""
  return str(HOME / system / 'bin/python')


def make_environment(system):
  """Makes a system's environment; returns whether that succeeded."""
  command = [sys.executable, 'tools/environment.py', str(HOME / system)]
  # stdout is for the table.
  made = subprocess.run([*command, REQUIREMENTS[system]], stdout=sys.stderr)
  return made.returncode == 0


def prepare(size, steps):
  """Writes a size's policy and problems and returns their folder."""
  folder = str(HOME / f'policy-{size}')
  command = [python_of(OURS), 'tools/benchmarks/peers/prepare.py']
  subprocess.run([*command, size, str(steps), folder], check=True)
  return folder


def measure(system, size, steps, folder):
  """Runs the job on a system, prints each step, and returns its figures."""
  log = HOME / 'logs' / f'{system}-{size}.txt'
  command = [python_of(system), SCRIPTS[system], size, str(steps), folder]
  records, found = [], {}
  start, others = time.perf_counter(), others_secs()
  with (
    log.open('w', buffering=1) as output,
    subprocess.Popen(
      command, stdout=subprocess.PIPE, stderr=output, text=True
    ) as child,
  ):
    for line in child.stdout:
      if not line.startswith('{"step"'):
        output.write(line)
        continue
      found.setdefault('first_step_secs', time.perf_counter() - start)
      records.append(json.loads(line))
      tell(system, size, records[-1])
      if len(records) in (WARM_UP[size], steps):  # A look costs milliseconds.
        found['peak_mib'] = peak_mib(child.pid)
  spent = others_secs() - others
  found['others_cores'] = spent / (time.perf_counter() - start)
  if child.returncode or len(records) < steps:
    return dict(failed=f'{last_line(log)} (status {child.returncode}, {log})')
  return found | figures(records[WARM_UP[size] :])


def tell(system, size, record):
  step, secs, tokens = (record[key] for key in ('step', 'secs', 'tokens'))
  say(f'{system:8} {size:>5} step {step:2}: {secs:6.2f} s {tokens:6,} tokens')


def last_line(log):
  lines = [line for line in log.read_text().splitlines() if line.strip()]
  return lines[-1].strip() if lines else 'no output'


def figures(records):
  """Medians over the timed steps, and the steps themselves."""
  return dict(
    steps_per_sec=statistics.median(1 / r['secs'] for r in records),
    tokens_per_sec=statistics.median(r['tokens'] / r['secs'] for r in records),
    steps=records,
  )


def peak_mib(root):
  """Peak resident memory of a process and all below it; -1 without /proc."""
  if not os.path.isdir('/proc'):
    return -1.0
  family, total = {root}, 0
  # A child's number is above its parent's, until numbers start over.
  for number in sorted(map(int, filter(str.isdigit, os.listdir('/proc')))):
    try:
      text = pathlib.Path(f'/proc/{number}/status').read_text()
    except OSError:
      continue  # It has ended.
    status = dict(line.split(':', 1) for line in text.splitlines())
    if number == root or int(status['PPid']) in family:
      family.add(number)
      total += int(status.get('VmHWM', '0 kB').split()[0])
  return total / 1024


def others_secs():
  """CPU seconds that other processes used on our cores; 0 without /proc."""
  if not os.path.isdir('/proc'):
    return 0.0
  ticks = 0
  for line in pathlib.Path('/proc/stat').read_text().splitlines():
    name, *counts = line.split()
    if name in {f'cpu{core}' for core in os.sched_getaffinity(0)}:
      user, nice, system, _, _, irq, softirq, steal = map(int, counts[:8])
      ticks += user + nice + system + irq + softirq + steal
  ours = sum(os.times()[:4])  # With all children that have ended.
  return ticks / os.sysconf('SC_CLK_TCK') - ours


def table(rows):
  """The runs in Markdown: a line for each size and system."""
  groups = {}
  for row in rows:
    groups.setdefault((row['size'], row['system']), []).append(row)
  lines = []
  for (size, system), runs in groups.items():
    ours = [] if system == OURS else groups.get((size, OURS), [])
    lines.append([size, system, *cells(runs, ours)])
  heads = [head for head, *_ in COLUMNS.values()]
  grid = tabulate.tabulate(
    lines,
    ['size', 'system', *heads, 'others'],
    'github',
    disable_numparse=True,
  )
  return f'{grid}\n\n{NOTE}'


def cells(runs, ours):
  """A system's cells of the table.

  Args:
    runs: rows of its runs.
    ours: rows of siri_jax's runs, to compare with; may be empty.
  """
  if failed := failure(runs):
    return [f'failed: {failed}']
  found = []
  for key, (_, number, unit) in COLUMNS.items():
    values = [run[key] for run in runs]
    middle = statistics.median(values)
    cell = f'{middle:{number}}{unit}'
    if len(runs) > 1:
      cell += f' [{min(values):{number}}, {max(values):{number}}]'
    if ours and not failure(ours):
      ratio = statistics.median(run[key] for run in ours) / middle
      cell += f' ({ratio:.2f} times)'
    found.append(cell)
  return [*found, f'{max(run["others_cores"] for run in runs):.2f}']


def failure(runs):
  """Why one of the runs failed, or None."""
  return next((run['failed'] for run in runs if 'failed' in run), None)


def write(rows):
  """Writes the machine and the rows to .bench/results.json."""
  result = dict(
    machine=dict(
      platform=platform.platform(),
      processor=processor(),
      python=platform.python_version(),
      cores=CORES,
    ),
    rows=rows,
  )
  (HOME / 'results.json').write_text(json.dumps(result, indent=1))


def processor():
  """The processor's name."""
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  text = cpuinfo.read_text() if cpuinfo.exists() else ''
  names = [line for line in text.splitlines() if line.startswith('model name')]
  return names[0].partition(': ')[2] if names else platform.processor()


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
